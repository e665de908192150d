"""Figure 5, of any PP-Matting and any photo."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mattekit.inference import predict
from mattekit.training import figure5
from training.tiny import SOURCE, network


def photo(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("guidance", "names"),
    [
        ((1, 3, 5), ["alpha", "s1", "s2", "s3", "low_level", "g1", "g2", "g3", "detail"]),
        ((5,), ["alpha", "s1", "low_level", "g1", "detail"]),
        ((), ["alpha", "s1", "s2", "s3", "low_level", "detail"]),
    ],
)
def test_its_maps(guidance, names):
    maps = figure5(network(guidance), photo(70, 45))
    assert list(maps) == names
    for name, values in maps.items():
        assert values.shape == (70, 45), name
        assert values.dtype == np.float32
        assert values.min() >= 0
        assert values.max() <= 1


@pytest.mark.parametrize("context", [None, 32])
def test_they_are_what_the_network_computes(context):
    """At a size that needs no resizing for the detail branch, by a plain forward of the parts."""
    model, image = network().train(), photo(64, 64)
    model.preprocessing = replace(model.preprocessing, context_short_side=context)
    modes = [module.training for module in model.modules()]
    maps = figure5(model, image)
    assert modes == [module.training for module in model.modules()]
    np.testing.assert_array_equal(maps["alpha"], predict(model, image))
    model.eval()
    with torch.no_grad():
        x = model.normalise(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
        x = x if context is None else torch.nn.functional.interpolate(x, (context, context), mode="bilinear")
        guidance = model.context(model.encoder(x)[-1], x.shape[-2:]).guidance
    s2 = torch.nn.functional.interpolate(guidance[2].mean(1)[None], (64, 64), mode="nearest")[0, 0].numpy()
    low, high = np.percentile(s2, (1, 99))
    np.testing.assert_allclose(maps["s2"], ((s2 - low) / (high - low)).clip(0, 1), atol=1e-5)  # float32's rounding


def test_another_image_is_refused():
    with pytest.raises(TypeError, match="image must be an array of uint8, got float32"):
        figure5(network(), np.asarray(SOURCE(0, None).image, np.float32))

from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mattekit.foreground import estimate_foreground
from mattekit.foreground.blur_fusion import box_sum, cumulative_box_sum
from mattekit.photos import read_image, read_matte
from mattekit.testing import alphas, images, shapes
from oracles import foreground as oracles


@pytest.mark.parametrize("box", [box_sum, cumulative_box_sum])
@given(alphas(), st.sampled_from([1, 2, 5, 6, 90]))
def test_sums_agree_with_the_loop(box, x, side):
    for plane, found in zip(x[:, 0].numpy(), box(x, side)[:, 0].numpy(), strict=True):
        np.testing.assert_allclose(found, oracles.box_sums(plane, side), rtol=1e-6, atol=1e-6)


def test_agrees_with_the_published_equations():
    """Away from the border, beyond which the published boxes see a reflection, and ours nothing."""
    assets = files("mattekit") / "assets"
    image = read_image(assets / "lemur.jpg").astype(np.float32) / 255
    alpha = read_matte(assets / "lemur_alpha.png").astype(np.float32) / 255
    inside = np.zeros(alpha.shape, bool)
    inside[48:-48, 48:-48] = True
    # 1e-5 keeps their divisors from 0 and pulls ours to the image: of a mean of 0.1 / 36 at least, in boxes of 6
    chosen = inside & (alpha > 0.1) & (alpha < 1)
    found = estimate_foreground(image, alpha, method="blur_fusion")
    np.testing.assert_allclose(found[chosen], oracles.blur_fusion(image, alpha)[chosen], rtol=0, atol=4e-3)


@given(shapes(), st.data())
def test_what_the_blurred_colours_leave_over_is_shared_out(shape, data):
    """F takes α of it and B takes 1 - α, so that at most 2α(1 - α) of it remains, where no colour met its range."""
    image, alpha = data.draw(images(shape=shape)), data.draw(alphas(shape=shape))
    front, back = estimate_foreground(image, alpha, method="blur_fusion", return_background=True)
    residual = (alpha * front + (1 - alpha) * back - image).abs()
    is_free = torch.stack([(x > 0) & (x < 1) for x in (front, back)]).all(0)
    assert (residual <= 2 * alpha * (1 - alpha) + 1e-6)[is_free].all()

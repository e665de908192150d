import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mattekit.encoders import Encoder, FeaturePyramid


class Steps(nn.Module):
    """Averages of 2, 4 and 8 pixels a side, in 1, 2 and 3 channels."""

    channels, strides = (1, 2, 3), (2, 4, 8)

    def forward(self, image):
        return [F.avg_pool2d(image[:, :c], s) for c, s in zip(self.channels, self.strides, strict=True)]


def test_is_the_papers_sum():
    """Against Lin et al.'s words, level by level: lateral plus upsampled level above, then a 3×3 convolution."""
    pyramid = FeaturePyramid(Steps(), (4, 5, 6), plain=0).eval()
    image = torch.rand(2, 3, 32, 48)
    features = Steps()(image)
    above, expected = None, []
    for level in (2, 1, 0):
        lateral = pyramid.laterals[str(level)]
        x = torch.einsum("oi,nihw->nohw", lateral.weight[:, :, 0, 0], features[level]) + lateral.bias.view(-1, 1, 1)
        if above is not None:
            narrow = torch.einsum("oi,nihw->nohw", pyramid.descents[str(level)].weight[:, :, 0, 0], above)
            x = x + nn.Upsample(scale_factor=2, mode="bilinear")(narrow)
        conv, bn, _ = pyramid.outputs[str(level)]
        above = (F.conv2d(x, conv.weight, padding=1) * (1 + bn.eps) ** -0.5).clamp(min=0)
        expected.insert(0, above)
    for level, reference in zip(pyramid(image), expected, strict=True):
        torch.testing.assert_close(level, reference)


def test_a_plain_level_knows_nothing_from_above():
    pyramid = FeaturePyramid(Steps(), (4, 5, 6), plain=1).eval()
    for parameter in pyramid.parameters():
        parameter.data.abs_()  # no ReLU hides anything
    image = torch.rand(1, 3, 32, 48)
    changed = image.clone()
    changed[:, :, :, 24:] = 0
    fine, middle, _ = (
        (one != other).flatten(0, 2).any(0) for one, other in zip(pyramid(image), pyramid(changed), strict=True)
    )
    assert fine.nonzero()[0] == 12  # no column whose own average is the same
    assert middle.nonzero()[0] < 5  # columns further away than the level's own 3×3 convolution sees


def test_keeps_the_levels_that_are_asked_for():
    encoder = Steps()
    pyramid = FeaturePyramid(encoder, (4, 5, 6), keep=(1, 2)).eval()
    assert isinstance(pyramid, Encoder)
    assert (pyramid.channels, pyramid.strides) == ((5, 6), (4, 8))
    assert [tuple(level.shape) for level in pyramid(torch.rand(1, 3, 32, 48))] == [(1, 5, 8, 12), (1, 6, 4, 6)]
    assert not any(name.startswith(("laterals.0", "outputs.0")) for name, _ in pyramid.named_parameters())


def test_levels_are_narrower_for_who_reads_them():
    """Each kept level is what the pyramid without ``channels`` returns, through a 1×1 convolution where it narrows."""
    torch.manual_seed(0)
    wide = FeaturePyramid(Steps(), (4, 5, 6), keep=(0, 2), plain=0).eval()
    narrow = FeaturePyramid(Steps(), (4, 5, 6), keep=(0, 2), plain=0, channels=(3, 6)).eval()
    narrow.load_state_dict(wide.state_dict(), strict=False)
    assert isinstance(narrow, Encoder)
    assert narrow.channels == (3, 6)
    assert list(narrow.heads) == ["0"]
    image = torch.rand(2, 3, 32, 48)
    (fine, coarse), (narrowed, same) = wide(image), narrow(image)
    head = narrow.heads["0"]
    expected = torch.einsum("oi,nihw->nohw", head.weight[:, :, 0, 0], fine) + head.bias.view(-1, 1, 1)
    torch.testing.assert_close(narrowed, expected)
    torch.testing.assert_close(same, coarse)


def test_a_level_that_nobody_asks_for_is_not_computed():
    pyramid = FeaturePyramid(Steps(), (4, 5, 6), plain=0).eval()
    seen = []
    for key, output in pyramid.outputs.items():
        output[0].register_forward_hook(lambda *_, key=key: seen.append(key))
    *_, coarsest = pyramid.levels(torch.rand(1, 3, 32, 48))
    assert seen == []
    coarsest.whole()
    assert seen == ["2"]


def test_takes_on_the_encoders_statistics():
    encoder = Steps()
    encoder.mean, encoder.std = (0.4, 0.4, 0.4), (0.2, 0.2, 0.2)
    pyramid = FeaturePyramid(encoder, (4, 5, 6))
    assert (pyramid.mean, pyramid.std) == (encoder.mean, encoder.std)
    assert not hasattr(FeaturePyramid(Steps(), (4, 5, 6)), "mean")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (4, 5)}, r"widths must have 3 numbers, as the encoder has features, got \(4, 5\)"),
        ({"keep": (1, 0)}, r"keep must name levels 0 to 2, each once and in order, got \(1, 0\)"),
        ({"keep": (0, 3)}, r"keep must name levels 0 to 2, each once and in order, got \(0, 3\)"),
        ({"keep": ()}, r"keep must name levels 0 to 2, each once and in order, got \(\)"),
        ({"plain": 3}, "plain must be 0 to 2, got 3"),
        ({"channels": (4, 5)}, r"channels must have 3 numbers, one for each level kept, got \(4, 5\)"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        FeaturePyramid(Steps(), **{"widths": (4, 5, 6), **options})


def test_encoder_says_what_it_returns():
    with pytest.raises(TypeError, match=r"encoder must be a torch.nn.Module, got str"):
        FeaturePyramid("hrnet_w48", (4, 5, 6))
    with pytest.raises(TypeError, match=r"encoder must have channels and strides, which Linear lacks"):
        FeaturePyramid(nn.Linear(3, 3), (4, 5, 6))
    encoder = Steps()
    encoder.strides = (2, 4)
    with pytest.raises(ValueError, match=r"encoder must have a stride for each feature, got channels .* \(2, 4\)"):
        FeaturePyramid(encoder, (4, 5, 6))

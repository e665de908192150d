import itertools
import math

import pytest
import torch

from mattekit.blocks import GatedConv, HighResolutionDetailBranch
from mattekit.windows import halo

GUIDANCE_CHANNELS = (6, 5, 4, 3, 2)


def inputs(size=(64, 96)):
    features = [torch.rand(2, 7, size[0] // 2, size[1] // 2), torch.rand(2, 3, size[0] // 4, size[1] // 4)]
    strides = (16, 8, 4, 2, 1)
    guidance = [torch.rand(2, c, size[0] // s, size[1] // s) for c, s in zip(GUIDANCE_CHANNELS, strides, strict=True)]
    return features, guidance, size


@pytest.mark.parametrize("guidance", [c for n in range(6) for c in itertools.combinations((1, 2, 3, 4, 5), n)])
def test_every_choice_of_guidance(guidance):
    branch = HighResolutionDetailBranch((7, 3), GUIDANCE_CHANNELS, guidance=guidance, widths=(8, 6, 4, 3))
    features, given, size = inputs()
    for tensor in given:
        tensor.requires_grad_()
    logits = branch(features, given, size)
    assert logits.shape == (2, 1, 64, 96)
    logits.sum().backward()
    assert [index + 1 for index, tensor in enumerate(given) if tensor.grad is not None] == list(guidance)


def test_a_block_guides_the_residual_block_of_its_resolution():
    branch = HighResolutionDetailBranch((7, 3), GUIDANCE_CHANNELS, guidance=(1, 2, 3, 4, 5), widths=(8, 6, 4, 3))
    gates = {block: gate.weight.in_channels for block, gate in branch.gates.items() if isinstance(gate, GatedConv)}
    assert gates == {"1": 6, "2": 4, "3": 4, "4": 3, "5": 3}


@pytest.mark.parametrize("guidance", [(0,), (6,), (3, 1), (1, 1)])
def test_bad_guidance(guidance):
    with pytest.raises(ValueError, match=r"guidance must name blocks 1 to 5, each once and in order, got \("):
        HighResolutionDetailBranch((7, 3), GUIDANCE_CHANNELS, guidance=guidance)


@pytest.mark.parametrize("size", [(64, 96), (62, 91), (61, 92)])
def test_a_factor_puts_the_logits_of_a_pixel_side_by_side(size):
    """Nine maps, each drawn at a third of the size by a branch with that part of the head, laid out by hand."""
    upscaled = HighResolutionDetailBranch((7, 3), GUIDANCE_CHANNELS, widths=(8, 6, 4, 3), upscale_factor=3).eval()
    plain = HighResolutionDetailBranch((7, 3), GUIDANCE_CHANNELS, widths=(8, 6, 4, 3)).eval()
    features, guidance, _ = inputs()
    own = tuple(math.ceil(side / 3) for side in size)
    expected = torch.empty(2, 1, 3 * own[0], 3 * own[1])
    for row, column in itertools.product(range(3), range(3)):
        part = {
            name: x[3 * row + column, None] if name == "head.weight" else x for name, x in upscaled.state_dict().items()
        }
        plain.load_state_dict(part)
        expected[..., row::3, column::3] = plain(features, guidance, own)
    actual = upscaled(features, guidance, size)
    torch.testing.assert_close(actual, expected[..., : size[0], : size[1]], rtol=0, atol=1e-6)  # sums in another order


def test_who_wraps_a_branch_that_upscales_learns_no_halo():
    """A window of the image need not begin at a multiple of the factor: cut by a halo, mattes were wrong by up to 1."""
    plain, upscaled = (
        HighResolutionDetailBranch((7, 3), GUIDANCE_CHANNELS, widths=(8, 6, 4, 3), upscale_factor=factor).eval()
        for factor in (1, 2)
    )
    assert (halo(plain), halo(upscaled)) == (6, None)
    assert plain.reach == upscaled.reach == 6


@pytest.mark.parametrize(
    ("factor", "error", "message"),
    [
        (0, ValueError, "upscale_factor must be positive, got 0"),
        (1.5, TypeError, "upscale_factor must be an integer, got 1.5"),
        (True, TypeError, "upscale_factor must be an integer, got True"),
    ],
)
def test_bad_factor(factor, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        HighResolutionDetailBranch((7, 3), GUIDANCE_CHANNELS, upscale_factor=factor)


def test_bad_inputs():
    branch = HighResolutionDetailBranch((7, 3), GUIDANCE_CHANNELS)
    features, guidance, size = inputs()
    with pytest.raises(ValueError, match="features must have 2 tensors, got 1"):
        branch(features[:1], guidance, size)
    with pytest.raises(ValueError, match="guidance must have the outputs of all five context blocks, got 3"):
        branch(features, guidance[:3], size)
    with pytest.raises(ValueError, match=r"features\[1\] must have shape \(N, 3, H, W\), got \(2, 7, 32, 48\)"):
        branch([features[0], features[0]], guidance, size)

import itertools

import pytest
import torch

from mattekit.blocks import GatedConv, HighResolutionDetailBranch

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


def test_bad_inputs():
    branch = HighResolutionDetailBranch((7, 3), GUIDANCE_CHANNELS)
    features, guidance, size = inputs()
    with pytest.raises(ValueError, match="features must have 2 tensors, got 1"):
        branch(features[:1], guidance, size)
    with pytest.raises(ValueError, match="guidance must have the outputs of all five context blocks, got 3"):
        branch(features, guidance[:3], size)
    with pytest.raises(ValueError, match=r"features\[1\] must have shape \(N, 3, H, W\), got \(2, 7, 32, 48\)"):
        branch([features[0], features[0]], guidance, size)

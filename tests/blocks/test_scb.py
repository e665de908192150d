import pytest
import torch
from torch import nn

from mattekit.blocks import PyramidPooling, SemanticContextBranch

NARROW = ((8, 6), (6, 5), (5, 4), (4, 4), (4, 3))


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (32, 32), (100, 131)])
def test_sizes(size):
    context = SemanticContextBranch(7, pooling=PyramidPooling(7, 9), widths=NARROW).eval()
    x = torch.rand(2, 7, -(-size[0] // 32), -(-size[1] // 32))
    logits, guidance = context(x, size)
    assert logits.shape == (2, 3, *size)
    assert [tuple(s.shape) for s in guidance] == [
        (2, out, -(-size[0] // stride), -(-size[1] // stride))
        for (_, out), stride in zip(NARROW, (16, 8, 4, 2, 1), strict=True)
    ]
    assert context.guidance_channels == (6, 5, 4, 4, 3)


def test_default_size_is_32_times():
    context = SemanticContextBranch(7, pooling=PyramidPooling(7, 9), widths=NARROW).eval()
    x = torch.rand(1, 7, 2, 3)
    torch.testing.assert_close(context(x), context(x, (64, 96)))


def test_pooling_can_be_swapped():
    class Plain(nn.Conv2d):
        pass

    context = SemanticContextBranch(7, pooling=Plain(7, 9, 1), widths=NARROW).eval()
    assert context(torch.rand(1, 7, 2, 3)).semantic_logits.shape == (1, 3, 64, 96)
    with pytest.raises(ValueError, match="pooling must have an attribute out_channels"):
        SemanticContextBranch(7, pooling=nn.Identity())


def test_needs_five_blocks():
    with pytest.raises(ValueError, match=r"widths must have one .* for each of the five blocks, got 4"):
        SemanticContextBranch(7, widths=NARROW[:4])

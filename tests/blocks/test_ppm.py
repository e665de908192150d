import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mattekit.blocks import PyramidPooling
from mattekit.blocks.ppm import grid_average

sides = st.integers(1, 40)


@given(height=sides, width=sides, cells=st.integers(1, 7))
def test_grid_average_is_adaptive_pooling(height, width, cells):
    x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height * 41 + width))
    torch.testing.assert_close(grid_average(x, cells), F.adaptive_avg_pool2d(x, cells), rtol=0, atol=1e-6)


def test_half_precision_is_summed_in_full():
    x = torch.rand(1, 2, 64, 64).half()
    expected = F.adaptive_avg_pool2d(x.float(), 3).half()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(grid_average(x, 3), expected, rtol=2**-10, atol=0)  # one rounding to float16


def test_batch_of_one_cannot_train():
    pooling = PyramidPooling(8, 16)
    with pytest.raises(ValueError, match="a batch of one image cannot train PyramidPooling"):
        pooling(torch.rand(1, 8, 4, 4))
    assert pooling.eval()(torch.rand(1, 8, 4, 4)).shape == (1, 16, 4, 4)
    assert PyramidPooling(8, 16, bins=(2, 4))(torch.rand(1, 8, 4, 4)).shape == (1, 16, 4, 4)


@pytest.mark.parametrize(("cells", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_bins_are_counts(cells, error):
    with pytest.raises(error, match=rf"bins\[1\] must .* got {cells}"):
        PyramidPooling(8, 16, bins=(1, cells))


def test_its_own_advice_works():
    """A batch of one trains where the batch norm concerned does not take its statistics from it."""
    pooling = PyramidPooling(8, 16).train()
    pooling.stages[0].bn.eval()
    assert pooling(torch.rand(1, 8, 4, 4)).requires_grad
    pooling.train()
    pooling.stages[0].bn = torch.nn.SyncBatchNorm(8)
    with pytest.raises((RuntimeError, ValueError)) as error:  # without a GPU torch's own complaint, not ours
        pooling(torch.rand(1, 8, 4, 4))
    assert "cannot train PyramidPooling" not in str(error.value)

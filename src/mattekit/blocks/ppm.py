"""The pyramid pooling module (PPM) of PSPNet (Zhao et al. 2017), which strengthens the global context."""

from collections.abc import Sequence
from contextlib import nullcontext
from numbers import Integral

import torch
from torch import Tensor, nn

from mattekit._checks import check_nchw, check_number, check_positive
from mattekit.blocks.conv import ConvBNReLU
from mattekit.windows import resize_bilinear


class PyramidPooling(nn.Module):
    """Join a feature with averages of itself over grids of few cells.

    Takes (N, in_channels, h, w) and returns (N, out_channels, h, w). Each grid's averages pass a 1×1 `ConvBNReLU`, are
    resized to h×w and joined to the feature, the finest grid first; a 3×3 `ConvBNReLU` brings all to ``out_channels``.

    Args:
        in_channels: Channels of the feature.
        out_channels: Channels of the result.
        bins: Cells a side of each grid.

    Raises:
        TypeError: If ``bins`` are no whole numbers.
        ValueError: If one of them is not positive; in training, if a grid of one cell meets a batch of one image.

    Source:
        Section 3.1; the paper leaves the numbers open, these are PaddleSeg's. The averages are those of adaptive
        average pooling, got by multiplying with matrices made from h and w, so that an exported network stays right at
        sizes other than the traced one.

    Example:
        >>> import torch
        >>> from mattekit.blocks import PyramidPooling
        >>> PyramidPooling(144)(torch.rand(2, 144, 16, 20)).shape
        torch.Size([2, 512, 16, 20])
    """

    def __init__(self, in_channels: int, out_channels: int = 512, *, bins: Sequence[int] = (1, 3, 5)) -> None:
        super().__init__()
        self.bins = tuple(bins)
        for index, cells in enumerate(self.bins):
            check_number(f"bins[{index}]", cells, Integral)
            check_positive(f"bins[{index}]", cells)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.stages = nn.ModuleList(ConvBNReLU(in_channels, in_channels, 1, bias=True) for _ in self.bins)
        self.fuse = ConvBNReLU(in_channels * (1 + len(self.bins)), out_channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, h, w)."""
        check_nchw("x", x, self.in_channels)
        for stage, cells in zip(self.stages, self.bins, strict=True):
            if cells == 1 and x.shape[0] == 1 and _uses_this_batch_alone(stage):
                raise ValueError(
                    "a batch of one image cannot train PyramidPooling: its grid of one cell leaves one value a "
                    "channel, whose batch variance is zero; train with at least two images a batch, or put this "
                    "block's batch norms into eval mode"
                )
        levels = [
            resize_bilinear(stage(grid_average(x, cells)), x.shape[-2:])
            for stage, cells in zip(self.stages, self.bins, strict=True)
        ]
        return self.fuse(torch.cat([x, *reversed(levels)], dim=1))


def _uses_this_batch_alone(stage: nn.Module) -> bool:
    """Whether a batch norm within takes its statistics from this batch, of this process."""
    norms = (module for module in stage.modules() if isinstance(module, nn.BatchNorm2d))
    return any(norm.training or norm.running_mean is None for norm in norms)


def grid_average(x: Tensor, cells: int) -> Tensor:
    """Average (N, C, h, w) over a grid to (N, C, cells, cells), as ``adaptive_avg_pool2d`` does, in x's dtype.

    Half-precision inputs are summed in float32.
    """
    has_autocast = x.device.type != "meta"  # torch.amp would tell, but not every compiler can ask it
    with torch.autocast(x.device.type, enabled=False) if has_autocast else nullcontext():
        full = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        rows = _averaging_matrix(x.shape[-2], cells, full)
        columns = _averaging_matrix(x.shape[-1], cells, full)
        return torch.einsum("ai,ncij,bj->ncab", rows, full, columns).to(x.dtype)


def _averaging_matrix(side: int, cells: int, like: Tensor) -> Tensor:
    """The (cells, side) matrix whose row i averages pixels floor(i·side/cells) to ceil((i+1)·side/cells), exclusive."""
    pixel = torch.arange(side, device=like.device)
    cell = torch.arange(cells, device=like.device)[:, None]
    first = cell * side // cells
    end = ((cell + 1) * side + cells - 1) // cells
    covered = (pixel >= first) & (pixel < end)
    return covered.to(like.dtype) / (end - first).to(like.dtype)

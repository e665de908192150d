"""Convolution, batch normalisation, ReLU: the unit the other blocks are made of."""

from torch import Tensor, nn

from mattekit._init import he_normal_
from mattekit.windows import chain


class ConvBNReLU(nn.Module):
    """A convolution that keeps height and width, batch normalisation and ReLU.

    Takes (N, in_channels, H, W) and returns (N, out_channels, H, W).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernel, odd.
        dilation: Distance between the kernel's taps, in pixels.
        bias: Give the convolution a bias. Batch normalisation cancels it in training; PaddleSeg's weights for the
            context branch contain one.

    Raises:
        ValueError: If ``kernel_size`` is even.

    Source:
        Section 3.1, "ConvBNReLU".

    Example:
        >>> import torch
        >>> from mattekit.blocks import ConvBNReLU
        >>> ConvBNReLU(3, 8)(torch.rand(2, 3, 40, 50)).shape
        torch.Size([2, 8, 40, 50])
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, dilation: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.bias = bias
        padding = dilation * (kernel_size // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=bias)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        he_normal_(self)

    folds = (("conv", "bn", "relu"),)

    @property
    def halo(self) -> int | None:
        """How far it sees, as `mattekit.windows.halo` defines it."""
        return chain(self.conv, self.bn, self.relu)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, out_channels, H, W)."""
        return self.relu(self.bn(self.conv(x)))

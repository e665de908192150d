"""The semantic context branch (SCB), which tells foreground, transition and background apart."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mattekit._checks import check_nchw
from mattekit._init import small_normal_
from mattekit.blocks.conv import ConvBNReLU
from mattekit.blocks.ppm import PyramidPooling
from mattekit.windows import Level


class SemanticContext(NamedTuple):
    """What the semantic context branch returns.

    Attributes:
        semantic_logits: (N, 3, H, W); class 0 foreground, 1 transition, 2 background.
        guidance: The outputs of the five blocks, at 1/16, 1/8, 1/4, 1/2 and 1/1 of the image.
    """

    semantic_logits: Tensor
    guidance: tuple[Tensor, ...]


class SemanticContextBranch(nn.Module):
    """Five blocks that bring an encoder's coarsest feature back to the image's size, and a three-class head.

    Takes (N, in_channels, h, w), h = ceil(H/32), and returns a `SemanticContext`: logits (N, 3, H, W) and the five
    blocks' outputs, which guide the detail branch. Pyramid pooling widens the feature's view first. Block 1 sees the
    pooled feature and the encoder's; blocks 2 to 5 see the block before and the pooled feature, brought to their size.
    A block is three `ConvBNReLU`, the second and third of block 1 dilated by 2, and a bilinear upsampling by 2.

    Args:
        in_channels: Channels of the encoder's coarsest feature.
        pooling: A module with an attribute ``out_channels`` that takes the feature and keeps its height and width.
            None: ``PyramidPooling(in_channels, 512)``.
        widths: Of each of the five blocks, the channels inside it and the channels it puts out.

    Attributes:
        guidance_channels: Channels of the five guidance features.

    Raises:
        ValueError: If ``pooling`` has no ``out_channels``, or ``widths`` are not five pairs.

    Source:
        Section 3.1, Figure 2. The paper leaves widths, dilation and the way of the pooled feature into blocks 2 to 5
        open; they are PaddleSeg's. Where PaddleSeg doubles the size, each block here goes to ``ceil(side / stride)``:
        the same for sides that are multiples of 32, and defined for all others.

    Example:
        >>> import torch
        >>> from mattekit.blocks import SemanticContextBranch
        >>> context = SemanticContextBranch(144).eval()
        >>> semantic_logits, guidance = context(torch.rand(1, 144, 2, 3))
        >>> semantic_logits.shape
        torch.Size([1, 3, 64, 96])
        >>> [tuple(s.shape[1:]) for s in guidance]
        [(256, 4, 6), (128, 8, 12), (64, 16, 24), (64, 32, 48), (64, 64, 96)]
    """

    def __init__(
        self,
        in_channels: int,
        *,
        pooling: nn.Module | None = None,
        widths: Sequence[tuple[int, int]] = ((512, 256), (256, 128), (128, 64), (128, 64), (64, 64)),
    ) -> None:
        super().__init__()
        if len(widths) != 5:
            raise ValueError(f"widths must have one (inner, out) pair for each of the five blocks, got {len(widths)}")
        self.in_channels = in_channels
        self.pooling = PyramidPooling(in_channels) if pooling is None else pooling
        pooled = getattr(self.pooling, "out_channels", None)
        if not isinstance(pooled, int):
            raise ValueError(f"pooling must have an attribute out_channels, an int, got {pooled!r}")
        self.widths = tuple((inner, out) for inner, out in widths)
        self.guidance_channels = tuple(out for _, out in widths)
        self.sides = nn.ModuleList(ConvBNReLU(pooled, out, bias=True) for out in self.guidance_channels[:-1])
        inputs = [pooled + in_channels, *(2 * out for out in self.guidance_channels[:-1])]
        self.blocks = nn.ModuleList(
            _three_convs(in_width, inner, out, dilation=2 if index == 0 else 1)
            for index, (in_width, (inner, out)) in enumerate(zip(inputs, widths, strict=True))
        )
        last = self.guidance_channels[-1]
        classify = nn.Conv2d(last, 3, 3, padding=1)
        small_normal_(classify)
        self.head = nn.Sequential(ConvBNReLU(last, last, bias=True), ConvBNReLU(last, last, bias=True), classify)

    def forward(self, x: Tensor, size: Sequence[int] | None = None) -> SemanticContext:
        """Return the logits at ``size`` (height, width; by default 32 times x's) and the five guidance features."""
        semantic_logits, guidance = self.levels(x, size)
        return SemanticContext(semantic_logits.whole(), tuple(level.whole() for level in guidance))

    def levels(self, x: Tensor | Level, size: Sequence[int] | None = None) -> tuple[Level, list[Level]]:
        """Return what ``forward`` returns, as levels, of which none is computed yet."""
        x = x.whole() if isinstance(x, Level) else x
        check_nchw("x", x, self.in_channels)
        height, width = (32 * x.shape[-2], 32 * x.shape[-1]) if size is None else size
        pooled = self.pooling(x)
        out: Tensor | Level = self.blocks[0](torch.cat([pooled, x], dim=1))
        guidance = []
        for side, block, stride in zip(self.sides, self.blocks[1:], (16, 8, 4, 2), strict=True):
            at = (height + stride - 1) // stride, (width + stride - 1) // stride
            guidance.append(Level([out], at))
            out = Level([Level([side(pooled)], at), guidance[-1]], at, _joined(block), halo=block, stride=1)
        guidance.append(Level([out], (height, width)))
        return Level([guidance[-1]], (height, width), self.head, halo=self.head, stride=1), guidance


def _joined(block: nn.Module) -> Callable[..., Tensor]:
    return lambda *inputs: block(torch.cat(inputs, dim=1))


def _three_convs(in_channels: int, inner: int, out_channels: int, *, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        ConvBNReLU(in_channels, inner, bias=True),
        ConvBNReLU(inner, inner, dilation=dilation, bias=True),
        ConvBNReLU(inner, out_channels, dilation=dilation, bias=True),
    )

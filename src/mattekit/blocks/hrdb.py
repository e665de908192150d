"""The high-resolution detail branch (HRDB), which draws the transition at the image's own resolution."""

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mattekit._checks import check_guidance, check_nchw, check_number, check_positive
from mattekit._init import he_normal_, small_normal_
from mattekit.blocks.conv import ConvBNReLU
from mattekit.blocks.gated_conv import GatedConv
from mattekit.windows import Level, chain, declared, parallel, resize_bilinear, through, wholes
from mattekit.windows.spans import coarser, cropped


class HighResolutionDetailBranch(nn.Module):
    """Three residual blocks at full resolution, guided by the context branch, and a convolution to one channel.

    Takes features of the encoder, each (N, in_channels[i], hᵢ, wᵢ), and the context branch's five guidance features,
    and returns the logits of the detail map, (N, 1, H, W). The features are resized to H×W and joined. After each
    residual block come a 1×1 convolution to the next width and the gates (`GatedConv`) of the guidance it receives.

    With an ``upscale_factor`` of r all this happens at H/r × W/r, rounded up, and the last convolution makes r² logits
    of each pixel there, which are put side by side: a sub-pixel convolution. Where the encoder's finest feature is at
    half of the image, as of those in `mattekit.encoders`, a factor of 2 loses nothing that the encoder knows.

    Args:
        in_channels: Channels of each encoder feature that is given.
        guidance_channels: Channels of the context branch's five guidance features.
        guidance: Which of the context's blocks, 1 to 5, guide: a row of the paper's Table 3. Block 1 guides the first
            residual block, 2 and 3 the second, 4 and 5 the third; ``()`` is the network without guidance flow.
        widths: Channels of the three residual blocks, and of the last feature.
        upscale_factor: How many pixels of the image, along each side, one of the branch makes.

    Raises:
        ValueError: If ``guidance`` is not an increasing choice of 1 to 5, ``widths`` or ``guidance_channels`` have
            another length than four and five, or ``upscale_factor`` is below 1.
        TypeError: If ``guidance`` is no sequence, or ``upscale_factor`` no integer.

    Source:
        Section 3.1, "High-Resolution Detail Branch" and "Guidance Flow"; widths as in PaddleSeg, from which
        ``(1, 3, 5)`` does not differ. For other rows of Table 3 the paper does not say which residual block receives
        what; its caption calls 5 the first block and its text the last. Here 5 is the block at full resolution.
        Sub-pixel convolution: Shi et al. 2016, arXiv 1609.05158, section 3.2; the paper's branch has none.

    Example:
        >>> import torch
        >>> from mattekit.blocks import HighResolutionDetailBranch
        >>> branch = HighResolutionDetailBranch((64, 18), guidance_channels=(256, 128, 64, 64, 64)).eval()
        >>> features = [torch.rand(1, 64, 32, 48), torch.rand(1, 18, 16, 24)]
        >>> guidance = [
        ...     torch.rand(1, c, 64 // s, 96 // s) for c, s in zip((256, 128, 64, 64, 64), (16, 8, 4, 2, 1))
        ... ]
        >>> branch(features, guidance, size=(64, 96)).shape
        torch.Size([1, 1, 64, 96])
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        guidance_channels: Sequence[int],
        *,
        guidance: Sequence[int] = (1, 3, 5),
        widths: Sequence[int] = (64, 32, 16, 8),
        upscale_factor: int = 1,
    ) -> None:
        super().__init__()
        check_guidance(guidance)
        check_number("upscale_factor", upscale_factor, Integral)
        check_positive("upscale_factor", upscale_factor)
        guidance = tuple(guidance)
        if len(widths) != 4:
            raise ValueError(f"widths must have four numbers, got {tuple(widths)}")
        if len(guidance_channels) != 5:
            raise ValueError(f"guidance_channels must have five numbers, got {tuple(guidance_channels)}")
        self.in_channels = tuple(in_channels)
        self.guidance_channels = tuple(guidance_channels)
        self.guidance = guidance
        self.widths = tuple(widths)
        self.upscale_factor = upscale_factor
        self.residuals = nn.ModuleList(
            [_ResidualBlock(sum(in_channels), widths[0]), *(_ResidualBlock(width, width) for width in widths[1:3])]
        )
        self.projections = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 1) for i in range(3))
        self.gates = nn.ModuleDict(
            {str(block): GatedConv(widths[1 + block // 2], guidance_channels[block - 1]) for block in guidance}
        )
        self.head = nn.Conv2d(widths[3], upscale_factor**2, 1, bias=False)
        he_normal_(self.projections)
        small_normal_(self.head)

    @property
    def halo(self) -> int | None:
        """How far it sees, as `mattekit.windows.halo` defines it, of features and guidance brought to ``size``.

        None with an ``upscale_factor``: it does not keep height and width, and windows of the image would have to begin
        at multiples of it. ``levels`` knows how.
        """
        return self.reach if self.upscale_factor == 1 else None

    @property
    def reach(self) -> int | None:
        """How far it sees of features and guidance brought to its own size; None where a gate does not say."""
        blending = [declared(gate, "blend") is not None for gate in self.gates.values()]
        return chain(*self.residuals, *self.projections, *self.gates.values(), self.head) if all(blending) else None

    def forward(self, features: Sequence[Tensor], guidance: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Return the logits of the detail map, (N, 1, H, W), for ``size`` = (H, W)."""
        if len(features) != len(self.in_channels):
            raise ValueError(f"features must have {len(self.in_channels)} tensors, got {len(features)}")
        if len(guidance) != 5:
            raise ValueError(f"guidance must have the outputs of all five context blocks, got {len(guidance)}")
        for index, (feature, channels) in enumerate(zip(features, self.in_channels, strict=True)):
            check_nchw(f"features[{index}]", feature, channels)
        own = coarser(size, self.upscale_factor)
        x = torch.cat([resize_bilinear(feature, own) for feature in features], dim=1)
        logits = self._draw(x, lambda block, x: self.gates[str(block)](x, guidance[block - 1]))
        return logits if self.upscale_factor == 1 else cropped(logits, size)

    def levels(
        self, features: Sequence[Tensor | Level], guidance: Sequence[Tensor | Level], size: Sequence[int]
    ) -> Any:
        """Return what ``forward`` returns, as a level where it is known how far each part sees."""
        reach = self.reach
        if reach is None:
            return self(wholes(features), wholes(guidance), size)

        def draw(*inputs: Tensor) -> Tensor:
            projected = dict(zip(self.guidance, inputs[len(features) :], strict=True))
            x = torch.cat(inputs[: len(features)], dim=1)
            return self._draw(x, lambda block, x: gates[block].blend(x, projected[block]))

        gates: dict[int, Any] = {block: self.gates[str(block)] for block in self.guidance}
        projected = [through(guidance[block - 1], gate.project) for block, gate in gates.items()]
        return Level([*features, *projected], size, draw, halo=reach, upscale=self.upscale_factor)

    def _draw(self, x: Tensor, gate: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Draw from the joined features, with what gates each block's guidance."""
        for index, (residual, projection) in enumerate(zip(self.residuals, self.projections, strict=True)):
            x = projection(residual(x))
            for block in self.guidance:
                if block // 2 == index:
                    x = gate(block, x)
        logits = self.head(x)
        return logits if self.upscale_factor == 1 else F.pixel_shuffle(logits, self.upscale_factor)


class _ResidualBlock(nn.Module):
    """Two 3×3 convolutions whose result is added to the input; a change of width puts a 1×1 convolution beside."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBNReLU(in_channels, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        )
        he_normal_(self)

    folds = (("conv2", "bn2"),)

    @property
    def halo(self) -> int | None:
        return chain(parallel(chain(self.conv1, self.conv2, self.bn2), self.shortcut), self.relu)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.conv1(x)))
        out += self.shortcut(x)
        return self.relu(out)

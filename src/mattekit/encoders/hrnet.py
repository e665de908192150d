"""HRNet (Wang et al. 2020, arXiv 1908.07919): a backbone that keeps a high resolution throughout."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from mattekit._checks import check_choice, check_nchw
from mattekit._init import he_normal_
from mattekit.encoders.same_conv import SameConv2d
from mattekit.windows import Level, chain, halo, parallel, size_of, tiled, wholes

Padding = Literal["same", "symmetric"]
Upsampling = Literal["bilinear", "nearest"]
ALL_OUTPUTS = (0, 1, 2, 3, 4)
"""All five features: the stem's, then the four branches'."""


class HRNet(nn.Module):
    """HRNet with the attribute names of the official code, so that its state dicts load as they are.

    Takes a normalised image, (N, 3, H, W), and returns five features: (N, 64, H/2, W/2) after the first stem
    convolution, then the last stage's four branches, ``widths[0]`` channels at 1/4 to ``widths[3]`` at 1/32; or those
    of them that ``outputs`` names. A side that 2, 4, ... does not divide is rounded up.

    Args:
        widths: Channels of the four branches.
        modules: Exchange modules in stages 1 to 4; the first is always one run of bottlenecks.
        blocks: Residual blocks of a branch in each module of stages 1 to 4.
        stage1_width: Inner channels of stage 1's bottlenecks, which put out four times as many.
        padding: What 3×3 convolutions of stride 2 see beyond an even side. ``"same"``: nothing before and one row
            after, as TensorFlow pads and PaddleSeg's PP-Matting was trained. ``"symmetric"``: one row on each
            side, as the official code and timm pad. On odd sides the two are equal. Weights of one kind give other
            features under the other.
        upsampling: How a coarse branch reaches a finer one. ``"bilinear"``: as in PaddleSeg. ``"nearest"``: as in
            the official image classification code and timm.
        outputs: Which of the five features are returned, 0 to 4 in order. What only the others need is not built, so
            that every parameter learns: PP-Matting reads ``(0, 1, 4)``.

    Attributes:
        outputs: As given.
        channels: Channels of the features that are returned.
        strides: Their strides.
        left_out: Beginnings of the names that a network of all five features has in its state dict and this one lacks.

    Raises:
        ValueError: If ``padding`` or ``upsampling`` is no such choice, ``widths``, ``modules`` or ``blocks`` has
            not four numbers, or ``outputs`` are not of 0 to 4, each once and in order.

    Source:
        PP-Matting section 3.1; https://github.com/HRNet/HRNet-Image-Classification (names and sizes). The head of the
        classification network (``incre_modules``, ``downsamp_modules``, ``final_layer``, ``classifier``) is left out.

    Example:
        >>> import torch
        >>> from mattekit.encoders import HRNet
        >>> encoder = HRNet((8, 16, 24, 32), modules=(1, 1, 1, 1), blocks=(1, 1, 1, 1)).eval()
        >>> [tuple(feature.shape) for feature in encoder(torch.rand(1, 3, 64, 96))]
        [(1, 64, 32, 48), (1, 8, 16, 24), (1, 16, 8, 12), (1, 24, 4, 6), (1, 32, 2, 3)]
    """

    def __init__(
        self,
        widths: Sequence[int] = (18, 36, 72, 144),
        *,
        modules: Sequence[int] = (1, 1, 4, 3),
        blocks: Sequence[int] = (4, 4, 4, 4),
        stage1_width: int = 64,
        padding: Padding = "same",
        upsampling: Upsampling = "bilinear",
        outputs: Sequence[int] = ALL_OUTPUTS,
    ) -> None:
        super().__init__()
        check_choice("padding", padding, ("same", "symmetric"))
        check_choice("upsampling", upsampling, ("bilinear", "nearest"))
        for name, numbers in (("widths", widths), ("modules", modules), ("blocks", blocks)):
            if len(numbers) != 4:
                raise ValueError(f"{name} must have four numbers, got {tuple(numbers)}")
        self.widths = tuple(widths)
        self.modules_ = tuple(modules)  # torch's Module has a method of the name
        self.blocks = tuple(blocks)
        self.stage1_width = stage1_width
        self.padding: Padding = padding
        self.upsampling: Upsampling = upsampling

        self.conv1 = _conv3x3(3, 64, stride=2, padding=padding)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = _conv3x3(64, 64, stride=2, padding=padding)
        self.bn2 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        out = stage1_width * _Bottleneck.expansion
        self.layer1 = nn.Sequential(
            _Bottleneck(64, stage1_width), *(_Bottleneck(out, stage1_width) for _ in range(blocks[0] - 1))
        )
        self.transition1 = _transition([out], widths[:2], padding)
        self.stage2 = _stage(widths[:2], modules[1], blocks[1], padding, upsampling)
        self.transition2 = _transition(widths[:2], widths[:3], padding)
        self.stage3 = _stage(widths[:3], modules[2], blocks[2], padding, upsampling)
        self.transition3 = _transition(widths[:3], widths[:4], padding)
        self.stage4 = _stage(widths[:4], modules[3], blocks[3], padding, upsampling)
        he_normal_(self)
        self.outputs: tuple[int, ...] = ALL_OUTPUTS
        self.keep(outputs)
        self.tile_bytes: int | None = None

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the features that are returned."""
        return tuple((64, *self.widths)[index] for index in self.outputs)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the features that are returned."""
        return tuple((2, 4, 8, 16, 32)[index] for index in self.outputs)

    @property
    def left_out(self) -> tuple[str, ...]:
        """How the names of the parameters begin that a network of all five features has, and this one has not."""
        branches = [index - 1 for index in ALL_OUTPUTS[1:] if index not in self.outputs]
        return tuple(f"stage4.{len(self.stage4) - 1}.fuse_layers.{branch}." for branch in branches)

    def keep(self, outputs: Sequence[int]) -> None:
        """Return these features alone from now on, and drop the parameters that only the others need.

        Args:
            outputs: Some of `outputs`, in order.

        Raises:
            ValueError: If there is none, one is not in `outputs`, or they are out of order.
        """
        outputs = tuple(outputs)
        if not outputs or not set(outputs) <= set(self.outputs) or list(outputs) != sorted(set(outputs)):
            raise ValueError(f"outputs must be some of {self.outputs}, each once and in order, got {outputs}")
        self.outputs = outputs
        last = self.stage4[-1]
        assert isinstance(last, _Exchange)
        last.keep([index - 1 for index in outputs if index > 0])

    folds = (("conv1", "bn1"), ("conv2", "bn2"))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of a normalised image, (N, 3, H, W), the highest resolution first."""
        check_nchw("image", image, 3)
        stem = self._stem(image)
        branches = self._stages(self._stage1(stem))
        return [stem, *branches] if 0 in self.outputs else branches

    def levels(self, image: Tensor | Level) -> list[Tensor | Level]:
        """Return what ``forward`` returns, where ``tile_bytes`` is set.

        Stem and stage 1, which are local and whose features are the largest, are computed in tiles then, and the
        stem's feature, if it is returned, is a level, computed again where it is asked for.
        """
        stem, stage1 = self._halos()
        if self.tile_bytes is None or stem is None or stage1 is None:
            return self(wholes(image))
        height, width = size_of(image)
        first = Level([image], ((height + 1) // 2, (width + 1) // 2), self._stem, halo=stem, stride=2, channels=64 // 4)
        branches = tiled(
            lambda x: self._stage1(self._stem(x)),
            image,
            halo=stage1,
            strides=(4, 8),
            channels=self.stage1_width * _Bottleneck.expansion // 16,
            tile_bytes=self.tile_bytes,
        )
        branches = self._stages(branches)
        return [first, *branches] if 0 in self.outputs else [*branches]

    def _halos(self) -> tuple[int | None, int | None]:
        """How far stem, and stem and stage 1 together, see in image pixels."""
        stem = [self.conv1, self.bn1, self.relu]
        stage1 = [*stem, self.conv2, self.bn2, self.relu, self.layer1]
        fine, coarse = self.transition1
        return halo(nn.Sequential(*stem), stride=2), parallel(
            halo(nn.Sequential(*stage1, fine), stride=4), halo(nn.Sequential(*stage1, coarse), stride=8)
        )

    def _stem(self, image: Tensor) -> Tensor:
        return self.relu(self.bn1(self.conv1(image)))

    def _stage1(self, stem: Tensor) -> list[Tensor]:
        """Stage 1, and what it hands to the two branches of stage 2, at 1/4 and 1/8."""
        return _transit(self.transition1, [self.layer1(self.relu(self.bn2(self.conv2(stem))))])

    def _stages(self, branches: list[Tensor]) -> list[Tensor]:
        for transition, stage in (
            (None, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            branches = stage(branches if transition is None else _transit(transition, branches))
        return branches


class _Exchange(nn.Module):
    """A module of a stage: residual blocks on each branch, then every branch that is kept receives the sum of all."""

    def __init__(self, widths: Sequence[int], blocks: int, padding: Padding, upsampling: Upsampling) -> None:
        super().__init__()
        self.upsampling: Upsampling = upsampling
        self.branches = nn.ModuleList(nn.Sequential(*(_BasicBlock(width) for _ in range(blocks))) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange_path(widths, source, target, padding) for source in range(len(widths)))
            for target in range(len(widths))
        )
        self.targets = tuple(range(len(widths)))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        return [self.relu(self._receive(target, branches)) for target in self.targets]

    def keep(self, targets: Sequence[int]) -> None:
        """Return these branches alone from now on; the places of the other paths stay, so that no name changes."""
        self.targets = tuple(targets)
        for target in range(len(self.fuse_layers)):
            if target not in self.targets:
                self.fuse_layers[target] = nn.ModuleList()

    def _receive(self, target: int, branches: list[Tensor]) -> Tensor:
        total = branches[target]
        for source, (x, path) in enumerate(zip(branches, self._paths(target), strict=True)):
            if source < target:
                total = total + path(x)
            elif source > target:
                total = total + _resize(path(x), branches[target].shape[-2:], self.upsampling)
        return total

    def _paths(self, target: int) -> nn.ModuleList:
        paths = self.fuse_layers[target]
        assert isinstance(paths, nn.ModuleList)
        return paths


class _BasicBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(width, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    folds = (("conv1", "bn1"), ("conv2", "bn2"))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class _Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        out = width * self.expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            None
            if in_channels == out
            else nn.Sequential(nn.Conv2d(in_channels, out, 1, bias=False), nn.BatchNorm2d(out))
        )

    folds = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    @property
    def halo(self) -> int | None:
        way = chain(self.conv1, self.bn1, self.relu, self.conv2, self.bn2, self.relu, self.conv3, self.bn3)
        return chain(parallel(way, 0 if self.downsample is None else self.downsample), self.relu)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


def _conv3x3(in_channels: int, out_channels: int, *, stride: int = 1, padding: Padding = "symmetric") -> nn.Conv2d:
    if stride == 2 and padding == "same":
        return SameConv2d(in_channels, out_channels, 3, stride, bias=False)
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


def _conv_bn(in_channels: int, out_channels: int, *, stride: int, padding: Padding, relu: bool) -> nn.Sequential:
    layers = [_conv3x3(in_channels, out_channels, stride=stride, padding=padding), nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


def _exchange_path(widths: Sequence[int], source: int, target: int, padding: Padding) -> nn.Module:
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(nn.Conv2d(widths[source], widths[target], 1, bias=False), nn.BatchNorm2d(widths[target]))
    steps = [
        _conv_bn(widths[source], widths[source], stride=2, padding=padding, relu=True)
        for _ in range(target - source - 1)
    ]
    return nn.Sequential(*steps, _conv_bn(widths[source], widths[target], stride=2, padding=padding, relu=False))


def _stage(widths: Sequence[int], modules: int, blocks: int, padding: Padding, upsampling: Upsampling) -> nn.Sequential:
    return nn.Sequential(*(_Exchange(widths, blocks, padding, upsampling) for _ in range(modules)))


def _transition(before: Sequence[int], after: Sequence[int], padding: Padding) -> nn.ModuleList:
    """Bring the branches to the next stage's widths and add a coarser one, made from the coarsest."""
    kept = [
        nn.Identity() if old == new else _conv_bn(old, new, stride=1, padding=padding, relu=True)
        for old, new in zip(before, after[: len(before)], strict=True)
    ]
    added = nn.Sequential(_conv_bn(before[-1], after[-1], stride=2, padding=padding, relu=True))
    return nn.ModuleList([*kept, added])


def _transit(transition: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
    sources = [*branches, branches[-1]]
    return [layer(x) for layer, x in zip(transition, sources, strict=True)]


def _resize(x: Tensor, size: Sequence[int], mode: Upsampling) -> Tensor:
    return F.interpolate(x, size=size, mode=mode, align_corners=False if mode == "bilinear" else None)


def hrnet_w18_small_v1(
    *, padding: Padding = "same", upsampling: Upsampling = "bilinear", outputs: Sequence[int] = ALL_OUTPUTS
) -> HRNet:
    """HRNet-W18-Small-v1: branches of 16, 32, 64, 128 channels, one exchange module a stage."""
    return HRNet(
        (16, 32, 64, 128),
        modules=(1, 1, 1, 1),
        blocks=(1, 2, 2, 2),
        stage1_width=32,
        padding=padding,
        upsampling=upsampling,
        outputs=outputs,
    )


def hrnet_w18_small_v2(
    *, padding: Padding = "same", upsampling: Upsampling = "bilinear", outputs: Sequence[int] = ALL_OUTPUTS
) -> HRNet:
    """HRNet-W18-Small-v2: branches of 18, 36, 72, 144 channels, two blocks a branch."""
    return HRNet(
        _widths(18), modules=(1, 1, 3, 2), blocks=(2, 2, 2, 2), padding=padding, upsampling=upsampling, outputs=outputs
    )


def hrnet_w18(
    *, padding: Padding = "same", upsampling: Upsampling = "bilinear", outputs: Sequence[int] = ALL_OUTPUTS
) -> HRNet:
    """HRNet-W18: branches of 18, 36, 72, 144 channels."""
    return HRNet(_widths(18), padding=padding, upsampling=upsampling, outputs=outputs)


def hrnet_w30(
    *, padding: Padding = "same", upsampling: Upsampling = "bilinear", outputs: Sequence[int] = ALL_OUTPUTS
) -> HRNet:
    """HRNet-W30: branches of 30, 60, 120, 240 channels."""
    return HRNet(_widths(30), padding=padding, upsampling=upsampling, outputs=outputs)


def hrnet_w32(
    *, padding: Padding = "same", upsampling: Upsampling = "bilinear", outputs: Sequence[int] = ALL_OUTPUTS
) -> HRNet:
    """HRNet-W32: branches of 32, 64, 128, 256 channels."""
    return HRNet(_widths(32), padding=padding, upsampling=upsampling, outputs=outputs)


def hrnet_w40(
    *, padding: Padding = "same", upsampling: Upsampling = "bilinear", outputs: Sequence[int] = ALL_OUTPUTS
) -> HRNet:
    """HRNet-W40: branches of 40, 80, 160, 320 channels."""
    return HRNet(_widths(40), padding=padding, upsampling=upsampling, outputs=outputs)


def hrnet_w44(
    *, padding: Padding = "same", upsampling: Upsampling = "bilinear", outputs: Sequence[int] = ALL_OUTPUTS
) -> HRNet:
    """HRNet-W44: branches of 44, 88, 176, 352 channels."""
    return HRNet(_widths(44), padding=padding, upsampling=upsampling, outputs=outputs)


def hrnet_w48(
    *, padding: Padding = "same", upsampling: Upsampling = "bilinear", outputs: Sequence[int] = ALL_OUTPUTS
) -> HRNet:
    """HRNet-W48: branches of 48, 96, 192, 384 channels; the encoder of the paper."""
    return HRNet(_widths(48), padding=padding, upsampling=upsampling, outputs=outputs)


def hrnet_w64(
    *, padding: Padding = "same", upsampling: Upsampling = "bilinear", outputs: Sequence[int] = ALL_OUTPUTS
) -> HRNet:
    """HRNet-W64: branches of 64, 128, 256, 512 channels."""
    return HRNet(_widths(64), padding=padding, upsampling=upsampling, outputs=outputs)


def _widths(width: int) -> tuple[int, int, int, int]:
    return width, 2 * width, 4 * width, 8 * width

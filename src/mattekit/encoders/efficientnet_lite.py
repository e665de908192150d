"""EfficientNet-Lite (Liu 2020): EfficientNet without squeeze-and-excitation and with ReLU6, for small machines."""

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from mattekit._checks import check_nchw, check_positive
from mattekit._init import he_normal_
from mattekit.encoders.same_conv import SameConv2d
from mattekit.windows import Level, halo, tiled

# Of each stage of Lite0: blocks, side of the depthwise kernel, stride of the first block, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_READ = (0, 1, 2, 4, 6)  # the last stage of each resolution


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite up to its last stage; the head that classifies is left out.

    Takes a normalised image, (N, 3, H, W), and returns five features, for Lite0 (N, 16, H/2, W/2), 24 channels at 1/4,
    40 at 1/8, 112 at 1/16 and 320 at 1/32. A side that 2, 4, ... does not divide is rounded up. The published weights
    were trained on images with mean and std 0.5.

    Args:
        width: Multiplier of the stages' channels, which are then rounded to multiples of 8.
        depth: Multiplier of the blocks in all stages but the first and the last.

    Raises:
        ValueError: If a multiplier is not positive.

    Source:
        https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html; multipliers,
        padding and rounding as in the reference code,
        https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. Stochastic depth is left out.

    Example:
        >>> import torch
        >>> from mattekit.encoders import efficientnet_lite0
        >>> encoder = efficientnet_lite0().eval()
        >>> [tuple(feature.shape) for feature in encoder(torch.rand(1, 3, 64, 96))]
        [(1, 16, 32, 48), (1, 24, 16, 24), (1, 40, 8, 12), (1, 112, 4, 6), (1, 320, 2, 3)]
    """

    strides = (2, 4, 8, 16, 32)

    def __init__(self, *, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        check_positive("width", width)
        check_positive("depth", depth)
        self.width, self.depth = width, depth
        self.stem = nn.Sequential(*_conv_bn("", 3, 32, 3, stride=2).values(), nn.ReLU6(inplace=True))
        self.blocks = nn.ModuleList()
        self._read: list[int] = []  # the last block of each resolution
        channels, widths = 32, []
        for index, (repeats, kernel_size, stride, expansion, base) in enumerate(_STAGES):
            if 0 < index < len(_STAGES) - 1:
                repeats = math.ceil(repeats * depth)
            out = _rounded(base * width)
            for repeat in range(repeats):
                block = _InvertedResidual(
                    channels, out, kernel_size, stride=stride if repeat == 0 else 1, expansion=expansion
                )
                self.blocks.append(block)
                channels = out
            if index in _READ:
                self._read.append(len(self.blocks) - 1)
                widths.append(out)
        self.channels = tuple(widths)
        he_normal_(self)
        self.tile_bytes: int | None = None

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the five features of a normalised image, (N, 3, H, W), the highest resolution first."""
        check_nchw("image", image, 3)
        return self._features(self.stem(image), range(len(self.blocks)))

    def levels(self, image: Tensor | Level) -> Sequence[Tensor]:
        """Return what ``forward`` returns; where ``tile_bytes`` is set, what is as fine as 1/4 is computed in tiles."""
        fine, coarse = range(self._read[1] + 1), range(self._read[1] + 1, len(self.blocks))
        features = tiled(
            lambda x: self._features(self.stem(x), fine),
            image,
            halo=nn.Sequential(self.stem, *(self.blocks[index] for index in fine)),
            strides=self.strides[:2],
            channels=_STAGES[1][3] * self.channels[0] // 4,
            tile_bytes=self.tile_bytes,
        )
        return [*features, *self._features(features[-1], coarse)]

    def _features(self, x: Tensor, blocks: Iterable[int]) -> list[Tensor]:
        """What is read of these blocks, one after another."""
        features = []
        for index in blocks:
            x = self.blocks[index](x)
            if index in self._read:
                features.append(x)
        return features


class _InvertedResidual(nn.Module):
    """Widen by a 1×1 convolution, filter each channel alone, and narrow; the input is added where the shape allows."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        layers: dict[str, nn.Module] = {}
        if expansion > 1:
            layers |= _conv_bn("expand", channels, inner, 1) | {"expand_relu": nn.ReLU6(inplace=True)}
        layers |= _conv_bn("depthwise", inner, inner, kernel_size, stride=stride, groups=inner)
        layers |= {"depthwise_relu": nn.ReLU6(inplace=True)}
        layers |= _conv_bn("project", inner, out_channels, 1)
        self.layers = nn.Sequential(OrderedDict(layers))
        self.residual = stride == 1 and channels == out_channels
        self._stride = stride

    @property
    def stride(self) -> int:
        return self._stride

    @property
    def halo(self) -> int | None:
        return halo(self.layers, stride=self.stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layers(x)
        if self.residual:
            out += x
        return out


def _conv_bn(
    name: str, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1
) -> dict[str, nn.Module]:
    if stride == 2:
        conv = SameConv2d(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)
    else:
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False)
    return {name: conv, f"{name}_bn": nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01)}


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, but no less than nine tenths."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def efficientnet_lite0() -> EfficientNetLite:
    """EfficientNet-Lite0: features of 16, 24, 40, 112 and 320 channels."""
    return EfficientNetLite()


def efficientnet_lite1() -> EfficientNetLite:
    """EfficientNet-Lite1: Lite0's channels, a tenth deeper."""
    return EfficientNetLite(depth=1.1)


def efficientnet_lite2() -> EfficientNetLite:
    """EfficientNet-Lite2: a tenth wider than Lite0, a fifth deeper."""
    return EfficientNetLite(width=1.1, depth=1.2)


def efficientnet_lite3() -> EfficientNetLite:
    """EfficientNet-Lite3: a fifth wider than Lite0, two fifths deeper."""
    return EfficientNetLite(width=1.2, depth=1.4)


def efficientnet_lite4() -> EfficientNetLite:
    """EfficientNet-Lite4: two fifths wider than Lite0, four fifths deeper."""
    return EfficientNetLite(width=1.4, depth=1.8)

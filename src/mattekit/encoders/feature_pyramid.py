"""The feature pyramid of Lin et al. (2017): what the coarse features know is carried to the finer ones."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from mattekit._checks import check_nchw
from mattekit._init import he_normal_
from mattekit.encoders.protocol import Encoder, check_declaration
from mattekit.windows import Level, levels_of, size_of, through


class FeaturePyramid(nn.Module):
    """An encoder whose features pass a top-down path; itself an `Encoder`, narrow where resolution is high.

    From the coarsest level on, each is a 1×1 convolution of the encoder's feature, plus the level above, brought to its
    width by another and upsampled, and then a 3×3 convolution; batch normalisation and ReLU follow. The finest levels,
    of which ``plain`` says how many, are a 1×1 convolution of the encoder's feature alone.

    Args:
        encoder: Any `Encoder`.
        widths: Channels of each level, one for each feature of the encoder, the highest resolution first.
        keep: Which levels to return, in increasing order. PP-Matting gives the first two to its detail branch and the
            last to its context branch. None: all.
        plain: How many of the finest levels take nothing from above.
        channels: Channels of the levels that are returned, where a reader cannot afford the width that a level has
            within the pyramid: a 1×1 convolution brings it there. None: their widths.

    Attributes:
        channels: Channels of the levels that are kept.
        strides: Their strides.

    Raises:
        TypeError: If ``encoder`` is no module, or has no channels and strides.
        ValueError: If the encoder has not a stride for each feature, ``widths`` are not as many as its features,
            ``keep`` does not name levels in increasing order, ``plain`` leaves no level to build a pyramid of, or
            ``channels`` are not as many as ``keep``.

    Source:
        Lin et al. 2017, arXiv 1612.03144, section 3. There all levels have 256 channels; here each has its own, so that
        a level of high resolution costs little. PP-Matting itself has no such path: its context branch sees the
        coarsest feature alone, and its detail branch no more than gates of what the context branch knows.

    Example:
        >>> import torch
        >>> from mattekit.encoders import FeaturePyramid, efficientnet_lite0
        >>> encoder = FeaturePyramid(efficientnet_lite0(), (8, 16, 32, 96, 96), keep=(0, 1, 3)).eval()
        >>> encoder.strides
        (2, 4, 16)
        >>> [tuple(feature.shape) for feature in encoder(torch.rand(1, 3, 64, 96))]
        [(1, 8, 32, 48), (1, 16, 16, 24), (1, 96, 4, 6)]
    """

    def __init__(
        self,
        encoder: Encoder,
        widths: Sequence[int],
        *,
        keep: Sequence[int] | None = None,
        plain: int = 1,
        channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_declaration(encoder)
        assert isinstance(encoder, nn.Module)
        count = len(encoder.channels)
        keep = tuple(range(count) if keep is None else keep)
        if len(widths) != count:
            raise ValueError(f"widths must have {count} numbers, as the encoder has features, got {tuple(widths)}")
        if not keep or not set(keep) <= set(range(count)) or list(keep) != sorted(set(keep)):
            raise ValueError(f"keep must name levels 0 to {count - 1}, each once and in order, got {keep}")
        if not 0 <= plain < count:
            raise ValueError(f"plain must be 0 to {count - 1}, got {plain}")
        if channels is not None and len(channels) != len(keep):
            raise ValueError(f"channels must have {len(keep)} numbers, one for each level kept, got {tuple(channels)}")
        self.encoder = encoder
        self.widths = tuple(widths)
        self.keep = keep
        self.plain = plain
        self.channels = tuple(widths[level] for level in keep) if channels is None else tuple(channels)
        self.strides = tuple(encoder.strides[level] for level in keep)
        for name in ("mean", "std"):  # what the encoder's weights expect holds for the pyramid
            if hasattr(encoder, name):
                setattr(self, name, getattr(encoder, name))

        levels = range(keep[0], count)
        self.laterals = nn.ModuleDict({str(i): nn.Conv2d(encoder.channels[i], widths[i], 1) for i in levels})
        self.descents = nn.ModuleDict(
            {str(i): nn.Conv2d(widths[i + 1], widths[i], 1, bias=False) for i in levels if plain <= i < count - 1}
        )
        self.outputs = nn.ModuleDict({str(i): _output(widths[i], 1 if i < plain else 3) for i in levels})
        self.heads = nn.ModuleDict(
            {
                str(i): nn.Conv2d(widths[i], returned, 1)
                for i, returned in zip(keep, self.channels, strict=True)
                if returned != widths[i]
            }
        )
        he_normal_(self.laterals)
        he_normal_(self.descents)
        he_normal_(self.outputs)
        he_normal_(self.heads)
        self.tile_bytes: int | None = None

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the kept levels for a normalised image, (N, 3, H, W), the highest resolution first."""
        check_nchw("image", image, 3)
        return [level.whole() for level in self.levels(image)]

    def levels(self, image: Tensor | Level) -> list[Level]:
        """Return what ``forward`` returns, as levels: a level that nobody asks for is not computed."""
        levels: dict[int, Level] = {}
        features = levels_of(self.encoder, image, tile_bytes=self.tile_bytes)
        for level, feature in reversed(list(enumerate(features))):
            key = str(level)
            if key not in self.laterals:
                break
            joined = [through(feature, self.laterals[key])]
            if key in self.descents:
                joined.append(through(levels[level + 1], self.descents[key]))
            output = self.outputs[key]
            levels[level] = Level(joined, size_of(feature), partial(_joined, output), halo=output)
        return [through(levels[i], self.heads[str(i)]) if str(i) in self.heads else levels[i] for i in self.keep]


def _joined(output: nn.Module, lateral: Tensor, *above: Tensor) -> Tensor:
    return output(sum(above, lateral))


def _output(channels: int, kernel_size: int) -> nn.Sequential:
    if kernel_size == 1:
        return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )

"""What PP-Matting needs of an encoder."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from mattekit._checks import check_module


@runtime_checkable
class Encoder(Protocol):
    """Any module that turns an image into features and says how wide and how coarse each is.

    Attributes:
        channels: Channels of each feature, the highest resolution first.
        strides: Image pixels a feature pixel spans, increasing; a feature has ``ceil(side / stride)`` pixels a side.

    PP-Matting gives the first two features to its detail branch and the last to its context branch.

    Source:
        Section 3.1, "Shared Encoder".

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from mattekit.encoders import Encoder
        >>> class Tiny(nn.Module):
        ...     channels, strides = (8, 16, 32), (2, 4, 32)
        ...
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.layers = nn.ModuleList(
        ...             [nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 16, 2, 2), nn.Conv2d(16, 32, 8, 8)]
        ...         )
        ...
        ...     def forward(self, image):
        ...         features = []
        ...         for layer in self.layers:
        ...             features.append(layer(features[-1] if features else image))
        ...         return features
        >>> isinstance(Tiny(), Encoder)
        True
        >>> [tuple(f.shape) for f in Tiny()(torch.rand(1, 3, 64, 96))]
        [(1, 8, 32, 48), (1, 16, 16, 24), (1, 32, 2, 3)]
    """

    @property
    def channels(self) -> Sequence[int]:
        """Channels of each feature."""
        ...

    @property
    def strides(self) -> Sequence[int]:
        """Image pixels a feature pixel spans."""
        ...

    def __call__(self, image: Tensor, /) -> Sequence[Tensor]:
        """Features of a normalised image, the highest resolution first."""
        ...


def check_declaration(encoder: object) -> None:
    """Check that it is an `Encoder` with a stride for each feature."""
    check_module("encoder", encoder)
    if not isinstance(encoder, Encoder):
        raise TypeError(f"encoder must have channels and strides, which {type(encoder).__name__} lacks")
    if len(encoder.strides) != len(encoder.channels):
        raise ValueError(
            f"encoder must have a stride for each feature, got channels {tuple(encoder.channels)} "
            f"and strides {tuple(encoder.strides)}"
        )

"""How samples reach the network: tensors of one size, and which of them have layers."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mattekit.data.sample import Sample


@dataclass(frozen=True, order=True)
class Position:
    """Where a loader stands: the next sample is number ``index`` of epoch ``epoch``."""

    epoch: int = 0
    index: int = 0


START = Position()


@dataclass(frozen=True)
class Batch:
    """Samples of one size as tensors.

    Attributes:
        image: (N, 3, H, W) float32 in [0, 1].
        alpha: (N, 1, H, W) float32 in [0, 1].
        trimap: (N, 1, H, W) uint8: 0 background, 128 unknown, 255 foreground.
        foreground: (N, 3, H, W) float32 in [0, 1]; zeros where ``has_layers`` is False.
        background: Likewise.
        has_layers: (N,) bool: whether a sample's foreground and background are known.
        names: What the samples are called.
        position: Where the loader stands after this batch, over all processes.
        skipped: One line each for the samples that could not be read, where the loader was asked to skip them.
    """

    image: Tensor
    alpha: Tensor
    trimap: Tensor
    foreground: Tensor
    background: Tensor
    has_layers: Tensor
    names: tuple[str, ...]
    position: Position = START
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """The same batch on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """The same batch in page-locked memory, which a GPU copies while the program goes on."""
        return self._map(Tensor.pin_memory)

    def _map(self, function) -> Self:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: function(x) for name, x in values.items() if isinstance(x, Tensor)})


def collate(samples: Sequence[Sample], *, position: Position = START, skipped: Sequence[str] = ()) -> Batch:
    """Put samples of one size, each with a trimap, into a batch.

    Args:
        samples: At least one. Images of uint8 are divided by 255.
        position: Handed on.
        skipped: Handed on.

    Returns:
        The batch. Where a sample lacks foreground or background, both are zeros and ``has_layers`` is False.

    Raises:
        ValueError: If there is no sample, one has another size, or one has no trimap; it is named.

    Example:
        >>> grey = np.full((2, 3, 3), 51, np.uint8)
        >>> unknown = np.full((2, 3), 128, np.uint8)
        >>> batch = collate([Sample(grey, np.ones((2, 3), np.float32), trimap=unknown, name="grey")])
        >>> batch.image.shape, float(batch.image.max()), batch.has_layers.tolist()
        (torch.Size([1, 3, 2, 3]), 0.200..., [False])
    """
    if not samples:
        raise ValueError("samples must hold at least one, got none")
    size = samples[0].size
    for sample in samples:
        if sample.size != size:
            raise ValueError(
                f"samples must have one size, got {samples[0].name!r} of {size} and {sample.name!r} of {sample.size}: "
                "let the transform end with one size"
            )
        if sample.trimap is None:
            raise ValueError(f"samples must have a trimap, {sample.name!r} has none")
    return Batch(
        image=_pictures([sample.image for sample in samples]),
        alpha=torch.from_numpy(np.stack([sample.alpha for sample in samples])[:, None]),
        trimap=torch.from_numpy(np.stack([sample.trimap for sample in samples if sample.trimap is not None])[:, None]),
        foreground=_pictures([sample.foreground if sample.has_layers else None for sample in samples], size),
        background=_pictures([sample.background if sample.has_layers else None for sample in samples], size),
        has_layers=torch.tensor([sample.has_layers for sample in samples]),
        names=tuple(sample.name for sample in samples),
        position=position,
        skipped=tuple(skipped),
    )


def empty_batch(*, position: Position, skipped: Sequence[str]) -> Batch:
    """A batch of which no sample could be read."""
    pictures, maps = torch.zeros(0, 3, 0, 0), torch.zeros(0, 1, 0, 0)
    return Batch(
        image=pictures,
        alpha=maps,
        trimap=maps.to(torch.uint8),
        foreground=pictures,
        background=pictures,
        has_layers=torch.zeros(0, dtype=torch.bool),
        names=(),
        position=position,
        skipped=tuple(skipped),
    )


def _pictures(pictures: Sequence[np.ndarray | None], size: tuple[int, int] = (0, 0)) -> Tensor:
    """Pictures as (N, 3, H, W) float32 in [0, 1], zeros for None."""
    shape = next((picture.shape[:2] for picture in pictures if picture is not None), size)
    tensors = torch.zeros(len(pictures), 3, *shape)
    for tensor, picture in zip(tensors, pictures, strict=True):
        if picture is not None:
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1))
            if picture.dtype == np.uint8:
                tensor /= 255
    return tensors

"""Parts of an image: what of another they are made of, how they are cut into tiles, and how tiles are joined."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]
Spans = tuple[range, range]
"""Rows and columns of a part."""


class Window(NamedTuple):
    """A part of an image, in pixels, in the order of torchvision's ``crop``."""

    top: int
    left: int
    height: int
    width: int


def spans_of(window: Window | None, size: Size) -> Spans:
    """Return a window as rows and columns, of an image of this size; None is all of it.

    Raises:
        ValueError: If the window is not within the image.
    """
    if window is None:
        return range(size[0]), range(size[1])
    top, left, height, width = window
    if not (0 <= top < top + height <= size[0] and 0 <= left < left + width <= size[1]):
        raise ValueError(f"window must lie within {size}, top, left, height and width, got {tuple(window)}")
    return range(top, top + height), range(left, left + width)


def window_of(spans: Spans) -> Window:
    """Return rows and columns as a window."""
    rows, columns = spans
    return Window(rows.start, columns.start, len(rows), len(columns))


def cut(x: Tensor, at: Spans, spans: Spans) -> Tensor:
    """Cut ``spans`` of the whole out of the part of it that lies ``at``."""
    if at == spans:
        return x
    rows, columns = (slice(b.start - a.start, b.stop - a.start) for a, b in zip(at, spans, strict=True))
    return x[:, :, rows, columns]


def coarser(size: Sequence[int], factor: int) -> Size:
    """Return height and width over a factor, rounded up, in a form that ONNX divides alike."""
    height, width = ((side + factor - 1) // factor for side in size)
    return height, width


def cropped(x: Tensor, size: Sequence[int]) -> Tensor:
    """Cut what is beyond ``size``, height and width, off the bottom and the right of (N, C, H, W)."""
    if torch.compiler.is_compiling():  # of a slice, torch.export would ask for a proof that it lies within
        return F.pad(x, (0, size[1] - x.shape[-1], 0, size[0] - x.shape[-2]))
    return x[..., : size[0], : size[1]]


def surroundings(span: range, side: int, halo: int, stride: int) -> range:
    """What ``span`` of a result sees, of an input of ``side`` pixels that is ``stride`` times finer.

    It begins at a multiple of the stride, and ends where the whole does modulo the stride, so that convolutions that
    pad by what remains of a side do so as on the whole.
    """
    start = max(span.start * stride - halo, 0) // stride * stride
    stop = min(span.stop * stride + halo, side)
    return range(start, min(stop + (side - stop) % stride, side))


def union(a: range, b: range) -> range:
    """Return the least range that holds both."""
    return range(min(a.start, b.start), max(a.stop, b.stop))


def over(span: range, stride: int) -> range:
    """A part that begins at a multiple of ``stride``, at a resolution that much coarser."""
    return range(span.start // stride, -(-span.stop // stride))


def both(function: Callable[..., range], *sides: Sequence[Any]) -> Spans:
    """Apply a function to rows, and to columns."""
    rows, columns = (function(*arguments) for arguments in zip(*sides, strict=True))
    return rows, columns


def assembled(
    on: Callable[[Spans], Sequence[Tensor]], tiles: Sequence[Spans], spans: Spans, strides: Sequence[int]
) -> list[Tensor]:
    """What ``on`` returns for each tile, joined; its results may be coarser than the tiles by ``strides``."""
    if len(tiles) == 1:
        return list(on(tiles[0]))
    joined: list[Tensor] = []
    for tile in tiles:
        results = on(tile)
        if not joined:
            joined = [_room_for(x, both(over, spans, (s, s))) for x, s in zip(results, strides, strict=True)]
        for whole, x, s in zip(joined, results, strides, strict=True):
            cut(whole, both(over, spans, (s, s)), both(over, tile, (s, s))).copy_(x)
        del results
    return joined


def _room_for(x: Tensor, spans: Spans) -> Tensor:
    rows, columns = spans
    memory_format = torch.channels_last if x.stride(1) == 1 else torch.contiguous_format
    shape = (*x.shape[:2], len(rows), len(columns))
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format)


def tiles_of(spans: Spans, pixels: int, *, at_least: int, step: int = 1) -> list[Spans]:
    """Cut a part into tiles of some ``pixels``, of sides that are multiples of ``step`` but for the last."""
    if len(spans[0]) * len(spans[1]) <= pixels:
        return [spans]
    columns = list(_pieces(spans[1], max(math.isqrt(pixels), at_least, 1), step))
    rows = _pieces(spans[0], max(pixels // max(map(len, columns), default=1), at_least, 1), step)
    return [(row, column) for row in rows for column in columns] or [spans]


def _pieces(span: range, most: int, step: int) -> Iterator[range]:
    """Equal pieces of ``most`` pixels or, rounded up to ``step``, few more."""
    if span:
        side = math.ceil(len(span) / math.ceil(len(span) / most))
        side = -(-side // step) * step
        for start in range(span.start, span.stop, side):
            yield range(start, min(start + side, span.stop))

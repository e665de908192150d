"""Functions of images, computed in tiles that fit the cache.

At full resolution one feature of 64 channels is 67 MB for an image of 512². Tensors of that size come fresh from the
system, page by page, each time, and pass through memory on the way to the next layer: on a CPU that costs more than
the arithmetic. A tile stays in the cache. A tile is computed with a halo of pixels that are then cut away, as many as
its convolutions can see, so that every pixel that is kept is what the whole image gives.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

TILE_BYTES = 24 << 20
"""Size of the widest feature of a tile: large enough for the halo not to weigh, and below the 32 MiB from which on
glibc takes memory afresh from the system."""

Tensors = Sequence[Tensor]
Function = Callable[[Tensors, Sequence[int]], tuple[Tensor, ...]]


def run_in_tiles(
    function: Function, inputs: Tensors, size: Sequence[int], *, channels: int, convs: int
) -> tuple[Tensor, ...]:
    """Call ``function`` on tiles of its result, and join what it returns.

    Args:
        function: Takes tensors and the size of the result, brings them there bilinearly, and convolves.
        inputs: What it takes, each (N, C, h, w).
        size: Height and width of the result.
        channels: Of the widest feature within.
        convs: 3×3 convolutions, one after another, within.

    Returns:
        What ``function(inputs, size)`` returns. That is what is called where the result is no larger than a tile, or
        a side of it no multiple of some input's.
    """
    height, width = size
    if any(height % x.shape[-2] or width % x.shape[-1] for x in inputs):
        return function(inputs, size)
    # tiles begin where a pixel of the coarsest input begins
    step = max(max(height // x.shape[-2], width // x.shape[-1]) for x in inputs)
    halo = _round_up(convs + step // 2, step)  # one pixel a convolution, and those between the last two coarse ones
    pixels = TILE_BYTES // (channels * inputs[0].shape[0] * inputs[0].element_size())
    columns = _spans(width, max(math.isqrt(pixels), 4 * halo, step), step, halo)
    rows = _spans(height, max(pixels // columns[0].end, 4 * halo, step), step, halo)
    if len(rows) == len(columns) == 1:
        return function(inputs, size)
    bands = []
    for row in rows:
        tiles = []
        for column in columns:
            cut = [x[:, :, row.seen(height, x.shape[-2]), column.seen(width, x.shape[-1])] for x in inputs]
            parts = function(cut, (row.last - row.first, column.last - column.first))
            tiles.append([part[:, :, row.kept, column.kept] for part in parts])
        bands.append([torch.cat(parts, dim=3) for parts in zip(*tiles, strict=True)])
    return tuple(torch.cat(parts, dim=2) for parts in zip(*bands, strict=True))


class _Span(NamedTuple):
    """One tile's begin and end along a side of the result, and those of what it is computed from."""

    begin: int
    end: int
    first: int
    last: int

    @property
    def kept(self) -> slice:
        return slice(self.begin - self.first, self.end - self.first)

    def seen(self, length: int, input_length: int) -> slice:
        """What the tile is computed from, of an input whose side is a fraction of the result's."""
        return slice(self.first * input_length // length, self.last * input_length // length)


def _spans(length: int, most: int, step: int, halo: int) -> list[_Span]:
    """Cut a side into equal parts of ``most`` pixels or, rounded up to ``step``, few more."""
    part = _round_up(math.ceil(length / math.ceil(length / most)), step)
    begins = range(0, length, part)
    return [
        _Span(begin, min(begin + part, length), max(begin - halo, 0), min(begin + part + halo, length))
        for begin in begins
    ]


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step

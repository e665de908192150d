"""Features that one function makes together, computed tile by tile."""

from collections.abc import Callable, Sequence

from torch import Tensor

from mattekit.windows.levels import Level, compute_levels, size_of
from mattekit.windows.spans import Spans, assembled, both, cut, over, surroundings, tiles_of, window_of


def tiled(
    function: Callable[[Tensor], Sequence[Tensor]],
    x: Tensor | Level,
    *,
    halo: int,
    strides: Sequence[int],
    channels: int,
    tile_bytes: int,
) -> list[Tensor]:
    """Call a function that returns features of several resolutions on tiles of its input, and join what it returns.

    Args:
        function: Takes an image, and returns features whose sides are its own over ``strides``, rounded up.
        x: The image, (N, C, H, W).
        halo: How many pixels of the image a pixel of a feature sees beyond those it spans.
        strides: Of the features, in image pixels; each divides the largest.
        channels: Of the widest feature within, for a pixel of the image.
        tile_bytes: How large that feature of a tile may be.

    Example:
        >>> import torch
        >>> from mattekit.windows import tiled
        >>> image = torch.rand(1, 3, 8, 8)
        >>> (x,) = tiled(lambda x: [2 * x], image, halo=0, strides=(1,), channels=3, tile_bytes=200)
        >>> x.equal(2 * image)
        True
    """
    size, step = size_of(x), max(strides)
    whole = (range(size[0]), range(size[1]))

    def on(tile: Spans) -> list[Tensor]:
        around = both(surroundings, both(over, tile, (step, step)), size, (halo, halo), (step, step))
        part = compute_levels([x], window_of(around))[0] if isinstance(x, Level) else cut(x, whole, around)
        return [
            cut(result, both(over, around, (s, s)), both(over, tile, (s, s)))
            for result, s in zip(function(part), strides, strict=True)
        ]

    batch, itemsize = (1, 4) if isinstance(x, Level) else (x.shape[0], x.element_size())
    tiles = tiles_of(whole, tile_bytes // max(channels * batch * itemsize, 1), at_least=4 * halo, step=step)
    return assembled(on, tiles, whole, strides)

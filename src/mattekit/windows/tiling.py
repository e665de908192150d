"""Features that one function makes together, computed tile by tile."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from mattekit.windows.calling import wholes
from mattekit.windows.declarations import halo as halo_of
from mattekit.windows.levels import Level, compute_levels, size_of
from mattekit.windows.spans import Spans, assembled, both, cut, over, surroundings, tiles_of, window_of


def tiled(
    function: Callable[[Tensor], Sequence[Tensor]],
    x: Tensor | Level,
    *,
    halo: int | nn.Module,
    strides: Sequence[int],
    channels: int,
    tile_bytes: int | None,
) -> list[Tensor]:
    """Call a function that returns features of several resolutions on tiles of its input, and join what it returns.

    Args:
        function: Takes an image, and returns features whose sides are its own over ``strides``, rounded up.
        x: The image, (N, C, H, W).
        halo: How many pixels of the image a pixel of a feature sees beyond those it spans, or the module that says so.
            Of a module that does not say, nothing is cut; it is asked only where there is something to cut.
        strides: Of the features, in image pixels; each divides the largest.
        channels: Of the widest feature within, for a pixel of the image.
        tile_bytes: How large that feature of a tile may be. None: as large as it is.

    Example:
        >>> import torch
        >>> from mattekit.windows import tiled
        >>> image = torch.rand(1, 3, 8, 8)
        >>> (x,) = tiled(lambda x: [2 * x], image, halo=0, strides=(1,), channels=3, tile_bytes=200)
        >>> x.equal(2 * image)
        True
    """
    size, step = size_of(x), max(strides)
    batch, itemsize = (1, 4) if isinstance(x, Level) else (x.shape[0], x.element_size())
    pixels = None if tile_bytes is None else tile_bytes // max(channels * batch * itemsize, 1)
    if pixels is None or size[0] * size[1] <= pixels:
        return [*function(wholes(x))]
    seen = halo_of(halo, stride=step) if isinstance(halo, nn.Module) else halo
    if seen is None:
        return [*function(wholes(x))]
    whole = (range(size[0]), range(size[1]))

    def on(tile: Spans) -> list[Tensor]:
        around = both(surroundings, both(over, tile, (step, step)), size, (seen, seen), (step, step))
        part = compute_levels([x], window_of(around))[0] if isinstance(x, Level) else cut(x, whole, around)
        return [
            cut(result, both(over, around, (s, s)), both(over, tile, (s, s)))
            for result, s in zip(function(part), strides, strict=True)
        ]

    return assembled(on, tiles_of(whole, pixels, at_least=4 * seen, step=step), whole, strides)

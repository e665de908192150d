"""Bilinear resizing, pixel centres at halves, of the whole or of a part as it is within the whole."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mattekit.windows.spans import Spans, cut


def resize_bilinear(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (N, C, h, w) to (height, width) as all of PP-Matting does: bilinear, pixel centres at halves.

    Args:
        x: The feature, (N, C, h, w).
        size: Height and width of the result, in pixels.

    Returns:
        (N, C, height, width).

    Example:
        >>> import torch
        >>> from mattekit.windows import resize_bilinear
        >>> resize_bilinear(torch.rand(1, 3, 4, 4), (8, 12)).shape
        torch.Size([1, 3, 8, 12])
    """
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":  # which torch does more slowly than both casts
        return resize_bilinear(x.float(), size).to(x.dtype)
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def needed(span: range, size: int, source: int) -> range:
    """Pixels of a side of ``source`` that ``span``, of the side of ``size`` it is resized to, is made of."""
    if size == source:
        return span
    first, last = (((2 * pixel + 1) * source - size) // (2 * size) for pixel in (span.start, span.stop - 1))
    # torch computes where a pixel lies in floating point, and may fall short of a whole number
    spare = 0 if _is_power_of_two(size, source) else 1
    return range(min(max(first - spare, 0), source - 1), min(max(last, 0) + 2 + spare, source))


def _is_power_of_two(size: int, source: int) -> bool:
    factor, rest = divmod(size, source)
    return rest == 0 and factor & (factor - 1) == 0


def resize_part(x: Tensor, at: Spans, source: Sequence[int], size: Sequence[int], spans: Spans) -> Tensor:
    """Return what ``resize_bilinear(whole, size)`` has in ``spans``, given a part of the whole.

    Args:
        x: The part, (N, C, h, w); it must have all that `needed` says.
        at: Where it lies in the whole.
        source: Height and width of the whole.
        size: What the whole is resized to.
        spans: What of that is returned.
    """
    if tuple(source) == tuple(size):
        return cut(x, at, spans)
    if all(map(_is_whole, (*at, *spans), (*source, *size))):
        return resize_bilinear(x, size)
    seen = tuple(needed(*sides) for sides in zip(spans, size, source, strict=True))
    assert len(seen) == 2
    x = cut(x, at, seen)
    if not any(big % small for big, small in zip(size, source, strict=True)):  # whole pixels: a part is as the whole
        factors = [big // small for big, small in zip(size, source, strict=True)]
        x = resize_bilinear(x, [len(span) * factor for span, factor in zip(seen, factors, strict=True)])
        rows, columns = (range(span.start * f, span.stop * f) for span, f in zip(seen, factors, strict=True))
        return cut(x, (rows, columns), spans)
    dtype, channels_last = x.dtype, x.stride(1) == 1
    x = x.float() if dtype in (torch.float16, torch.bfloat16) else x
    x = x.permute(0, 2, 3, 1) if channels_last else x
    for axis in (0, 1):
        if source[axis] != size[axis]:
            dim = axis + (1 if channels_last else 2)
            x = _resize_side(x, dim, seen[axis].start, source[axis], size[axis], spans[axis])
    return (x.permute(0, 3, 1, 2) if channels_last else x).to(dtype)


def _is_whole(span: range, side: int) -> bool:
    return span == range(side)


def _resize_side(x: Tensor, dim: int, first: int, source: int, size: int, span: range) -> Tensor:
    """Along one side, by torch's own formula for where a pixel lies, in the precision in which torch computes it."""
    pixels = torch.arange(span.start, span.stop, dtype=x.dtype, device=x.device)
    position = ((pixels + 0.5) * (source / size) - 0.5).clamp(0, source - 1)
    low = position.long()
    weight = (position - low).view([-1 if axis == dim else 1 for axis in range(4)])
    high = (low + 1).clamp(max=source - 1)
    return torch.lerp(x.index_select(dim, low - first), x.index_select(dim, high - first), weight)

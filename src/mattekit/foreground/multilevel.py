"""Fast multi-level foreground estimation (Germer et al. 2020), in sweeps over whole tensors.

Foreground F and background B minimise the sum of (αF + (1 - α)B - I)² over all pixels and of (ε + |Δα|)(ΔF² + ΔB²) over
all pairs of neighbours. For one pixel whose four neighbours stay as they are the minimum has a closed form. With S the
mean of their colours, weighted by ε + |Δα|, and W the sum of those weights,

    F = S_F + α r / (W + α² + (1 - α)²),  B = S_B + (1 - α) r / (W + α² + (1 - α)²),  r = I - α S_F - (1 - α) S_B.

The problem is solved at a few pixels first, and each solution is where the next, larger level starts. A sweep updates
each pixel once: all even rows, then all odd ones from their new colours. So each half is a whole tensor, whose rows lie
in memory as those of the image do: nothing is taken apart and put together again, as a chessboard's squares would be.

On a CPU large levels are solved in strips, which fit the cache and share their memory: fresh memory costs more than the
arithmetic.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_SMOOTHNESS = 1e-5  # ε
_SWEEPS = ((32, 12), (256, 3), (math.inf, 2))  # up to this side; PyMatting has 10, 2 and 2, which carry colours farther
_STRIP_PIXELS = 2**18


def multilevel(image: Tensor, alpha: Tensor, foreground: Tensor, background: Tensor | None) -> None:
    """Write the colours of images (N, 3, H, W) with mattes (N, 1, H, W) into tensors like the image.

    Source: Germer et al. 2020, algorithm 1, with the levels and constants of PyMatting's ``estimate_foreground_ml``.
    Two differences: a sweep goes by even and odd rows instead of pixel by pixel, and in the end the foreground is the
    image where alpha is 1, as the background is where it is 0.
    """
    buffers = _Buffers(image.device)
    colours = _mean_colours(image, alpha)
    *sizes, full = _level_sizes(*image.shape[-2:])
    for size in sizes:
        larger = colours.new_empty(len(colours), 6, *size)
        for rows, strip in _solve(image, alpha, colours, size, buffers):
            larger[..., rows, :] = strip.colours
        colours = larger
    for rows, strip in _solve(image, alpha, colours, full, buffers):
        _write(foreground[..., rows, :], strip.colours[:, :3], strip.image, strip.alpha == 1)
        if background is not None:
            _write(background[..., rows, :], strip.colours[:, 3:], strip.image, strip.alpha == 0)


def _level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Heights and widths from one pixel to all, at most about doubled from level to level."""
    steps = max(1, math.ceil(math.log2(max(height, width))))
    return [(round(height ** (step / steps)), round(width ** (step / steps))) for step in range(steps + 1)]


def _mean_colours(image: Tensor, alpha: Tensor) -> Tensor:
    """Where to start: the mean of what is surely foreground and of what is surely background, (N, 6, 1, 1).

    Where nothing is sure, the mean of the image. (PyMatting starts from black there.)
    """
    sums = torch.zeros(len(image), 3, 3, dtype=torch.float64, device=image.device)
    counts = torch.zeros(len(image), 3, 1, dtype=torch.float64, device=image.device)
    height, width = image.shape[-2:]
    for top in range(0, height, rows := _strip_rows(image, height, width)):
        pixels, matte = (_to_unit(x[..., top : top + rows, :].float(), x).flatten(2) for x in (image, alpha))
        chosen = torch.cat([matte > 0.9, matte < 0.1, matte >= 0], 1).double()
        sums += chosen @ pixels.double().mT  # autocast leaves doubles alone; half precision cannot hold such sums
        counts += chosen.sum(2, keepdim=True)
    means = sums / counts.clamp(min=1)
    return torch.where(counts > 0, means, means[:, 2:])[:, :2].float().flatten(1)[..., None, None]


def _strip_rows(image: Tensor, height: int, width: int) -> int:
    return max(2, _STRIP_PIXELS // width // 2 * 2) if image.device.type == "cpu" else height


class _Strip(NamedTuple):
    """Some rows of a level; images (N, 3, rows, W), mattes (N, 1, rows, W), float32 in [0, 1]."""

    image: Tensor
    alpha: Tensor
    colours: Tensor
    """Foreground and background, (N, 6, rows, W)."""


def _solve(
    image: Tensor, alpha: Tensor, start: Tensor, size: tuple[int, int], buffers: "_Buffers"
) -> Iterator[tuple[slice, _Strip]]:
    """Improve the colours ``start`` at this size; give strips of the result, each with its rows.

    A sweep carries colours on by two rows. With two more rows a sweep around it, a strip is what the whole would be.
    """
    height, width = size
    sweeps = next(number for side, number in _SWEEPS if max(size) <= side)
    sweeps *= max(size) > 1  # a single pixel has no neighbours, and keeps what it starts with
    rows = _strip_rows(image, height, width)
    for top in range(0, height, rows):
        first, last = max(top - 2 * sweeps, 0), min(top + rows + 2 * sweeps, height)
        colours = buffers.take("colours", len(start), 6, last - first + 2, width + 2)
        for border in (colours[..., 0, :], colours[..., -1, :], colours[..., 0], colours[..., -1]):
            border.zero_()
        inner = colours[..., 1:-1, 1:-1]
        inner.copy_(_resized(start, first, last, size))
        strip = _Strip(_resized(image, first, last, size), _resized(alpha, first, last, size), inner)
        links = _links(buffers, strip.alpha)
        for _ in range(sweeps):
            for phase in (0, 1):
                _relax(buffers, phase, colours, strip, links)
        chosen = slice(top - first, min(top + rows, height) - first)
        yield slice(top, top + rows), _Strip(*(x[..., chosen, :] for x in strip))


class _Buffers:
    """Memory by name, which each strip uses again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._memory: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        size = math.prod(shape)
        if name not in self._memory or self._memory[name].numel() < size:
            self._memory[name] = torch.empty(size, dtype=torch.float32, device=self._device)
        return self._memory[name][:size].view(shape)


def _resized(x: Tensor, first: int, last: int, size: tuple[int, int]) -> Tensor:
    """Rows ``first`` to ``last`` of ``x`` at this size, each pixel from the nearest one above and to the left."""
    height, width = size
    if x.shape[-2:] == size:
        return _to_unit(x[..., first:last, :].float().contiguous(), x)
    index = torch.arange(first, last, device=x.device) * x.shape[-2] // height
    rows = x.index_select(-2, index).float()
    return _to_unit(F.interpolate(rows, size=(last - first, width)), x)


def _to_unit(values: Tensor, source: Tensor) -> Tensor:
    """Bring float32 values of a tensor to [0, 1] if that is uint8."""
    return values.div_(255) if source.dtype == torch.uint8 else values


def _write(target: Tensor, colours: Tensor, image: Tensor, is_known: Tensor) -> None:
    """Put colours into their place, and the image where they are known to be its own."""
    torch.where(is_known, image, colours, out=colours)
    target.copy_(colours.mul_(255).round_() if target.dtype == torch.uint8 else colours)


class _Links(NamedTuple):
    """How pixels hang together with their neighbours and with their own colours; each (N, 1, rows, W)."""

    left: Tensor
    right: Tensor
    above: Tensor
    below: Tensor
    rest: Tensor
    """1 - α"""
    foreground_gain: Tensor
    background_gain: Tensor


def _links(buffers: _Buffers, alpha: Tensor) -> _Links:
    """The shares of the four neighbours in their mean, and what of the residual goes to either colour."""
    batch, _, height, width = alpha.shape
    beside = buffers.take("beside", batch, 1, height, width + 1)  # weights of neighbours, 0 across the border
    between = buffers.take("between", batch, 1, height + 1, width)
    for border in (beside[..., 0], beside[..., -1], between[..., 0, :], between[..., -1, :]):
        border.zero_()
    torch.sub(alpha[..., 1:], alpha[..., :-1], out=beside[..., 1:-1]).abs_().add_(_SMOOTHNESS)
    torch.sub(alpha[..., 1:, :], alpha[..., :-1, :], out=between[..., 1:-1, :]).abs_().add_(_SMOOTHNESS)
    weights = beside[..., :-1], beside[..., 1:], between[..., :-1, :], between[..., 1:, :]
    links = _Links(*buffers.take("links", 7, *alpha.shape).unbind())
    total = torch.add(weights[0], weights[1], out=links.background_gain).add_(weights[2]).add_(weights[3])
    inverse = torch.reciprocal(total, out=links.foreground_gain)
    for share, weight in zip(links, weights, strict=False):
        torch.mul(weight, inverse, out=share)
    rest = torch.sub(1, alpha, out=links.rest)
    gain = total.addcmul_(alpha, alpha).addcmul_(rest, rest).reciprocal_()
    torch.mul(alpha, gain, out=links.foreground_gain)
    gain *= rest
    return links


def _relax(buffers: _Buffers, phase: int, colours: Tensor, strip: _Strip, links: _Links) -> None:
    """Solve each pixel of the even or of the odd rows for its colours, its neighbours' being what they are.

    Args:
        buffers: Memory.
        phase: 0 for even rows, 1 for odd ones.
        colours: (N, 6, rows + 2, W + 2): the strip's, in a border that counts for nothing.
        strip: The strip.
        links: Its links.
    """
    height = colours.shape[-2] - 2
    above, own, below = (colours[..., phase + i : height + i : 2, :] for i in range(3))
    image, alpha, left, right, up, down, rest, foreground_gain, background_gain = (
        x[..., phase::2, :] for x in (strip.image, strip.alpha, *links)
    )
    mean = buffers.take("mean", len(colours), 6, *alpha.shape[-2:])
    torch.mul(own[..., :-2], left, out=mean)
    mean.addcmul_(own[..., 2:], right)
    mean.addcmul_(above[..., 1:-1], up)
    mean.addcmul_(below[..., 1:-1], down)
    foreground, background = mean[:, :3], mean[:, 3:]
    residual = torch.addcmul(image, alpha, foreground, value=-1, out=buffers.take("residual", *image.shape))
    residual.addcmul_(rest, background, value=-1)
    foreground.addcmul_(foreground_gain, residual)
    background.addcmul_(background_gain, residual)
    torch.clamp(mean, 0, 1, out=own[..., 1:-1])

"""Fast multi-level foreground estimation (Germer et al. 2020), in sweeps over whole tensors.

Foreground F and background B minimise the sum of (αF + (1 - α)B - I)² over all pixels and of (ε + |Δα|)(ΔF² + ΔB²) over
all pairs of neighbours. For one pixel whose four neighbours stay as they are the minimum has a closed form. With S the
mean of their colours, weighted by ε + |Δα|, and W the sum of those weights,

    F = S_F + α r / (W + α² + (1 - α)²),  B = S_B + (1 - α) r / (W + α² + (1 - α)²),  r = I - α S_F - (1 - α) S_B.

The problem is solved at a few pixels first, and each solution is where the next, larger level starts. A sweep updates
each pixel once, in the order of a chessboard: all black squares, then all white ones, each from the newest colours of
the other. So that both are whole tensors, an image is cut into cells of 2×2 pixels, and held as four *phases*: the
pixels of one place in their cells. Of a pixel's neighbours, two lie within its cell and two across its border.

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
_SMALL_SIDE, _SMALL_SWEEPS, _SWEEPS = 32, 10, 2
_STRIP_PIXELS = 2**18

_Phase = tuple[int, int]
_PHASES: tuple[_Phase, ...] = ((0, 0), (1, 1), (0, 1), (1, 0))  # (row, column) in a cell: black squares, white ones
_Phases = dict[_Phase, Tensor]


def multilevel(image: Tensor, alpha: Tensor, foreground: Tensor, background: Tensor | None) -> None:
    """Write the colours of images (N, 3, H, W) with mattes (N, 1, H, W) into tensors like the image.

    Source: Germer et al. 2020, algorithm 1, with the levels, sweeps and constants of PyMatting's
    ``estimate_foreground_ml``. Two differences: a sweep goes by the chessboard instead of row by row, and in the end
    the foreground is the image where alpha is 1, as the background is where it is 0.
    """
    buffers = _Buffers(image.device)
    colours = _mean_colours(image, alpha)
    *sizes, full = _level_sizes(*image.shape[-2:])
    for size in sizes:
        larger = colours.new_empty(len(colours), 6, *size)
        for top, strip in _solve(image, alpha, colours, size, buffers):
            for phase, x in strip.colours.items():
                _write(larger, top, phase, x)
        colours = larger
    outputs = [(foreground, slice(None, 3), 1)]
    if background is not None:
        outputs.append((background, slice(3, None), 0))
    for top, strip in _solve(image, alpha, colours, full, buffers):
        for target, channels, known in outputs:
            for phase, x in strip.colours.items():
                estimate = x[:, channels]
                torch.where(strip.alphas[phase] == known, strip.images[phase], estimate, out=estimate)
                _write(target, top, phase, estimate)


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
        chosen = torch.cat([matte > 0.9, matte < 0.1, matte >= 0], 1).to(pixels.dtype)
        sums += chosen @ pixels.mT
        counts += chosen.sum(2, keepdim=True)
    means = sums / counts.clamp(min=1)
    return torch.where(counts > 0, means, means[:, 2:])[:, :2].float().flatten(1)[..., None, None]


def _strip_rows(image: Tensor, height: int, width: int) -> int:
    return max(2, _STRIP_PIXELS // width // 2 * 2) if image.device.type == "cpu" else height


class _Strip(NamedTuple):
    images: _Phases
    alphas: _Phases
    colours: _Phases
    """Foreground and background, (N, 6, rows, columns)."""


def _solve(
    image: Tensor, alpha: Tensor, start: Tensor, size: tuple[int, int], buffers: "_Buffers"
) -> Iterator[tuple[int, _Strip]]:
    """Improve the colours ``start`` at this size; give strips of the result, each with the row that it starts at.

    A sweep carries colours on by two rows. With two more rows a sweep around it, a strip is what the whole would be.
    """
    height, width = size
    sweeps = _SMALL_SWEEPS if max(size) <= _SMALL_SIDE else _SWEEPS
    rows = _strip_rows(image, height, width)
    for top in range(0, height, rows):
        first, last = max(top - 2 * sweeps, 0), min(top + rows + 2 * sweeps, height)
        strip = _Strip(
            _phases(buffers, "images", image, first, last, size),
            _phases(buffers, "alphas", alpha, first, last, size),
            _phases(buffers, "colours", start, first, last, size),
        )
        links = {phase: _links(buffers, phase, strip.alphas) for phase in _PHASES}
        for _ in range(sweeps):
            for phase in _PHASES:
                _relax(buffers, phase, strip.colours, strip.images[phase], links[phase])
        cells = slice((top - first) // 2, (top - first + rows) // 2)
        yield top, _Strip(*({phase: x[..., cells, :] for phase, x in phases.items()} for phases in strip))


class _Buffers:
    """Memory by name, which each strip uses again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._memory: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        size = math.prod(shape)
        if name not in self._memory or self._memory[name].numel() < size:
            self._memory[name] = torch.empty(size, device=self._device)
        return self._memory[name][:size].view(shape)


def _phases(buffers: _Buffers, name: str, x: Tensor, first: int, last: int, size: tuple[int, int]) -> _Phases:
    """Bring rows ``first`` to ``last`` to this size, each pixel from the nearest one above and to the left."""
    height, width = size
    phases = buffers.take(name, 4, *x.shape[:2], (last - first + 1) // 2, (width + 1) // 2)
    index = torch.arange(first, last, device=x.device) * x.shape[-2] // height
    for channel in range(x.shape[1]):
        plane = x[:, channel : channel + 1]
        if x.shape[-2:] == size:
            rows = plane[..., first:last, :]
        else:
            rows = F.interpolate(plane.index_select(-2, index).float(), size=(last - first, width))
        rows = _even(rows)
        for target, (row, column) in zip(phases, _PHASES, strict=True):
            target[:, channel : channel + 1].copy_(rows[..., row::2, column::2])
    return dict(zip(_PHASES, _to_unit(phases, x), strict=True))


def _even(x: Tensor) -> Tensor:
    """Repeat the last row and the last column where their number is odd, so that each cell is whole."""
    if x.shape[-2] % 2:
        x = torch.cat([x, x[..., -1:, :]], -2)
    return torch.cat([x, x[..., -1:]], -1) if x.shape[-1] % 2 else x


def _to_unit(values: Tensor, source: Tensor) -> Tensor:
    """Bring fresh float32 values of a tensor, which may be uint8, to [0, 1], in place."""
    return values.div_(255) if source.dtype == torch.uint8 else values


def _write(target: Tensor, top: int, phase: _Phase, x: Tensor) -> None:
    """Put a phase into its place, from row ``top`` on; the target may lack the last row and column of cells."""
    row, column = phase
    place = target[..., top + row : top + 2 * x.shape[-2] : 2, column::2]
    if target.dtype == torch.uint8:
        x = x.mul_(255).round_()
    place.copy_(x[..., : place.shape[-2], : place.shape[-1]])


class _Links(NamedTuple):
    """How one phase hangs together with its neighbours and with its own colours; each (N, 1, rows, columns)."""

    alpha: Tensor
    inner_row: Tensor
    inner_column: Tensor
    outer_row: Tensor
    outer_column: Tensor
    rest: Tensor
    """1 - α"""
    foreground_gain: Tensor
    background_gain: Tensor


def _links(buffers: _Buffers, phase: _Phase, alphas: _Phases) -> _Links:
    row, column = phase
    alpha, beside, below = alphas[phase], alphas[row, 1 - column], alphas[1 - row, column]
    (at_side, from_side), (at_end, from_end) = _across(column), _across(row)
    links = _Links(alpha, *buffers.take(f"links {phase}", 7, *alpha.shape).unbind())
    weights = (
        (links.inner_row, alpha, beside),
        (links.inner_column, alpha, below),
        (links.outer_row[..., at_side], alpha[..., at_side], beside[..., from_side]),
        (links.outer_column[..., at_end, :], alpha[..., at_end, :], below[..., from_end, :]),
    )
    for weight, here, there in weights:
        torch.sub(here, there, out=weight).abs_().add_(_SMOOTHNESS)
    total = torch.add(links.inner_row, links.inner_column, out=links.background_gain)
    total[..., at_side] += links.outer_row[..., at_side]
    total[..., at_end, :] += links.outer_column[..., at_end, :]
    inverse = torch.reciprocal(total, out=links.foreground_gain)
    for weight, *_ in weights[:2]:
        weight *= inverse
    weights[2][0].mul_(inverse[..., at_side])
    weights[3][0].mul_(inverse[..., at_end, :])
    rest = torch.sub(1, alpha, out=links.rest)
    gain = total.addcmul_(alpha, alpha).addcmul_(rest, rest).reciprocal_()
    torch.mul(alpha, gain, out=links.foreground_gain)
    gain *= rest
    return links


def _across(place: int) -> tuple[slice, slice]:
    """Which cells have a neighbour across their border on the side of this place in the cell, and which are those."""
    return (slice(1, None), slice(None, -1)) if place == 0 else (slice(None, -1), slice(1, None))


def _relax(buffers: _Buffers, phase: _Phase, colours: _Phases, image: Tensor, links: _Links) -> None:
    """Solve each pixel of one phase for its colours, its neighbours' being what they are."""
    row, column = phase
    beside, below = colours[row, 1 - column], colours[1 - row, column]
    (at_side, from_side), (at_end, from_end) = _across(column), _across(row)
    mean = torch.mul(beside, links.inner_row, out=colours[phase])  # in place: a pixel's own colour has no part in it
    mean.addcmul_(below, links.inner_column)
    mean[..., at_side].addcmul_(beside[..., from_side], links.outer_row[..., at_side])
    mean[..., at_end, :].addcmul_(below[..., from_end, :], links.outer_column[..., at_end, :])
    foreground, background = mean[:, :3], mean[:, 3:]
    residual = torch.addcmul(image, links.alpha, foreground, value=-1, out=buffers.take("residual", *image.shape))
    residual.addcmul_(links.rest, background, value=-1)
    foreground.addcmul_(links.foreground_gain, residual)
    background.addcmul_(links.background_gain, residual)
    mean.clamp_(0, 1)

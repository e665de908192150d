"""Linear filters and roots with backward passes of their own.

Autograd would write a tensor of zeros for every slice that a filter takes, and add them up: half of a training step's
time in the losses. A compiler fuses those, so under torch.compile the same arithmetic is left to it.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function

Border = Literal["replicate", "reflect"]


def stencil(x: Tensor, taps: Sequence[float], dim: int, border: Border = "replicate") -> Tensor:
    """Correlate along one dimension with an odd number of taps, the border continued.

    Written as shifted sums rather than as a convolution: autocast leaves it alone, TF32 does not round it, and its
    backward pass is deterministic on every device.
    """
    taps = tuple(taps)
    if torch.compiler.is_compiling():
        return _shifted_sum(x, taps, dim, border)
    return _Stencil.apply(x, taps, dim, border)  # pyright: ignore[reportReturnType]


def root(eps: float, *terms: Tensor) -> Tensor:
    """The root of the sum of squares of one or two tensors and of ε²."""
    if torch.compiler.is_compiling():
        return _root(eps, *terms)
    return _Root.apply(eps, *terms)  # pyright: ignore[reportReturnType]


def _correlate(x: Tensor, taps: tuple[float, ...], dim: int, border: Border) -> Tensor:
    size, radius = x.shape[dim], len(taps) // 2
    result = x * taps[radius] if taps[radius] else torch.zeros_like(x)
    for offset, tap in enumerate(taps, start=-radius):
        if not tap or not offset:
            continue
        inner = size - abs(offset)  # samples whose neighbour lies within
        if inner > 0:
            result.narrow(dim, max(-offset, 0), inner).add_(x.narrow(dim, max(offset, 0), inner), alpha=tap)
        for here, there in _beyond(size, offset, border):
            result.narrow(dim, here, 1).add_(x.narrow(dim, there, 1), alpha=tap)
    return result


def _shifted_sum(x: Tensor, taps: tuple[float, ...], dim: int, border: Border) -> Tensor:
    """What `_correlate` gives, without its writes into views: Inductor takes minutes to compile those."""
    size, radius = x.shape[dim], len(taps) // 2
    before, after = (
        [x.narrow(dim, _stand_in(i, size, border), 1) for i in beyond]
        for beyond in (range(-radius, 0), range(size, size + radius))
    )
    continued = torch.cat([*before, x, *after], dim)
    result = x * taps[radius] if taps[radius] else torch.zeros_like(x)
    for start, tap in enumerate(taps):
        if tap and start != radius:
            result = result.add(continued.narrow(dim, start, size), alpha=tap)
    return result


def _spread(g: Tensor, taps: tuple[float, ...], dim: int, border: Border) -> Tensor:
    """The adjoint of `_correlate`."""
    size, radius = g.shape[dim], len(taps) // 2
    result = g * taps[radius] if taps[radius] else torch.zeros_like(g)
    for offset, tap in enumerate(taps, start=-radius):
        if not tap or not offset:
            continue
        inner = size - abs(offset)
        if inner > 0:
            result.narrow(dim, max(offset, 0), inner).add_(g.narrow(dim, max(-offset, 0), inner), alpha=tap)
        for here, there in _beyond(size, offset, border):
            result.narrow(dim, there, 1).add_(g.narrow(dim, here, 1), alpha=tap)
    return result


def _beyond(size: int, offset: int, border: Border) -> list[tuple[int, int]]:
    """The samples whose neighbour at this offset lies beyond the border, and the sample that stands in for it."""
    outside = range(min(-offset, size)) if offset < 0 else range(max(size - offset, 0), size)
    return [(i, _stand_in(i + offset, size, border)) for i in outside]


def _stand_in(i: int, size: int, border: Border) -> int:
    """Which of ``size`` samples an index beyond them sees: the outermost, or back and forth without repeating it."""
    if border == "replicate":
        return min(max(i, 0), size - 1)
    period = max(2 * (size - 1), 1)
    return min(i % period, -i % period)


def _root(eps: float, first: Tensor, second: Tensor | None = None) -> Tensor:
    total = first * first
    if second is not None:
        total = torch.addcmul(total, second, second)
    return total.add_(eps**2).sqrt_()


class _Stencil(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, taps: tuple[float, ...], dim: int, border: Border) -> Tensor:
        return _correlate(x, taps, dim, border)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, *ctx.options = inputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _Spread.apply(grads[0], *ctx.options), None, None, None


class _Spread(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(g: Tensor, taps: tuple[float, ...], dim: int, border: Border) -> Tensor:
        return _spread(g, taps, dim, border)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, *ctx.options = inputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _Stencil.apply(grads[0], *ctx.options), None, None, None


class _Root(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(eps: float, *terms: Tensor) -> Tensor:
        return _root(eps, *terms)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(output, *inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        size, *terms = ctx.saved_tensors
        slope = grads[0] / size
        return None, *(slope * term for term in terms)

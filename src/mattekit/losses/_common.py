"""What the losses share: the checks, the precision, the root, the stencils and the reduction."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from mattekit._checks import (
    check_choice,
    check_dtype,
    check_floating,
    check_nchw,
    check_pixels,
    check_positive,
    check_same_shape,
)

Reduction = Literal["mean", "sum", "none"]


def check_pair(pred: Tensor, alpha: Tensor, mask: Tensor | None, channels: int | None = 1) -> None:
    """Demand a prediction and a truth of one shape, and a mask that fits them."""
    check_nchw("pred", pred, channels)
    check_floating("pred", pred)
    check_floating("alpha", alpha)
    check_same_shape("alpha", alpha, "pred", pred)
    check_pixels("pred", pred)
    check_mask(mask, pred)


def check_mask(mask: Tensor | None, pred: Tensor) -> None:
    """Demand a bool or floating-point mask; a trimap passed for one would weigh pixels by 128 and 255."""
    if mask is None:
        return
    check_nchw("mask", mask, 1)
    if not (mask.dtype == torch.bool or mask.is_floating_point()):
        raise TypeError(f"mask must be bool or floating-point, as unknown_mask(trimap) is, got {mask.dtype}")
    if mask.shape[0] != pred.shape[0] or mask.shape[2:] != pred.shape[2:]:
        n, _, h, w = pred.shape
        raise ValueError(f"mask must have shape {(n, 1, h, w)}, got {tuple(mask.shape)}")


def check_trimap(trimap: Tensor, other_name: str, other: Tensor) -> None:
    """Demand the form of a trimap that fits another tensor's batch and size; its values are not looked at."""
    check_nchw("trimap", trimap, 1)
    check_dtype("trimap", trimap, torch.uint8)
    if trimap.shape[0] != other.shape[0] or trimap.shape[2:] != other.shape[2:]:
        n, _, h, w = other.shape
        raise ValueError(f"trimap must have shape {(n, 1, h, w)} as {other_name} has it, got {tuple(trimap.shape)}")


def check_eps(eps: float) -> None:
    """Demand a positive number whose square exists in float32, without which slopes at equality are 0/0."""
    check_positive("eps", eps)
    if eps < 1e-18:
        raise ValueError(f"eps must be at least 1e-18, whose square float32 still holds, got {eps!r}")


def widen(x: Tensor) -> Tensor:
    """Take half precision to float32, where ε² and sums over a megapixel still exist."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def charbonnier(difference: Tensor, eps: float) -> Tensor:
    """The differentiable absolute value of equations 7 and 10: sqrt(d² + ε²)."""
    check_eps(eps)
    return torch.hypot(difference, difference.new_full((), eps))


def within(mask: Tensor | None, *maps: Tensor) -> tuple[Tensor, ...]:
    """Maps (N, C, H, W), 0 outside the mask (N, 1, H, W): a weight of 0 would not stop a NaN, nor infinite slopes."""
    return maps if mask is None else tuple(torch.where(mask != 0, x, 0) for x in maps)


def finite_outside(mask: Tensor | None, pred: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Both mattes, 0 where the mask is and one of them is not finite; for losses that see neighbours of the mask."""
    if mask is None:
        return pred, alpha
    good = (mask != 0) | (pred - alpha).isfinite()
    return torch.where(good, pred, 0), torch.where(good, alpha, 0)


def reduce(loss: Tensor, mask: Tensor | None, reduction: Reduction, area: Tensor | None = None) -> Tensor:
    """Weigh a map of losses (N, C, H, W) by a mask (N, 1, H, W) and sum it up as asked.

    ``area``, where given, is the divisor of the mean instead of the mask's own.
    """
    check_choice("reduction", reduction, ("mean", "sum", "none"))
    if mask is not None:
        mask = mask.to(loss.dtype)
        loss = loss * mask
        area = mask.sum() * loss.shape[1] if area is None else area
    if reduction == "none":
        return loss
    total = loss.sum()
    if reduction == "sum":
        return total
    if area is None:
        return total / max(loss.numel(), 1)
    return quotient(total, area)


def quotient(total: Tensor, area: Tensor) -> Tensor:
    """A total over the area that it was taken over; 0, with slopes of 0, where that is empty.

    An area so small that slopes divided by it could overflow counts as empty.
    """
    return total / torch.where(area >= torch.finfo(total.dtype).tiny ** 0.5, area, torch.inf)


def stencil(
    x: Tensor, taps: Sequence[float], dim: int, border: Literal["replicate", "reflect"] = "replicate"
) -> Tensor:
    """Correlate along one dimension with an odd number of taps, the border continued.

    Written as shifted sums rather than as a convolution: autocast leaves it alone, TF32 does not round it, and its
    backward pass is deterministic on every device.
    """
    size, radius = x.shape[dim], len(taps) // 2
    if border == "reflect":
        before = torch.cat([x.narrow(dim, _reflected(i, size), 1) for i in range(-radius, 0)], dim)
        after = torch.cat([x.narrow(dim, _reflected(i, size), 1) for i in range(size, size + radius)], dim)
    else:
        copies = [radius if d == dim else -1 for d in range(x.ndim)]
        before, after = x.narrow(dim, 0, 1).expand(copies), x.narrow(dim, size - 1, 1).expand(copies)
    padded = torch.cat([before, x, after], dim)
    result = padded.narrow(dim, 0, size) * taps[0]
    for offset, tap in enumerate(taps[1:], start=1):
        if tap:
            result = result.add(padded.narrow(dim, offset, size), alpha=tap)
    return result


def _reflected(i: int, size: int) -> int:
    """Which of ``size`` samples an index beyond them sees: back and forth, without repeating the outermost."""
    period = max(2 * (size - 1), 1)
    return min(i % period, -i % period)

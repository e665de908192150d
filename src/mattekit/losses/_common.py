"""What the losses share: the checks, the precision and the reduction."""

from typing import Literal

import torch
from torch import Tensor

from mattekit._checks import (
    check_choice,
    check_dtype,
    check_floating,
    check_from_zero,
    check_nchw,
    check_pixels,
    check_positive,
    check_same_shape,
    check_unit,
    is_readable,
)
from mattekit.trimap.values import demand_three

Reduction = Literal["mean", "sum", "none"]


def check_pair(pred: Tensor, alpha: Tensor, mask: Tensor | None, channels: int | None = 1, name: str = "pred") -> None:
    """Check that prediction and truth are of one shape, that a mask fits them, and that the truth lies in [0, 1].

    The prediction's values are not looked at: what an untrained network says is for the loss to judge, and a NaN under
    mixed precision for the gradient scaler.
    """
    check_nchw(name, pred, channels)
    check_floating(name, pred)
    check_nchw("alpha", alpha)
    check_floating("alpha", alpha)
    check_same_shape("alpha", alpha, name, pred)
    check_pixels(name, pred)
    check_mask(mask, pred)
    check_unit("alpha", alpha, mask)


def check_mask(mask: Tensor | None, pred: Tensor) -> None:
    """Check that a mask is bool, or floating-point from 0 up.

    A trimap passed for one would weigh pixels by 128 and 255, and weights whose sum is below 0 count as none.
    """
    if mask is None:
        return
    check_nchw("mask", mask, 1)
    if not (mask.dtype == torch.bool or mask.is_floating_point()):
        raise TypeError(f"mask must be bool or floating-point, as unknown_mask(trimap) is, got {mask.dtype}")
    if mask.shape[0] != pred.shape[0] or mask.shape[2:] != pred.shape[2:]:
        n, _, h, w = pred.shape
        raise ValueError(f"mask must have shape {(n, 1, h, w)}, got {tuple(mask.shape)}")
    if mask.is_floating_point():
        check_from_zero("mask", mask)


def check_trimap(trimap: Tensor, other_name: str, other: Tensor) -> None:
    """Check that a trimap fits another tensor's batch and size, and that it holds the three values alone."""
    check_nchw("trimap", trimap, 1)
    check_dtype("trimap", trimap, torch.uint8)
    if trimap.shape[0] != other.shape[0] or trimap.shape[2:] != other.shape[2:]:
        n, _, h, w = other.shape
        raise ValueError(f"trimap must have shape {(n, 1, h, w)} as {other_name} has it, got {tuple(trimap.shape)}")
    demand_three(trimap)


def check_eps(eps: float) -> None:
    """Check that a number is positive and its square exists in float32: else slopes at equality are 0/0."""
    check_positive("eps", eps)
    if eps < 1e-18:
        raise ValueError(f"eps must be at least 1e-18, whose square float32 still holds, got {eps!r}")


def check_reduction(reduction: Reduction) -> None:
    """Check that a reduction is one of the three."""
    check_choice("reduction", reduction, ("mean", "sum", "none"))


def widen(x: Tensor) -> Tensor:
    """Take half precision to float32, where ε² and sums over a megapixel still exist."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def within(mask: Tensor | None, *maps: Tensor) -> tuple[Tensor, ...]:
    """Maps (N, C, H, W), 0 outside the mask (N, 1, H, W): a weight of 0 would not stop a NaN, nor infinite slopes."""
    if mask is None or _are_tame(*maps):
        return maps
    return tuple(torch.where(mask != 0, x, 0) for x in maps)


def finite_outside(mask: Tensor | None, pred: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Both mattes, 0 where the mask is and one of them is not finite; for losses that see neighbours of the mask."""
    if mask is None or _are_tame(pred, alpha):
        return pred, alpha
    good = (mask != 0) | (pred - alpha).isfinite()
    return torch.where(good, pred, 0), torch.where(good, alpha, 0)


def _are_tame(*maps: Tensor) -> bool:
    """Whether maps are known to be finite, their squares too: a look costs less than the masking that it spares."""
    for x in maps:
        if not is_readable(x) or not x.numel():
            return False
        low, high = (float(end) for end in x.detach().aminmax())
        if not (low > -1e9 and high < 1e9):
            return False
    return True


def reduce(loss: Tensor, mask: Tensor | None, reduction: Reduction, area: Tensor | None = None) -> Tensor:
    """Weigh a map of losses (N, C, H, W) by a mask (N, 1, H, W) and sum it up as asked.

    ``area``, where given, is the divisor of the mean instead of the mask's own.
    """
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

"""The gradient loss: equation 8."""

import math
from typing import Literal

from torch import Tensor

from mattekit._checks import check_choice
from mattekit.losses._common import (
    Reduction,
    check_eps,
    check_pair,
    check_reduction,
    finite_outside,
    reduce,
    widen,
    within,
)
from mattekit.losses._filters import root, stencil

Operator = Literal["sobel", "gaussian"]

_SOBEL = (0.25, 0.5, 0.25), (-0.5, 0.0, 0.5)
"""Taps along an edge and across it."""


def _unit(taps: list[float]) -> tuple[float, ...]:
    return tuple(tap / math.hypot(*taps) for tap in taps)


_SIGMA = 1.4
_STEPS = range(-4, 5)  # as far out as the Gaussian's density is above 0.01
_GAUSSIAN = (
    _unit([math.exp(-(u**2) / (2 * _SIGMA**2)) for u in _STEPS]),
    _unit([u * math.exp(-(u**2) / (2 * _SIGMA**2)) for u in _STEPS]),
)


def gradient_loss(
    pred: Tensor,
    alpha: Tensor,
    mask: Tensor | None = None,
    *,
    operator: Operator = "sobel",
    mask_inputs: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compare the gradient magnitudes of two mattes.

    The arguments that all losses share stand in :mod:`mattekit.losses`, and so do the errors.

    Args:
        operator: ``"sobel"``, scaled so that a ramp has its slope per pixel; or ``"gaussian"``, the derivative of a
            Gaussian with which the gradient error is measured (σ = 1.4, 9×9, unit L2 norm).
        mask_inputs: Multiply both mattes by the mask before taking gradients, instead of weighing the difference of
            gradients by it afterwards. What lies outside then has no influence at all, at the price of the mask's own
            edge counting as an edge of both mattes. The mean divides by the mask's area either way.
        eps: Magnitudes are sqrt(gx² + gy² + eps²), which keeps their slope finite in flat regions.

    Returns:
        A scalar, or the map (N, 1, H, W).

    Raises:
        ValueError: If ``mask_inputs`` is set without a mask.

    Source:
        Equation 8 of Chen et al. 2022, which names no operator. ``eps=1e-3, mask_inputs=True`` gives the numbers of the
        authors' code: Sobel over 8, replicated border, 1e-6 under the root. The Gaussian is the one of Rhemann et al.
        2009 as their successors' evaluation code has it, without that code's rescaling of the mattes.

    Example:
        >>> import torch
        >>> from mattekit.losses import gradient_loss
        >>> ramp = torch.linspace(0, 1, 5).expand(1, 1, 5, 5)
        >>> gradient_loss(torch.zeros(1, 1, 5, 5), ramp, reduction="none")[0, 0, 2]
        tensor([0.1250, 0.2500, 0.2500, 0.2500, 0.1250])
    """
    check_pair(pred, alpha, mask)
    check_eps(eps)
    check_reduction(reduction)
    check_choice("operator", operator, ("sobel", "gaussian"))
    if mask_inputs and mask is None:
        raise ValueError("mask_inputs needs a mask, got None")
    return gradient_term(pred, alpha, mask, operator, mask_inputs, eps, reduction)


def gradient_term(
    pred: Tensor,
    alpha: Tensor,
    mask: Tensor | None,
    operator: Operator,
    mask_inputs: bool,
    eps: float,
    reduction: Reduction,
    edges: Tensor | None = None,
) -> Tensor:
    """`gradient_loss` of what has been checked; ``edges``, where they are at hand, are ``magnitude(alpha, …)``."""
    pred, alpha = widen(pred), widen(alpha)
    area = None
    if mask_inputs and mask is not None:
        weights = mask.to(pred.dtype)
        p, a = within(mask, pred * weights, alpha * weights)
        mask, area = None, weights.sum()
    else:
        p, a = finite_outside(mask, pred, alpha)
    if edges is None or a is not alpha:
        edges = magnitude(a, operator, eps)
    return reduce((magnitude(p, operator, eps) - edges).abs(), mask, reduction, area)


def magnitude(x: Tensor, operator: Operator, eps: float) -> Tensor:
    """The length of a matte's gradient and of ε."""
    smooth, slope = _SOBEL if operator == "sobel" else _GAUSSIAN
    gx = stencil(stencil(x, smooth, dim=2), slope, dim=3)
    gy = stencil(stencil(x, slope, dim=2), smooth, dim=3)
    return root(eps, gx, gy)

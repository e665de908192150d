"""The Laplacian-pyramid loss, for projects beside PP-Matting."""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mattekit._checks import check_choice, check_number, check_positive
from mattekit.losses._common import (
    Reduction,
    check_pair,
    check_reduction,
    finite_outside,
    quotient,
    reduce,
    widen,
)
from mattekit.losses._filters import stencil

Pyramid = Literal["burt", "pooled"]

_BURT = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_BOX = (1 / 5,) * 5
_GAUSS = tuple(math.exp(-(u**2)) / sum(math.exp(-(v**2)) for v in range(-2, 3)) for u in range(-2, 3))


def laplacian_loss(
    pred: Tensor,
    alpha: Tensor,
    mask: Tensor | None = None,
    *,
    levels: int = 5,
    weights: Sequence[float] | None = None,
    pyramid: Pyramid = "burt",
    residual: bool = False,
    mask_inputs: bool = False,
    mask_levels: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compare two mattes band by band of a Laplacian pyramid.

    A coefficient of level s stands for 2^s × 2^s pixels. Its absolute difference is spread over them, the levels are
    summed pixel by pixel with their weights, and then the map is reduced as in every loss here. For sides divisible by
    2^levels the mean is the weighted sum of each level's own mean, which is how the published versions have it.

    Published versions, and the arguments that give their numbers:

    - Forte and Pitié 2020 (FBA), in the code that its first author put out as a gist: the defaults. Also Hou and Liu
      2019, equation 3, with means for sums.
    - Yu et al. 2021 (MGMatting), whose trainer follows that gist: the same, and where it masks, ``mask_levels=True``.
    - Lin et al. 2021 (Robust Video Matting), which crops odd sides: ``weights=(0.2, 0.4, 0.8, 1.6, 3.2)``.
    - Li et al. 2021 (AIM), and PaddleSeg, which follows it: ``pyramid="pooled", residual=True, weights=(1,) * 6``.
      Where they mask, they do so with ``mask_inputs=True`` and divide by all pixels:
      ``reduction="sum"``, over ``pred.numel()``.

    The arguments that all losses share stand in :mod:`mattekit.losses`, and so do the errors. Prediction and truth
    may be colours (N, C, H, W), too, as FBA compares them.

    Args:
        levels: Number of bands. The loss has no ``eps``: it is a plain absolute difference.
        weights: One a level, finest first, and one more for the residual where that is asked for; None means 1, 2, 4,
            8, 16, ...
        pyramid: ``"burt"``: binomial kernel, every other sample kept from the first on (so that a flip changes the loss
            a little), bands against the enlarged next level, border reflected. ``"pooled"``: the sum of two
            one-dimensional Gaussians as kernel, 2×2 means kept, bands against the smoothed level, border replicated.
        residual: Compare what remains below the last band as well.
        mask_inputs: Multiply both mattes by the mask before anything else, instead of weighing the map by it.
        mask_levels: Weigh the coefficients of level s by every 2^s-th pixel of the mask, and take each level's mean by
            its own weights, instead of weighing the map. At the border a coefficient counts for the pixels it has.

    Returns:
        A scalar, or the map (N, C, H, W). The mean is over the channels, too.

    Raises:
        ValueError: If an option is wrong, or ``mask_inputs`` or ``mask_levels`` is set without a mask, or both are.

    Source:
        Hou and Liu 2019 (arXiv 1909.09725), equation 3: the sum over five levels of
        ``2^(s-1) |L_s(pred) - L_s(alpha)|``.

    Example:
        >>> import torch
        >>> from mattekit.losses import laplacian_loss
        >>> alpha = torch.zeros(1, 1, 64, 64)
        >>> laplacian_loss(alpha + 0.5, alpha)  # bands do not see a constant offset, the residual does
        tensor(0.)
        >>> laplacian_loss(alpha + 0.5, alpha, residual=True, weights=(0, 0, 0, 0, 0, 1))
        tensor(0.5000)
    """
    check_pair(pred, alpha, mask, channels=None)
    check_reduction(reduction)
    check_number("levels", levels, Integral)
    check_positive("levels", levels)
    check_choice("pyramid", pyramid, ("burt", "pooled"))
    weights = tuple(2**level for level in range(levels + residual)) if weights is None else weights
    if len(weights) != levels + residual:
        raise ValueError(f"weights must hold one number a level, {levels + residual} in all, got {len(weights)}")
    if mask_inputs and mask_levels:
        raise ValueError("mask_inputs and mask_levels exclude each other, got both")
    pred, alpha = finite_outside(mask, widen(pred), widen(alpha))
    difference = pred - alpha
    if not (mask_inputs or mask_levels):
        return reduce(_map(difference, weights, pyramid, residual), mask, reduction)
    if mask is None:
        raise ValueError(f"{'mask_inputs' if mask_inputs else 'mask_levels'} needs a mask, got None")
    mask = mask.to(difference.dtype)
    if mask_inputs:
        difference = difference * mask
    maps = _map(difference, weights, pyramid, residual, mask if mask_levels else None)
    return reduce(maps, None, reduction, area=mask.sum() * pred.shape[1])


def _map(
    difference: Tensor, weights: Sequence[float], pyramid: Pyramid, residual: bool, mask: Tensor | None = None
) -> Tensor:
    """Sum the bands of a difference of mattes, which are the differences of their bands, at full size.

    With a mask each level is weighed so that the map's sum over the mask's area is the sum of the levels' own means.
    """
    height, width = difference.shape[-2:]
    split = _split_burt if pyramid == "burt" else _split_pooled
    total = torch.zeros_like(difference)
    band, rest = difference, difference
    for level, weight in enumerate(weights):
        is_residual = residual and level == len(weights) - 1
        band, rest = (rest, rest) if is_residual else split(rest)
        spread = _enlarge(band.abs(), level, height, width)
        if mask is not None:
            kept = _enlarge(mask[..., :: 2**level, :: 2**level], level, height, width)
            spread = spread * kept * quotient(mask.sum(), kept.sum())
        total = total.add(spread, alpha=weight)
    return total


def _enlarge(x: Tensor, level: int, height: int, width: int) -> Tensor:
    """Spread each coefficient over the pixels of the image that it stands for."""
    return F.interpolate(x, scale_factor=2**level, mode="nearest")[..., :height, :width] if level else x


def _split_burt(x: Tensor) -> tuple[Tensor, Tensor]:
    """A band and the next level of Burt and Adelson's pyramid."""
    height, width = x.shape[-2:]
    smooth = stencil(stencil(x, _BURT, 2, "reflect"), _BURT, 3, "reflect")
    low = smooth[..., ::2, ::2]
    up = x.new_zeros(*x.shape[:2], 2 * low.shape[2], 2 * low.shape[3])
    up[..., ::2, ::2] = 4 * low
    up = stencil(stencil(up, _BURT, 2, "reflect"), _BURT, 3, "reflect")
    return x - up[..., :height, :width], low


def _split_pooled(x: Tensor) -> tuple[Tensor, Tensor]:
    """A band and the next level as AIM's code has them; its kernel is g(x) + g(y), where one expects g(x)·g(y)."""
    rows = stencil(stencil(x, _BOX, 2), _GAUSS, 3)
    columns = stencil(stencil(x, _GAUSS, 2), _BOX, 3)
    smooth = (rows + columns) / 2
    # there is no padding to count, but without this word Inductor's backward pass is wrong at odd sides: pytorch#198119
    return x - smooth, F.avg_pool2d(smooth, 2, ceil_mode=True, count_include_pad=False)

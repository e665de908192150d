"""SAD: the sum of absolute differences."""

from __future__ import annotations

from typing import Any

from mattekit.metrics._inputs import Batch, Matte, Region, prepare
from mattekit.metrics._sums import absolute_sum, absolute_sums


def sad(
    pred: Matte,
    alpha: Matte,
    trimap: Matte | None = None,
    *,
    region: Region | None = None,
    apply_trimap: bool = False,
    raw: bool = False,
) -> Any:
    """Sum of absolute differences, in thousands.

    Args:
        pred: Predicted alpha, a tensor (N, 1, H, W) or a NumPy array (H, W): floats in [0, 1], or integers in 0..255.
        alpha: Ground-truth alpha, like `pred`; the dtype may differ.
        trimap: uint8, of the same shape: 0 background, 128 unknown, 255 foreground.
        region: The pixels that count: ``"unknown"``, ``"foreground"`` or ``"background"`` of the trimap, or
            ``"whole"``. None means unknown with a trimap and whole without.
        apply_trimap: Take the prediction as 0 and 1 where the trimap is sure, as the usual protocol does. `pred` itself
            is not written to.
        raw: Return the plain sum instead of thousands.

    Returns:
        One value an image: a float64 tensor (N,) on the device of `pred`, or a float for NumPy. 0 where no
        pixel counts.

    Raises:
        TypeError: If an argument is no tensor or array, not what `pred` is, or of an unfit dtype.
        ValueError: If shapes, devices or ranges do not fit, if a region lacks its trimap, or if the trimap holds other
            values where its known regions matter.

    Source:
        `compute_sad_loss.m` of the Deep Image Matting evaluation code, with exact sums instead of single precision:
        8-bit mattes are summed as integers, others in float64.

    Example:
        >>> import numpy as np
        >>> sad(np.full((10, 10), 0.5), np.zeros((10, 10)))
        0.05
        >>> sad(np.full((10, 10), 0.5), np.zeros((10, 10)), raw=True)
        50.0
    """
    return score_sad(prepare(pred, alpha, trimap, region=region, apply_trimap=apply_trimap), raw=raw)


def score_sad(batch: Batch, *, raw: bool) -> Any:
    """SAD of a prepared batch."""
    total = batch.score(absolute_sum, absolute_sums)
    return total if raw else total / 1000

"""MSE: the mean squared error."""

from __future__ import annotations

from typing import Any

from mattekit.metrics._inputs import Batch, Matte, Region, prepare
from mattekit.metrics._sums import mean, means, squared_sum, squared_sums


def mse(
    pred: Matte,
    alpha: Matte,
    trimap: Matte | None = None,
    *,
    region: Region | None = None,
    apply_trimap: bool = False,
) -> Any:
    """Mean squared error over the pixels that count.

    Args:
        pred: Predicted alpha, a tensor (N, 1, H, W) or a NumPy array (H, W): floats in [0, 1], or integers in 0..255.
        alpha: Ground-truth alpha, like `pred`; the dtype may differ.
        trimap: uint8, of the same shape: 0 background, 128 unknown, 255 foreground.
        region: The pixels that count: ``"unknown"``, ``"foreground"`` or ``"background"`` of the trimap, or
            ``"whole"``. None means unknown with a trimap and whole without.
        apply_trimap: Take the prediction as 0 and 1 where the trimap is sure, as the usual protocol does. `pred` itself
            is not written to.

    Returns:
        One value an image: a float64 tensor (N,) on the device of `pred`, or a float for NumPy. NaN, as in
        the reference, where no pixel counts.

    Raises:
        TypeError: If an argument is no tensor or array, not what `pred` is, or of an unfit dtype.
        ValueError: If shapes, devices or ranges do not fit, if a region lacks its trimap, or if the trimap holds other
            values where its known regions matter.

    Source:
        `compute_mse_loss.m` of the Deep Image Matting evaluation code, with exact sums instead of single precision:
        8-bit mattes are summed as integers, others in float64.

    Example:
        >>> import numpy as np
        >>> mse(np.full((10, 10), 0.5), np.zeros((10, 10)))
        0.25
    """
    return score_mse(prepare(pred, alpha, trimap, region=region, apply_trimap=apply_trimap))


def score_mse(batch: Batch) -> Any:
    """MSE of a prepared batch."""
    return batch.score(mean(squared_sum), means(squared_sums))

"""All five metrics of a prediction at once."""

from __future__ import annotations

from typing import Any, NamedTuple

from mattekit._checks import check_choice
from mattekit.metrics._inputs import Matte, Region, prepare
from mattekit.metrics.connectivity_error import EMPTY, Empty, score_connectivity
from mattekit.metrics.gradient_error import score_gradient
from mattekit.metrics.mad import score_mad
from mattekit.metrics.mse import score_mse
from mattekit.metrics.sad import score_sad


class Scores(NamedTuple):
    """The five metrics: floats for NumPy mattes, float64 tensors (N,) for tensors.

    Attributes:
        sad: Sum of absolute differences, in thousands.
        mse: Mean squared error.
        mad: Mean absolute difference.
        gradient_error: Grad, in thousands.
        connectivity_error: Conn, in thousands.
    """

    sad: Any
    mse: Any
    mad: Any
    gradient_error: Any
    connectivity_error: Any


def evaluate(
    pred: Matte,
    alpha: Matte,
    trimap: Matte | None = None,
    *,
    region: Region | None = None,
    apply_trimap: bool = False,
    eight_bit: bool = False,
    empty: Empty = "exclude",
    raw: bool = False,
) -> Scores:
    """SAD, MSE, MAD, Grad and Conn, with the checks and conversions done once.

    Args:
        pred: Predicted alpha, a tensor (N, 1, H, W) or a NumPy array (H, W): floats in [0, 1], or integers in 0..255.
        alpha: Ground-truth alpha, like `pred`; the dtype may differ.
        trimap: uint8, of the same shape: 0 background, 128 unknown, 255 foreground.
        region: The pixels that count: ``"unknown"``, ``"foreground"`` or ``"background"`` of the trimap, or
            ``"whole"``. None means unknown with a trimap and whole without.
        apply_trimap: Take the prediction as 0 and 1 where the trimap is sure, as the usual protocol does. `pred` itself
            is not written to.
        eight_bit: Round both mattes to 8 bits first, as mattes that were written to files are.
        empty: What Conn makes of a level that no pixel reaches; see
            :func:`~mattekit.metrics.connectivity_error`.
        raw: Return the plain sums of SAD, Grad and Conn instead of thousands.

    Returns:
        The five, by name. Where no pixel counts, the sums are 0 and the means NaN.

    Raises:
        TypeError: If an argument is no tensor or array, not what `pred` is, or of an unfit dtype.
        ValueError: If shapes, devices or ranges do not fit, if a region lacks its trimap, or if the trimap holds other
            values where its known regions matter.

    Source:
        Each metric says its own.

    Example:
        >>> import numpy as np
        >>> scores = evaluate(np.full((10, 10), 0.5), np.ones((10, 10)))
        >>> scores.sad, scores.mse, scores.connectivity_error
        (0.05, 0.25, 0.05)
    """
    check_choice("empty", empty, EMPTY)
    batch = prepare(pred, alpha, trimap, region=region, apply_trimap=apply_trimap, eight_bit=eight_bit)
    return Scores(
        sad=score_sad(batch, raw=raw),
        mse=score_mse(batch),
        mad=score_mad(batch),
        gradient_error=score_gradient(batch, raw=raw),
        connectivity_error=score_connectivity(batch, empty=empty, raw=raw),
    )

"""Conn: how far the mattes' connections to one common body differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack, get_args, overload

import numpy as np

from mattekit._checks import check_choice
from mattekit.metrics import _levels
from mattekit.metrics._bands import alike, are_bytes
from mattekit.metrics._sums import mask_of
from mattekit.metrics.inputs import Batch, Matte, Region, SumOptions, batch_of

if TYPE_CHECKING:
    from torch import Tensor

Empty: TypeAlias = Literal["exclude", "skip"]
EMPTY: tuple[Empty, ...] = get_args(Empty)
ROWS = 256  # rows compared at a time: small enough for a core's cache


class ConnectivityOptions(SumOptions, total=False):
    """The keywords of Conn."""

    empty: Empty


@overload
def connectivity_error(
    pred: np.ndarray, alpha: np.ndarray, trimap: np.ndarray | None = None, **options: Unpack[ConnectivityOptions]
) -> float: ...
@overload
def connectivity_error(
    pred: Tensor, alpha: Tensor, trimap: Tensor | None = None, **options: Unpack[ConnectivityOptions]
) -> Tensor: ...
def connectivity_error(
    pred: Matte,
    alpha: Matte,
    trimap: Matte | None = None,
    *,
    region: Region | None = None,
    apply_trimap: bool = False,
    check_trimap: bool = True,
    empty: Empty = "exclude",
    raw: bool = False,
) -> Any:
    """Connectivity error, in thousands.

    At each of ten levels, the largest component of the pixels where both mattes reach the level is the common body. A
    pixel is connected up to the highest level at which it belongs to that body; what its alpha has beyond that level
    counts as unconnected.

    The arguments that all metrics share stand in :mod:`mattekit.metrics`, and so do the errors.

    Args:
        empty: What a level means that no pixel reaches in both mattes. ``"exclude"``: there is no body, so every pixel
            leaves it there, as in the evaluation code that most papers ran. ``"skip"``: the level is passed over, as
            IndexNet, GFM, AIM and P3M do; pixels that stayed until there count as fully connected, and an all-zero
            prediction scores 0. The two differ only if no pixel is 1 in both mattes.
        raw: Return the plain sum instead of thousands.

    Returns:
        One value an image; 0 where no pixel counts.

    Source:
        `compute_connectivity_error.m` of the Deep Image Matting evaluation code, in the copies of GCA-Matting
        (``"exclude"``) and IndexNet (``"skip"``). 8-bit mattes are compared and summed as integers; others are compared
        in single precision, as in the reference, and summed in float64. Equally large components: the one whose first
        pixel comes first column by column, as MATLAB numbers them.

    Example:
        >>> import numpy as np
        >>> alpha = np.zeros((10, 10))
        >>> alpha[:, :4] = 1  # a body, and a detached strip that the prediction has, too
        >>> alpha[:, 8] = 1
        >>> pred = alpha.copy()
        >>> pred[:, 8] = 0.5  # half of what the strip is, and detached from the body
        >>> round(connectivity_error(pred, alpha, raw=True), 6)
        5.0
    """
    check_choice("empty", empty, EMPTY)
    batch = batch_of(pred, alpha, trimap, region=region, apply_trimap=apply_trimap, check_trimap=check_trimap)
    return score_connectivity(batch, empty=empty, raw=raw)


def score_connectivity(batch: Batch, *, empty: Empty, raw: bool) -> Any:
    """Conn of a prepared batch."""
    skip_empty = empty == "skip"
    total = batch.score(
        lambda pred, alpha, region: connectivity_error_of_image(pred, alpha, region, skip_empty=skip_empty),
        lambda pred, alpha, region: connectivity_error_of_batch(pred, alpha, region, skip_empty=skip_empty),
    )
    return total if raw else total / 1000


def connectivity_error_of_image(
    pred: np.ndarray, alpha: np.ndarray, region: np.ndarray | None, *, skip_empty: bool
) -> float:
    """Conn of one image (H, W), a plain sum; floats of any range, which the public functions check."""
    deciding = _levels.deciding_levels(pred, alpha, region)
    levels = _levels.connected_levels(_levels.reached_levels(pred, alpha), deciding, skip_empty=skip_empty)
    difference = _difference_of_bytes if are_bytes(pred, alpha) else _difference_of_floats
    return math.fsum(
        difference(*alike(pred[rows], alpha[rows]), levels[rows], None if region is None else region[rows])
        for rows in (slice(top, top + ROWS) for top in range(0, len(pred), ROWS))
    )


def connectivity_error_of_batch(pred: Tensor, alpha: Tensor, region: Tensor | None, *, skip_empty: bool) -> Tensor:
    """Conn of each image of a batch, (N, H, W) to (N,), on any device."""
    from mattekit.metrics import _levels_torch

    levels = _levels_torch.connected_levels(_levels_torch.reached_levels(pred, alpha), skip_empty=skip_empty)
    if pred.is_floating_point():
        floor = levels.new_tensor(_levels.LEVELS.tolist(), dtype=pred.dtype).float()[levels.long()]
        excesses = [(x.float() - floor) * (x.float() - floor >= float(_levels.THETA)) for x in (pred, alpha)]
        difference, scale = (excesses[0].double() - excesses[1].double()).abs(), 1
    else:
        floor = 51 * levels.int()
        excesses = [(2 * x.int() - floor) * (2 * x.int() - floor >= 77) for x in (pred, alpha)]
        difference, scale = (excesses[0] - excesses[1]).abs(), 510
    return (difference if region is None else difference * region).sum((1, 2)).double() / scale


def _difference_of_bytes(pred: np.ndarray, alpha: np.ndarray, levels: np.ndarray, region: np.ndarray | None) -> float:
    """Sum of |excess of pred - excess of alpha|, where a value v exceeds level l by 2v - 51l 510ths, or 0 below 77."""
    import cv2

    floor = levels.astype(np.int16) * np.int16(51)
    p, a = (cv2.threshold((x.astype(np.int16) << 1) - floor, 76, 0, cv2.THRESH_TOZERO)[1] for x in (pred, alpha))
    return cv2.norm(p, a, cv2.NORM_L1, mask_of(region)) / 510


def _difference_of_floats(pred: np.ndarray, alpha: np.ndarray, levels: np.ndarray, region: np.ndarray | None) -> float:
    """The same in single precision, summed in float64."""
    floor = _levels.LEVELS[levels]
    p, a = (
        np.where(excess >= _levels.THETA, excess, 0) for excess in (x.astype(np.float32) - floor for x in (pred, alpha))
    )
    return float(np.abs(p.astype(np.float64) - a).sum(where=True if region is None else region))

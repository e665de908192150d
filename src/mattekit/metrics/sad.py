"""SAD: the sum of absolute differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np

from mattekit.metrics._sums import absolute_sum, absolute_sums
from mattekit.metrics.inputs import Batch, Matte, Region, SumOptions, batch_of

if TYPE_CHECKING:
    from torch import Tensor


@overload
def sad(
    pred: np.ndarray, alpha: np.ndarray, trimap: np.ndarray | None = None, **options: Unpack[SumOptions]
) -> float: ...
@overload
def sad(pred: Tensor, alpha: Tensor, trimap: Tensor | None = None, **options: Unpack[SumOptions]) -> Tensor: ...
def sad(
    pred: Matte,
    alpha: Matte,
    trimap: Matte | None = None,
    *,
    region: Region | None = None,
    apply_trimap: bool = False,
    check_trimap: bool = True,
    raw: bool = False,
) -> Any:
    """Sum of absolute differences, in thousands.

    The arguments that all metrics share stand in :mod:`mattekit.metrics`, and so do the errors.

    Args:
        raw: Return the plain sum instead of thousands.

    Returns:
        One value an image; 0 where no pixel counts.

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
    return score_sad(
        batch_of(pred, alpha, trimap, region=region, apply_trimap=apply_trimap, check_trimap=check_trimap), raw=raw
    )


def score_sad(batch: Batch, *, raw: bool) -> Any:
    """SAD of a prepared batch."""
    total = batch.score(absolute_sum, absolute_sums)
    return total if raw else total / 1000

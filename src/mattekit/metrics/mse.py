"""MSE: the mean squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np

from mattekit.metrics._sums import mean, means, squared_sum, squared_sums
from mattekit.metrics.inputs import Batch, Matte, Options, Region, batch_of

if TYPE_CHECKING:
    from torch import Tensor


@overload
def mse(pred: np.ndarray, alpha: np.ndarray, trimap: np.ndarray | None = None, **options: Unpack[Options]) -> float: ...
@overload
def mse(pred: Tensor, alpha: Tensor, trimap: Tensor | None = None, **options: Unpack[Options]) -> Tensor: ...
def mse(
    pred: Matte,
    alpha: Matte,
    trimap: Matte | None = None,
    *,
    region: Region | None = None,
    apply_trimap: bool = False,
    check_trimap: bool = True,
) -> Any:
    """Mean squared error over the pixels that count.

    The arguments that all metrics share stand in :mod:`mattekit.metrics`, and so do the errors.

    Returns:
        One value an image; NaN, as in the reference, where no pixel counts.

    Source:
        `compute_mse_loss.m` of the Deep Image Matting evaluation code, with exact sums instead of single precision:
        8-bit mattes are summed as integers, others in float64.

    Example:
        >>> import numpy as np
        >>> mse(np.full((10, 10), 0.5), np.zeros((10, 10)))
        0.25
    """
    return score_mse(batch_of(pred, alpha, trimap, region=region, apply_trimap=apply_trimap, check_trimap=check_trimap))


def score_mse(batch: Batch) -> Any:
    """MSE of a prepared batch."""
    return batch.score(mean(squared_sum), means(squared_sums))

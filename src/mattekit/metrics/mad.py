"""MAD: the mean absolute difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np

from mattekit.metrics._sums import absolute_sum, absolute_sums, mean, means
from mattekit.metrics.inputs import Batch, Matte, Options, Region, batch_of

if TYPE_CHECKING:
    from torch import Tensor


@overload
def mad(pred: np.ndarray, alpha: np.ndarray, trimap: np.ndarray | None = None, **options: Unpack[Options]) -> float: ...
@overload
def mad(pred: Tensor, alpha: Tensor, trimap: Tensor | None = None, **options: Unpack[Options]) -> Tensor: ...
def mad(
    pred: Matte,
    alpha: Matte,
    trimap: Matte | None = None,
    *,
    region: Region | None = None,
    apply_trimap: bool = False,
    check_trimap: bool = True,
) -> Any:
    """Mean absolute difference over the pixels that count.

    The arguments that all metrics share stand in :mod:`mattekit.metrics`, and so do the errors.

    Returns:
        One value an image; NaN where no pixel counts.

    Source:
        GFM, AIM and P3M report it next to SAD, of which it is the mean. The Deep Image Matting code lacks it.

    Example:
        >>> import numpy as np
        >>> mad(np.full((10, 10), 0.5), np.zeros((10, 10)))
        0.5
    """
    return score_mad(batch_of(pred, alpha, trimap, region=region, apply_trimap=apply_trimap, check_trimap=check_trimap))


def score_mad(batch: Batch) -> Any:
    """MAD of a prepared batch."""
    return batch.score(mean(absolute_sum), means(absolute_sums))

"""All five metrics of a prediction at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, Unpack, overload

import numpy as np

from mattekit._checks import check_choice
from mattekit.metrics.connectivity_error import EMPTY, ConnectivityOptions, Empty, score_connectivity
from mattekit.metrics.gradient_error import score_gradient
from mattekit.metrics.inputs import Matte, Region, batch_of
from mattekit.metrics.mad import score_mad
from mattekit.metrics.mse import score_mse
from mattekit.metrics.sad import score_sad

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")


class EvaluateOptions(ConnectivityOptions, total=False):
    """The keywords of `evaluate`."""

    eight_bit: bool


class Scores(NamedTuple, Generic[Value]):
    """The five metrics: floats for NumPy mattes, float64 tensors (N,) for tensors.

    Attributes:
        sad: Sum of absolute differences, in thousands.
        mse: Mean squared error.
        mad: Mean absolute difference.
        gradient_error: Grad, in thousands.
        connectivity_error: Conn, in thousands.
    """

    sad: Value
    mse: Value
    mad: Value
    gradient_error: Value
    connectivity_error: Value


@overload
def evaluate(
    pred: np.ndarray, alpha: np.ndarray, trimap: np.ndarray | None = None, **options: Unpack[EvaluateOptions]
) -> Scores[float]: ...
@overload
def evaluate(
    pred: Tensor, alpha: Tensor, trimap: Tensor | None = None, **options: Unpack[EvaluateOptions]
) -> Scores[Tensor]: ...
@overload
def evaluate(pred: Matte, alpha: Matte, trimap: Matte | None = None, **options: Unpack[EvaluateOptions]) -> Scores: ...
def evaluate(
    pred: Matte,
    alpha: Matte,
    trimap: Matte | None = None,
    *,
    region: Region | None = None,
    apply_trimap: bool = False,
    check_trimap: bool = True,
    eight_bit: bool = False,
    empty: Empty = "exclude",
    raw: bool = False,
) -> Any:
    """SAD, MSE, MAD, Grad and Conn, with the checks and conversions done once.

    The arguments that all metrics share stand in :mod:`mattekit.metrics`, and so do the errors.

    Args:
        eight_bit: Round both mattes to 8 bits first, as mattes that were written to files are.
        empty: What Conn makes of a level that no pixel reaches; see
            :func:`~mattekit.metrics.connectivity_error`.
        raw: Return the plain sums of SAD, Grad and Conn instead of thousands.

    Returns:
        The five, by name. Where no pixel counts, the sums are 0 and the means NaN.

    Source:
        Each metric says its own.

    Example:
        >>> import numpy as np
        >>> scores = evaluate(np.full((10, 10), 0.5), np.ones((10, 10)))
        >>> scores.sad, scores.mse, scores.connectivity_error
        (0.05, 0.25, 0.05)
    """
    check_choice("empty", empty, EMPTY)
    batch = batch_of(
        pred,
        alpha,
        trimap,
        region=region,
        apply_trimap=apply_trimap,
        check_trimap=check_trimap,
        eight_bit=eight_bit,
    )
    return Scores(
        sad=score_sad(batch, raw=raw),
        mse=score_mse(batch),
        mad=score_mad(batch),
        gradient_error=score_gradient(batch, raw=raw),
        connectivity_error=score_connectivity(batch, empty=empty, raw=raw),
    )

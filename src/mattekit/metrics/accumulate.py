"""The metrics as accumulating classes on torchmetrics, which is imported with this module, when a class is asked for.

They share one base: only the function and its options differ. That, and the import, is why they do not live in the
metrics' own files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from mattekit._checks import check_choice
from mattekit.metrics._inputs import REGIONS, Matte, Region
from mattekit.metrics.connectivity_error import EMPTY, Empty, connectivity_error
from mattekit.metrics.gradient_error import gradient_error
from mattekit.metrics.mad import mad
from mattekit.metrics.mse import mse
from mattekit.metrics.sad import sad

Reduction = Literal["mean", "none"]


class _ImageMetric(Metric):
    """A metric of one value an image.

    The state is the list of values so far, gathered from all processes: the mean over images does not depend on how
    they were spread over batches and processes.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0

    _function: ClassVar[Callable[..., Any]]

    def __init__(self, reduction: Reduction, options: dict[str, Any]) -> None:
        super().__init__()
        check_choice("reduction", reduction, ("mean", "none"))
        check_choice("region", options["region"], (None, *REGIONS))
        self.reduction = reduction
        self._options = options
        # MetricCollection takes metrics for the same whose states have the same names and equal values after the first
        # batch. Perfect predictions score 0 by every metric, so the name has to tell what this metric is.
        self._state = "_".join([type(self).__name__, *map(str, options.values())])
        self.add_state(self._state, default=[], dist_reduce_fx="cat")

    def update(self, pred: Matte, alpha: Matte, trimap: Matte | None = None) -> None:
        """Add the images of a batch; arguments as the function takes them."""
        values = self._function(pred, alpha, trimap, **self._options)
        getattr(self, self._state).append(torch.as_tensor(values, dtype=torch.float64, device=self.device).reshape(-1))

    def compute(self) -> Tensor:
        """The mean over all images so far, or one value an image in the order they came; NaN or none before any."""
        state = getattr(self, self._state)
        values = dim_zero_cat(state) if len(state) else torch.empty(0, dtype=torch.float64, device=self.device)
        return values.mean() if self.reduction == "mean" else values


class SAD(_ImageMetric):
    """Sum of absolute differences, in thousands, accumulated over images; see :func:`~mattekit.metrics.sad`.

    Args:
        region: The pixels that count, as the function takes it.
        apply_trimap: Take predictions as 0 and 1 where the trimap is sure.
        raw: Accumulate plain sums instead of thousands.
        reduction: What :meth:`compute` returns: ``"mean"`` over images, or ``"none"``, a tensor of one value an image.

    Raises:
        ValueError: If a choice is none of those named.

    Source:
        The data set's score is the plain mean of the images' scores, as in the evaluation scripts of the field.

    Example:
        >>> import torch
        >>> metric = SAD()
        >>> metric.update(torch.full((2, 1, 10, 10), 0.5), torch.ones(2, 1, 10, 10))
        >>> metric.compute()
        tensor(0.0500, dtype=torch.float64)
    """

    _function = staticmethod(sad)

    def __init__(
        self,
        *,
        region: Region | None = None,
        apply_trimap: bool = False,
        raw: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction, {"region": region, "apply_trimap": apply_trimap, "raw": raw})


class MSE(_ImageMetric):
    """Mean squared error, accumulated over images; see :func:`~mattekit.metrics.mse`.

    An image without a pixel that counts makes the mean NaN, as in the reference.

    Args:
        region: The pixels that count, as the function takes it.
        apply_trimap: Take predictions as 0 and 1 where the trimap is sure.
        reduction: What :meth:`compute` returns: ``"mean"`` over images, or ``"none"``, a tensor of one value an image.

    Raises:
        ValueError: If a choice is none of those named.

    Source:
        The data set's score is the plain mean of the images' scores, as in the evaluation scripts of the field.

    Example:
        >>> import torch
        >>> metric = MSE()
        >>> metric.update(torch.full((2, 1, 10, 10), 0.5), torch.ones(2, 1, 10, 10))
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)
    """

    _function = staticmethod(mse)

    def __init__(
        self, *, region: Region | None = None, apply_trimap: bool = False, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction, {"region": region, "apply_trimap": apply_trimap})


class MAD(_ImageMetric):
    """Mean absolute difference, accumulated over images; see :func:`~mattekit.metrics.mad`.

    An image without a pixel that counts makes the mean NaN, as in the reference.

    Args:
        region: The pixels that count, as the function takes it.
        apply_trimap: Take predictions as 0 and 1 where the trimap is sure.
        reduction: What :meth:`compute` returns: ``"mean"`` over images, or ``"none"``, a tensor of one value an image.

    Raises:
        ValueError: If a choice is none of those named.

    Source:
        The data set's score is the plain mean of the images' scores, as in the evaluation scripts of the field.

    Example:
        >>> import torch
        >>> metric = MAD()
        >>> metric.update(torch.full((2, 1, 10, 10), 0.5), torch.ones(2, 1, 10, 10))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    _function = staticmethod(mad)

    def __init__(
        self, *, region: Region | None = None, apply_trimap: bool = False, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction, {"region": region, "apply_trimap": apply_trimap})


class GradientError(_ImageMetric):
    """Gradient error, in thousands, accumulated over images; see :func:`~mattekit.metrics.gradient_error`.

    Args:
        region: The pixels that count, as the function takes it.
        apply_trimap: Take predictions as 0 and 1 where the trimap is sure.
        raw: Accumulate plain sums instead of thousands.
        reduction: What :meth:`compute` returns: ``"mean"`` over images, or ``"none"``, a tensor of one value an image.

    Raises:
        ValueError: If a choice is none of those named.

    Source:
        The data set's score is the plain mean of the images' scores, as in the evaluation scripts of the field.

    Example:
        >>> import torch
        >>> metric = GradientError()
        >>> metric.update(torch.full((2, 1, 10, 10), 0.5), torch.ones(2, 1, 10, 10))
        >>> metric.compute()
        tensor(0., dtype=torch.float64)
    """

    _function = staticmethod(gradient_error)

    def __init__(
        self,
        *,
        region: Region | None = None,
        apply_trimap: bool = False,
        raw: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction, {"region": region, "apply_trimap": apply_trimap, "raw": raw})


class ConnectivityError(_ImageMetric):
    """Connectivity error, in thousands, accumulated over images; see :func:`~mattekit.metrics.connectivity_error`.

    Args:
        region: The pixels that count, as the function takes it.
        apply_trimap: Take predictions as 0 and 1 where the trimap is sure.
        empty: What Conn makes of a level that no pixel reaches.
        raw: Accumulate plain sums instead of thousands.
        reduction: What :meth:`compute` returns: ``"mean"`` over images, or ``"none"``, a tensor of one value an image.

    Raises:
        ValueError: If a choice is none of those named.

    Source:
        The data set's score is the plain mean of the images' scores, as in the evaluation scripts of the field.

    Example:
        >>> import torch
        >>> metric = ConnectivityError()
        >>> metric.update(torch.full((2, 1, 10, 10), 0.5), torch.ones(2, 1, 10, 10))
        >>> metric.compute()
        tensor(0.0500, dtype=torch.float64)
    """

    _function = staticmethod(connectivity_error)

    def __init__(
        self,
        *,
        region: Region | None = None,
        apply_trimap: bool = False,
        empty: Empty = "exclude",
        raw: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        check_choice("empty", empty, EMPTY)
        super().__init__(reduction, {"region": region, "apply_trimap": apply_trimap, "empty": empty, "raw": raw})

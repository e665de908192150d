"""The metrics as accumulating classes on torchmetrics, which is imported with this module, when a class is asked for.

They share one base: only the score and its options differ. That, and the import, is why they do not live in the
metrics' own files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from mattekit._checks import check_choice
from mattekit.metrics.connectivity_error import EMPTY, Empty, score_connectivity
from mattekit.metrics.gradient_error import score_gradient
from mattekit.metrics.inputs import REGIONS, Batch, Matte, Region, batch_of
from mattekit.metrics.mad import score_mad
from mattekit.metrics.mse import score_mse
from mattekit.metrics.sad import score_sad

Reduction = Literal["mean", "none"]


class _ImageMetric(Metric):
    """A metric of one value an image.

    The state is three lists, gathered from all processes: the values so far, the pixels that counted for each, and
    whether it had a trimap. The mean over images does not depend on how they were spread over batches and processes.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0

    def __init__(
        self, region: Region | None, apply_trimap: bool, check_trimap: bool, reduction: Reduction, *options: object
    ) -> None:
        super().__init__()
        check_choice("reduction", reduction, ("mean", "none"))
        check_choice("region", region, (None, *REGIONS))
        self.region: Region | None = region
        self.apply_trimap = apply_trimap
        self.check_trimap = check_trimap
        self.reduction = reduction
        self._scored: tuple[Tensor, ...] | None = None  # the one batch that forward() is about
        # MetricCollection takes metrics for the same whose states have the same names and equal values after the first
        # batch. Perfect predictions score 0 by every metric, so the names have to tell what this metric is.
        settings = (region, apply_trimap, check_trimap, *options)
        name = "_".join([type(self).__name__, *map(str, settings)])
        self._states = (name, f"{name}_pixels", f"{name}_trimaps")
        for state in self._states:
            self.add_state(state, default=[], dist_reduce_fx="cat")
        self.set_dtype(torch.float64)  # with which torchmetrics stands in for the state of a process without images

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Any:
        """Go to another device. The precision stays, unless `set_dtype` is to change it.

        torchmetrics would take on whatever `fn` makes of a float32: ``.cuda()`` would go on in float32.
        """
        if self._dtype_convert:
            return super()._apply(fn, exclude_state)

        def move(x: Tensor) -> Tensor:
            moved = fn(x)
            return moved if moved.dtype == x.dtype else x.to(moved.device)

        dtype = self.dtype
        super()._apply(move, exclude_state)
        self._dtype = torch.float32 if self.device.type == "mps" else dtype  # MPS has no float64
        return self

    def _wrap_compute(self, compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Keep one value an image where there is one image: torchmetrics makes a scalar of it."""
        wrapped = super()._wrap_compute(compute)

        @wraps(compute)
        def computed() -> Tensor:
            values = wrapped()
            return values.reshape(-1) if self.reduction == "none" else values

        return computed

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add the images of another metric, or of its state, as torchmetrics does."""
        super().merge_state(incoming_state)
        self._computed = None  # torchmetrics would go on to return what it had computed without them

    def _score(self, batch: Batch) -> Any:
        raise NotImplementedError

    def update(self, pred: Matte, alpha: Matte, trimap: Matte | None = None) -> None:
        """Add the images of a batch; arguments as the function takes them."""
        scored = self._scored or self._score_batch(pred, alpha, trimap)
        for state, values in zip(self._states, scored, strict=True):
            getattr(self, state).append(values)

    def forward(self, pred: Matte, alpha: Matte, trimap: Matte | None = None) -> Any:
        """Add a batch, and return its own value."""
        # torchmetrics puts the images so far aside while it updates; they would be lost if that raised an error
        self._scored = self._score_batch(pred, alpha, trimap)
        try:
            return super().forward(pred, alpha, trimap)
        finally:
            self._scored = None

    def _score_batch(self, pred: Matte, alpha: Matte, trimap: Matte | None) -> tuple[Tensor, ...]:
        """Values, pixels that counted, and 1 where there was a trimap, one of each an image."""
        batch = batch_of(
            pred,
            alpha,
            trimap,
            region=self.region,
            apply_trimap=self.apply_trimap,
            check_trimap=self.check_trimap,
        )
        values = self._vector(self._score(batch))
        return values, self._vector(batch.pixels()), torch.full_like(values, trimap is not None)

    def _vector(self, values: Any) -> Tensor:
        return torch.as_tensor(values, dtype=self.dtype, device=self.device).reshape(-1)

    def compute(self) -> Tensor:
        """The mean over all images so far, or one value an image in the order they came; NaN or none before any.

        Raises:
            ValueError: If some images came with a trimap and some without, and no region was given: their scores are of
                different regions. If no image has a pixel of the region, and trimaps are checked.
        """
        values, pixels, trimaps = map(self._gathered, self._states)
        if self.region is None and 0 < (given := int(trimaps.sum())) < len(trimaps):
            raise ValueError(
                "region must be given where some images have a trimap and others none: the mean would be of both "
                f"regions; got trimaps with {given} of {len(trimaps)} images"
            )
        if self.check_trimap and self._scored is None and len(values) and not pixels.any():
            raise ValueError(
                f"trimap must have {self.region or 'unknown'} pixels in at least one image, got none in all "
                f"{len(values)}; check_trimap=False lets that pass"
            )
        return values.mean() if self.reduction == "mean" else values

    def _gathered(self, name: str) -> Tensor:
        state = getattr(self, name)
        return dim_zero_cat(state) if len(state) else torch.empty(0, dtype=self.dtype, device=self.device)


class SAD(_ImageMetric):
    """Sum of absolute differences, in thousands, accumulated over images; see :func:`~mattekit.metrics.sad`.

    The data set's score is the plain mean of the images' scores, as in the evaluation scripts of the field.

    Args:
        region: As the function takes it, and so are the next three.
        apply_trimap: Take predictions as 0 and 1 where the trimap is sure.
        check_trimap: Refuse trimaps with other values than the three and, when all images are there, a set none of
            which has a pixel of the region.
        raw: Accumulate plain sums instead of thousands.
        reduction: What :meth:`compute` returns: ``"mean"`` over images, or ``"none"``, a tensor of one value an image.

    Raises:
        ValueError: If a choice is none of those named.

    Example:
        >>> import torch
        >>> metric = SAD()
        >>> metric.update(torch.full((2, 1, 10, 10), 0.5), torch.ones(2, 1, 10, 10))
        >>> metric.compute()
        tensor(0.0500, dtype=torch.float64)
    """

    def __init__(
        self,
        *,
        region: Region | None = None,
        apply_trimap: bool = False,
        check_trimap: bool = True,
        raw: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(region, apply_trimap, check_trimap, reduction, raw)
        self.raw = raw

    def _score(self, batch: Batch) -> Any:
        return score_sad(batch, raw=self.raw)


class MSE(_ImageMetric):
    """Mean squared error, accumulated over images; see :func:`~mattekit.metrics.mse`, and `SAD` for the arguments.

    An image without a pixel that counts makes the mean NaN, as in the reference.

    Example:
        >>> import torch
        >>> metric = MSE()
        >>> metric.update(torch.full((2, 1, 10, 10), 0.5), torch.ones(2, 1, 10, 10))
        >>> metric.compute()
        tensor(0.2500, dtype=torch.float64)
    """

    def __init__(
        self,
        *,
        region: Region | None = None,
        apply_trimap: bool = False,
        check_trimap: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(region, apply_trimap, check_trimap, reduction)

    def _score(self, batch: Batch) -> Any:
        return score_mse(batch)


class MAD(_ImageMetric):
    """Mean absolute difference, accumulated over images.

    See :func:`~mattekit.metrics.mad`, and `SAD` for the arguments.

    An image without a pixel that counts makes the mean NaN, as in the reference.

    Example:
        >>> import torch
        >>> metric = MAD()
        >>> metric.update(torch.full((2, 1, 10, 10), 0.5), torch.ones(2, 1, 10, 10))
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    def __init__(
        self,
        *,
        region: Region | None = None,
        apply_trimap: bool = False,
        check_trimap: bool = True,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(region, apply_trimap, check_trimap, reduction)

    def _score(self, batch: Batch) -> Any:
        return score_mad(batch)


class GradientError(_ImageMetric):
    """Gradient error, in thousands, accumulated over images.

    See :func:`~mattekit.metrics.gradient_error`, and `SAD` for the arguments.

    Example:
        >>> import torch
        >>> metric = GradientError()
        >>> metric.update(torch.full((2, 1, 10, 10), 0.5), torch.ones(2, 1, 10, 10))
        >>> metric.compute()
        tensor(0., dtype=torch.float64)
    """

    def __init__(
        self,
        *,
        region: Region | None = None,
        apply_trimap: bool = False,
        check_trimap: bool = True,
        raw: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(region, apply_trimap, check_trimap, reduction, raw)
        self.raw = raw

    def _score(self, batch: Batch) -> Any:
        return score_gradient(batch, raw=self.raw)


class ConnectivityError(_ImageMetric):
    """Connectivity error, in thousands, accumulated over images.

    See :func:`~mattekit.metrics.connectivity_error`, also for ``empty``, and `SAD` for the other arguments.

    Example:
        >>> import torch
        >>> metric = ConnectivityError()
        >>> metric.update(torch.full((2, 1, 10, 10), 0.5), torch.ones(2, 1, 10, 10))
        >>> metric.compute()
        tensor(0.0500, dtype=torch.float64)
    """

    def __init__(
        self,
        *,
        region: Region | None = None,
        apply_trimap: bool = False,
        check_trimap: bool = True,
        empty: Empty = "exclude",
        raw: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        check_choice("empty", empty, EMPTY)
        super().__init__(region, apply_trimap, check_trimap, reduction, empty, raw)
        self.empty: Empty = empty
        self.raw = raw

    def _score(self, batch: Batch) -> Any:
        return score_connectivity(batch, empty=self.empty, raw=self.raw)

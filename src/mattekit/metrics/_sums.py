"""Sums of differences over a region, of one image in NumPy and of a batch of tensors: SAD, MAD and MSE come of them.

8-bit mattes are summed as integers, so that the result depends on no order; others in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mattekit.metrics._bands import alike, are_bytes, bands

if TYPE_CHECKING:
    from torch import Tensor

ImageSum = Callable[[np.ndarray, np.ndarray, "np.ndarray | None"], float]
BatchSum = Callable[["Tensor", "Tensor", "Tensor | None"], "Tensor"]


def absolute_sum(pred: np.ndarray, alpha: np.ndarray, region: np.ndarray | None) -> float:
    """Sum of |pred - alpha|, on the scale of [0, 1], over the region of one image (H, W)."""
    import cv2

    if are_bytes(pred, alpha):  # an integer, exact in the double that cv2 returns
        return cv2.norm(pred, alpha, cv2.NORM_L1, mask_of(region)) / 255
    return _sum_of_floats(np.abs, pred, alpha, region)


def squared_sum(pred: np.ndarray, alpha: np.ndarray, region: np.ndarray | None) -> float:
    """Sum of (pred - alpha)², on the scale of [0, 1], over the region of one image (H, W)."""
    import cv2

    if are_bytes(pred, alpha):
        return cv2.norm(pred, alpha, cv2.NORM_L2SQR, mask_of(region)) / 255**2
    return _sum_of_floats(np.square, pred, alpha, region)


def absolute_sums(pred: Tensor, alpha: Tensor, region: Tensor | None) -> Tensor:
    """`absolute_sum` of each image of a batch, (N, H, W) to (N,)."""
    scale = 1 if pred.is_floating_point() else 255
    return _sums(_difference(pred, alpha).abs(), region) / scale


def squared_sums(pred: Tensor, alpha: Tensor, region: Tensor | None) -> Tensor:
    """`squared_sum` of each image of a batch, (N, H, W) to (N,)."""
    scale = 1 if pred.is_floating_point() else 255**2
    return _sums(_difference(pred, alpha).square(), region) / scale


def mean(image_sum: ImageSum) -> ImageSum:
    """A sum over an image, divided by the number of pixels that count: NaN if there are none."""

    def image_mean(pred: np.ndarray, alpha: np.ndarray, region: np.ndarray | None) -> float:
        count = pred.size if region is None else int(np.count_nonzero(region))
        return image_sum(pred, alpha, region) / count if count else float("nan")

    return image_mean


def means(batch_sum: BatchSum) -> BatchSum:
    """The same of a batch."""

    def batch_mean(pred: Tensor, alpha: Tensor, region: Tensor | None) -> Tensor:
        count = pred.shape[1] * pred.shape[2] if region is None else region.sum((1, 2))
        return batch_sum(pred, alpha, region) / count

    return batch_mean


def mask_of(region: np.ndarray | None) -> np.ndarray | None:
    """A region as cv2 takes masks."""
    return None if region is None else region.view(np.uint8)


def _sum_of_floats(
    of: Callable[[np.ndarray], np.ndarray], pred: np.ndarray, alpha: np.ndarray, region: np.ndarray | None
) -> float:
    sums = []
    for rows in bands(pred):
        p, a = alike(pred[rows], alpha[rows])
        sums.append(float(of(p - a).sum(where=True if region is None else region[rows])))
    return math.fsum(sums)


def _difference(pred: Tensor, alpha: Tensor) -> Tensor:
    return pred - alpha if pred.is_floating_point() else pred.int() - alpha.int()


def _sums(values: Tensor, region: Tensor | None) -> Tensor:
    """Sums over (H, W) in int64 or float64, as float64."""
    return (values if region is None else values * region).sum((1, 2)).double()

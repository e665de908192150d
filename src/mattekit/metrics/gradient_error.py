"""Grad: how far the amplitudes of smoothed gradients differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np

from mattekit.metrics._bands import alike, are_bytes
from mattekit.metrics._sums import mask_of
from mattekit.metrics.inputs import Batch, Matte, Region, SumOptions, batch_of

if TYPE_CHECKING:
    from torch import Tensor

RADIUS = 4
TILE = 256  # rows and columns filtered at a time: small enough for a core's cache
LEAST_SPAN = float(np.finfo(np.float64).tiny)  # between the ends of a range, of which the inverse is finite


@overload
def gradient_error(
    pred: np.ndarray, alpha: np.ndarray, trimap: np.ndarray | None = None, **options: Unpack[SumOptions]
) -> float: ...
@overload
def gradient_error(
    pred: Tensor, alpha: Tensor, trimap: Tensor | None = None, **options: Unpack[SumOptions]
) -> Tensor: ...
def gradient_error(
    pred: Matte,
    alpha: Matte,
    trimap: Matte | None = None,
    *,
    region: Region | None = None,
    apply_trimap: bool = False,
    check_trimap: bool = True,
    raw: bool = False,
) -> Any:
    """Gradient error, in thousands: squared differences of the gradients' amplitudes, summed.

    Each matte is stretched to its own range first, over the whole image, as the reference does. So the metric does not
    see a prediction that is an affine image of the truth, and a single outlying pixel anywhere changes the score.

    The arguments that all metrics share stand in :mod:`mattekit.metrics`, and so do the errors.

    Args:
        raw: Return the plain sum instead of thousands.

    Returns:
        One value an image; 0 where no pixel counts.

    Source:
        `compute_gradient_loss.m` and `gaussgradient.m` of the Deep Image Matting evaluation code: derivatives of a
        Gaussian of sigma 1.4, 9 x 9, of unit L2 norm, replicated borders. In float64 throughout, where the reference
        rounds amplitudes and sums to single precision.

    Example:
        >>> import numpy as np
        >>> step = np.zeros((20, 20))
        >>> step[:, 10:] = 1
        >>> round(gradient_error(np.zeros((20, 20)), step), 4)
        0.3918
        >>> round(gradient_error(0.25 + 0.5 * step, step), 4)
        0.0
    """
    return score_gradient(
        batch_of(pred, alpha, trimap, region=region, apply_trimap=apply_trimap, check_trimap=check_trimap), raw=raw
    )


def score_gradient(batch: Batch, *, raw: bool) -> Any:
    """Grad of a prepared batch."""
    total = batch.score(gradient_error_of_image, gradient_error_of_batch)
    return total if raw else total / 1000


@cache
def filters() -> tuple[np.ndarray, np.ndarray]:
    """The Gaussian and its derivative, 9 taps each, of unit L2 norm; their outer product is the reference's kernel."""
    u = np.arange(-RADIUS, RADIUS + 1) / 1.4
    gaussian = np.exp(-(u**2) / 2)
    derivative = -u * gaussian
    return gaussian / np.linalg.norm(gaussian), derivative / np.linalg.norm(derivative)


def gradient_error_of_image(pred: np.ndarray, alpha: np.ndarray, region: np.ndarray | None) -> float:
    """Grad of one image (H, W), a plain sum; of any range, which the public functions check."""
    import cv2

    in_bytes = are_bytes(pred, alpha)
    pred_scale, alpha_scale = (_scale(x, in_bytes=in_bytes) for x in (pred, alpha))
    sums = []
    for inner, outer, crop in _tiles(*pred.shape):
        mask = None if region is None else region[inner]
        if mask is not None and not mask.any():
            continue
        p, a = alike(pred[outer], alpha[outer])
        if np.array_equal(p, a) and (pred_scale == alpha_scale or p.min() == p.max()):
            continue  # both amplitudes are the same
        p, a = _amplitude(p, pred_scale)[crop], _amplitude(a, alpha_scale)[crop]
        sums.append(cv2.norm(p, a, cv2.NORM_L2SQR, mask_of(mask)))
    return math.fsum(sums)


def gradient_error_of_batch(pred: Tensor, alpha: Tensor, region: Tensor | None) -> Tensor:
    """Grad of each image of a batch, (N, H, W) to (N,), on any device."""
    difference = _stretched_amplitude(pred) - _stretched_amplitude(alpha)
    squares = difference.square()
    return (squares if region is None else squares * region).sum((1, 2))


def _scale(x: np.ndarray, *, in_bytes: bool) -> float:
    """What stretches a matte's range to 1; 0 if it is constant, whose gradient is 0."""
    white = 255 if x.dtype == np.uint8 and not in_bytes else 1
    span = float(x.max()) / white - float(x.min()) / white
    return 1 / span if span >= LEAST_SPAN else 0.0


def _tiles(height: int, width: int) -> Iterator[tuple[tuple[slice, slice], ...]]:
    """Tiles of an image: each itself, with the margin that its filters see, and the former within the latter."""
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            y, x = max(top - RADIUS, 0), max(left - RADIUS, 0)
            yield (
                (slice(top, bottom), slice(left, right)),
                (slice(y, bottom + RADIUS), slice(x, right + RADIUS)),
                (slice(top - y, bottom - y), slice(left - x, right - x)),
            )


def _amplitude(x: np.ndarray, scale: float) -> np.ndarray:
    """The amplitude of the gradient of a matte times `scale`."""
    import cv2

    gaussian, derivative = filters()
    derivative = derivative * scale
    along_x = cv2.sepFilter2D(x, cv2.CV_64F, derivative, gaussian, borderType=cv2.BORDER_REPLICATE)
    along_y = cv2.sepFilter2D(x, cv2.CV_64F, gaussian, derivative, borderType=cv2.BORDER_REPLICATE)
    # cv2.magnitude would do, but rounds differently from one call to the next, by how its arrays happen to be aligned
    return np.sqrt(np.square(along_x, out=along_x) + np.square(along_y, out=along_y), out=along_x)


def _stretched_amplitude(x: Tensor) -> Tensor:
    """The amplitude of a batch whose range is stretched to 1."""
    import torch
    from torch.nn import functional as F

    x = x.double()
    span = x.amax((1, 2), keepdim=True) - x.amin((1, 2), keepdim=True)
    padded = F.pad(x[:, None], (RADIUS,) * 4, mode="replicate")[:, 0]
    gaussian, derivative = (taps.tolist() for taps in filters())
    along_x = _slide(_slide(padded, gaussian, 1), derivative, 2)
    along_y = _slide(_slide(padded, derivative, 1), gaussian, 2)
    amplitude = torch.hypot(along_x, along_y)
    return torch.where(span >= LEAST_SPAN, amplitude / span, 0)


def _slide(x: Tensor, taps: list[float], dim: int) -> Tensor:
    """Correlate along a dimension, by shifted sums: on a CPU several times faster than a convolution in float64."""
    length = x.shape[dim] - 2 * RADIUS
    total = x.narrow(dim, 0, length) * taps[0]
    for shift, tap in enumerate(taps[1:], start=1):
        total = total.add_(x.narrow(dim, shift, length), alpha=tap)
    return total

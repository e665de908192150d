"""The fast guided filter: a matte of a shrunk photo, brought to the photo's size along the photo's own edges."""

from collections.abc import Iterator
from numbers import Integral

import cv2
import numpy as np
import torch
from torch import Tensor

from mattekit._checks import check_number, check_unit, check_unmasked
from mattekit.photos import resize

FLOATS = (np.float16, np.float32, np.float64)
RADIUS = 2
EPS = 1e-4
PIXELS = 2**16  # of either photo at a time, which bounds the memory


def guided_upsample(
    alpha: np.ndarray, small: np.ndarray, image: np.ndarray, *, radius: int = RADIUS, eps: float = EPS
) -> np.ndarray:
    """Bring the matte of a shrunk photo to the photo's size, so that its edges follow the photo's.

    In each window of the shrunk photo the matte is fitted by an affine function of the colours. The functions'
    coefficients are averaged, brought to the photo's size bilinearly, and applied to the photo's own colours. Hairs
    that the shrunk photo blurs come back where their colour tells them from what is behind them.

    Args:
        alpha: The matte, (h, w) floating-point in [0, 1].
        small: The photo that it was predicted from, (h, w, 3): uint8, uint16, or floating-point in [0, 1].
        image: The photo, (H, W, 3), of the same dtype.
        radius: Of the windows, in pixels of the shrunk photo, from 1 to 100: their sides are ``2 * radius + 1``. At the
            photo's edges they see it mirrored.
        eps: What is added to the colours' variances, in units of [0, 1] squared, from 1e-6 to 1: the larger, the
            smoother.

    Returns:
        The matte, (H, W) float32 in [0, 1].

    Raises:
        TypeError: If one is no array, or a masked one, ``alpha`` is not floating-point, the photos have another dtype
            or two, or ``radius`` is no integer.
        ValueError: If shapes do not fit, an array is empty, one of floats leaves [0, 1], or ``radius`` or ``eps`` is
            out of its range.

    Source:
        He and Sun 2015, "Fast guided filter", arXiv 1505.00996, Algorithm 2; for colours He, Sun and Tang 2013, "Guided
        image filtering". There the windows end where the photo does.

    Example:
        >>> import numpy as np
        >>> from mattekit.inference import guided_upsample
        >>> from mattekit.photos import resize
        >>> photo = np.zeros((90, 120, 3), np.uint8)
        >>> photo[:, 61:] = 255
        >>> alpha = np.zeros((30, 40), np.float32)
        >>> alpha[:, 20:] = 1  # the edge is a third of a pixel off
        >>> guided_upsample(alpha, resize(photo, (30, 40)), photo)[45, 58:64].round()
        array([0., 0., 0., 1., 1., 1.], dtype=float32)
    """
    _check(alpha, small, image, radius, eps)
    most = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    upsampled = torch.empty(image.shape[:2])
    for rows, planes in _bands(alpha, small, image.shape[:2], radius, eps * most**2):
        *slopes, matte = planes
        for slope, colour in zip(slopes, cv2.split(image[rows]), strict=True):
            matte.addcmul_(slope, torch.from_numpy(colour.astype(np.float32)))
        torch.clamp(matte, 0, 1, out=upsampled[rows])
    return upsampled.numpy()


def _bands(
    alpha: np.ndarray, small: np.ndarray, size: tuple[int, int], radius: int, eps: float
) -> Iterator[tuple[slice, Tensor]]:
    """Some rows of the photo at a time, with their slopes and intercept, (4, rows, W)."""
    (source, narrow), (height, width) = alpha.shape, size
    at = ((torch.arange(height) + 0.5) * (source / height) - 0.5).clamp(0, source - 1)
    band, step = max(PIXELS // width, 1), max(PIXELS // narrow, 1)
    for first in range(0, source, step):
        means = _mean_coefficients(alpha, small, range(first, min(first + step + 1, source)), radius, eps)
        wide = torch.from_numpy(np.stack([resize(plane, (len(plane), width)) for plane in means.numpy()]))
        top, bottom = torch.searchsorted(at, torch.tensor([first, first + step], dtype=at.dtype)).tolist()
        for start in range(top, bottom, band):
            rows = slice(start, min(start + band, bottom))
            seen = range(int(at[rows][0]) - first, min(int(at[rows][-1]) - first + 2, wide.shape[1]))
            distance = at[rows, None] - first - torch.arange(seen.start, seen.stop)
            yield rows, (1 - distance.abs()).clamp(min=0) @ wide[:, seen.start : seen.stop]


def _mean_coefficients(alpha: np.ndarray, small: np.ndarray, rows: range, radius: int, eps: float) -> Tensor:
    """The means over windows of what is fitted in windows, in some rows: three slopes and the intercept, (4, h, w)."""
    top = max(rows.start - 2 * radius, 0)
    seen = slice(top, rows.stop + 2 * radius)
    planes = [plane.astype(np.float32) for plane in (*cv2.split(small[seen]), alpha[seen])]
    return _box(_fitted(torch.from_numpy(np.stack(planes)), radius, eps), radius)[:, rows.start - top : rows.stop - top]


def _fitted(planes: Tensor, radius: int, eps: float) -> Tensor:
    """The affine function from red, green and blue to alpha, of which there are four planes, in each window."""
    means = _box(planes, radius)
    first, second = [0, 1, 2, 0, 0, 1, 0, 1, 2], [0, 1, 2, 1, 2, 2, 3, 3, 3]
    covariances = _box(planes[first] * planes[second], radius) - means[first] * means[second]
    rr, gg, bb, rg, rb, gb, r, g, b = covariances
    covariances[:3] += eps
    # Gauss's elimination, which float32 bears where the closed form's determinant cancels
    to_green, to_blue = rg / rr, rb / rr
    gg, gb, g = gg - to_green * rg, gb - to_green * rb, g - to_green * r
    last = gb / gg
    blue = (b - to_blue * r - last * g) / (bb - to_blue * rb - last * gb)
    green = g / gg - last * blue
    red = r / rr - to_green * green - to_blue * blue
    return torch.stack([red, green, blue, means[3] - red * means[0] - green * means[1] - blue * means[2]])


def _box(planes: Tensor, radius: int) -> Tensor:
    """Each plane's mean over each window."""
    means, side = torch.empty_like(planes), 2 * radius + 1
    for plane, mean in zip(planes.numpy(), means.numpy(), strict=True):
        cv2.blur(plane, (side, side), dst=mean, borderType=cv2.BORDER_REFLECT)
    return means


def _check(alpha: np.ndarray, small: np.ndarray, image: np.ndarray, radius: int, eps: float) -> None:
    for name, x in (("alpha", alpha), ("small", small), ("image", image)):
        check_unmasked(name, x)
        if not isinstance(x, np.ndarray):
            raise TypeError(f"{name} must be a numpy.ndarray, got {type(x).__name__}")
        if name != "alpha" and (x.ndim != 3 or x.shape[2] != 3):
            raise ValueError(f"{name} must have shape (H, W, 3), got {x.shape}")
        if not x.size:
            raise ValueError(f"{name} must not be empty, got shape {x.shape}")
    if alpha.dtype not in FLOATS:
        raise TypeError(f"alpha must be float16, float32 or float64, got {alpha.dtype}")
    if image.dtype not in (np.uint8, np.uint16, *FLOATS):
        raise TypeError(f"image must be uint8, uint16, float16, float32 or float64, got {image.dtype}")
    if small.dtype != image.dtype:
        raise TypeError(f"small must have image's dtype, {image.dtype}, got {small.dtype}")
    if alpha.shape != small.shape[:2]:
        raise ValueError(f"alpha must have small's height and width, {small.shape[:2]}, got shape {alpha.shape}")
    for name, x in (("alpha", alpha), ("small", small), ("image", image)):
        if x.dtype.kind == "f":
            check_unit(name, torch.from_numpy(np.ascontiguousarray(x)))
    check_number("radius", radius, Integral)
    check_number("eps", eps)
    if not 1 <= radius <= 100:
        raise ValueError(f"radius must be from 1 to 100, got {radius}")
    if not 1e-6 <= eps <= 1:
        raise ValueError(f"eps must be from 1e-6 to 1, got {eps}")

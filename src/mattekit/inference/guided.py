"""The fast guided filter: a matte of a shrunk photo, brought to the photo's size along the photo's own edges."""

from collections.abc import Iterator
from numbers import Integral

import cv2
import numpy as np
import torch
from torch import Tensor

from mattekit._checks import check_number, check_positive, check_unit, check_unmasked
from mattekit.photos import resize

RADIUS = 2
EPS = 1e-4
BAND = 64  # rows of the photo at a time, which bounds the memory


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
        radius: Of the windows, in pixels of the shrunk photo: their sides are ``2 * radius + 1``. At the photo's edges
            they see it mirrored.
        eps: What is added to the colours' variances, in units of [0, 1] squared: the larger, the smoother.

    Returns:
        The matte, (H, W) float32 in [0, 1].

    Raises:
        TypeError: If one is no array, or a masked one, ``alpha`` is not floating-point, the photos have another dtype
            or two, or ``radius`` is no integer.
        ValueError: If shapes do not fit, an array is empty, ``alpha`` or ``small`` leaves [0, 1], ``radius`` is below
            1, or ``eps`` is not positive.

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
        >>> guided_upsample(alpha, resize(photo, (30, 40)), photo)[45, 58:64].round(1)
        array([0., 0., 0., 1., 1., 1.], dtype=float32)
    """
    _check(alpha, small, image, radius, eps)
    most = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    *slopes, intercept = _fitted(alpha.astype(np.float32), small.astype(np.float32) / np.float32(most), radius, eps)
    planes = [*(slope / np.float32(most) for slope in slopes), intercept]
    upsampled = torch.empty(image.shape[:2])
    for rows, (*slopes, intercept) in _bands([_box(plane, radius) for plane in planes], image.shape[:2]):
        for slope, colour in zip(slopes, torch.from_numpy(image[rows].astype(np.float32)).unbind(2), strict=True):
            intercept.addcmul_(slope, colour)
        torch.clamp(intercept, 0, 1, out=upsampled[rows])
    return upsampled.numpy()


def _fitted(alpha: np.ndarray, colours: np.ndarray, radius: int, eps: float) -> list[np.ndarray]:
    """Slopes for three colours, and the intercept, of the affine function in each window, each (h, w)."""
    planes = [*cv2.split(colours), alpha]
    means = [_box(plane, radius) for plane in planes]

    def covariance(i: int, j: int) -> np.ndarray:
        return _box(planes[i] * planes[j], radius) - means[i] * means[j]

    rr, gg, bb = (covariance(i, i) + np.float32(eps) for i in range(3))
    rg, rb, gb = covariance(0, 1), covariance(0, 2), covariance(1, 2)
    r, g, b = (covariance(i, 3) for i in range(3))
    # Gauss's elimination, which float32 bears where the closed form's determinant cancels
    to_green, to_blue = rg / rr, rb / rr
    gg, gb, g = gg - to_green * rg, gb - to_green * rb, g - to_green * r
    last = gb / gg
    blue = (b - to_blue * r - last * g) / (bb - to_blue * rb - last * gb)
    green = g / gg - last * blue
    red = r / rr - to_green * green - to_blue * blue
    slopes = [red, green, blue]
    return [*slopes, means[3] - sum(slope * mean for slope, mean in zip(slopes, means[:3], strict=True))]


def _box(x: np.ndarray, radius: int) -> np.ndarray:
    """The mean over each window."""
    side = 2 * radius + 1
    return cv2.blur(x, (side, side), borderType=cv2.BORDER_REFLECT)


def _bands(planes: list[np.ndarray], size: tuple[int, int]) -> Iterator[tuple[slice, Tensor]]:
    """What the planes resized to a size have in some rows at a time, (planes, rows, W)."""
    source, (height, width) = len(planes[0]), size
    wide = torch.from_numpy(np.stack([resize(plane, (source, width)) for plane in planes]))
    for top in range(0, height, BAND):
        rows = slice(top, min(top + BAND, height))
        at = ((torch.arange(rows.start, rows.stop) + 0.5) * (source / height) - 0.5).clamp(0, source - 1)
        low = at.long()
        high = (low + 1).clamp(max=source - 1)
        yield rows, torch.lerp(wide[:, low], wide[:, high], (at - low)[:, None])


def _check(alpha: np.ndarray, small: np.ndarray, image: np.ndarray, radius: int, eps: float) -> None:
    for name, x in (("alpha", alpha), ("small", small), ("image", image)):
        check_unmasked(name, x)
        if not isinstance(x, np.ndarray):
            raise TypeError(f"{name} must be a numpy.ndarray, got {type(x).__name__}")
        if name != "alpha" and (x.ndim != 3 or x.shape[2] != 3):
            raise ValueError(f"{name} must have shape (H, W, 3), got {x.shape}")
        if not x.size:
            raise ValueError(f"{name} must not be empty, got shape {x.shape}")
    if alpha.dtype.kind != "f":
        raise TypeError(f"alpha must be floating-point, got {alpha.dtype}")
    if image.dtype.kind != "f" and image.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"image must be uint8, uint16 or floating-point, got {image.dtype}")
    if small.dtype != image.dtype:
        raise TypeError(f"small must have image's dtype, {image.dtype}, got {small.dtype}")
    if alpha.shape != small.shape[:2]:
        raise ValueError(f"alpha must have small's height and width, {small.shape[:2]}, got shape {alpha.shape}")
    for name, x in (("alpha", alpha), ("small", small)):
        if x.dtype.kind == "f":
            check_unit(name, torch.from_numpy(np.ascontiguousarray(x)))
    check_number("radius", radius, Integral)
    if radius < 1:
        raise ValueError(f"radius must be at least 1, got {radius}")
    check_positive("eps", eps)

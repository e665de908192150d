"""The fast guided filter: a matte of a shrunk photo, brought to the photo's size along the photo's own edges."""

from numbers import Integral

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from mattekit._checks import check_number
from mattekit.inference.pixels import check_arrays, check_dtypes, check_unit_arrays
from mattekit.photos import resize

RADIUS = 2
EPS = 1e-4
LEAST_RANGE = 0.999 / 255  # of a matte within a window, to follow colours there; of 8 bits a step, however rounded
PIXELS = 2**16  # of either photo whose products, or colours, are held at a time
FIRST, SECOND = [0, 1, 2, 0, 0, 1, 0, 1, 2], [0, 1, 2, 1, 2, 2, 3, 3, 3]


def guided_upsample(
    alpha: np.ndarray, small: np.ndarray, image: np.ndarray, *, radius: int = RADIUS, eps: float = EPS
) -> np.ndarray:
    """Bring the matte of a shrunk photo to the photo's size, so that its edges follow the photo's.

    In each window of the shrunk photo the matte is fitted by an affine function of the colours. The functions'
    coefficients are averaged, brought to the photo's size bilinearly, and applied to the photo's own colours. Hairs
    that the shrunk photo blurs come back where their colour tells them from what is behind them. In windows in which
    the matte varies by less than a 255th the function is the mean: most of a photo, which so takes no time.

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
    alpha = alpha.astype(np.float32)
    most = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    varied = _range(alpha, radius) >= LEAST_RANGE
    coefficients = _fitted(alpha, small, varied, radius, eps * most**2)
    for plane in coefficients:
        plane[:] = _box(plane, radius)
    upsampled = resize(coefficients[3], image.shape[:2])
    followed = _pixels_that_read(varied, radius, image.shape[:2])
    width = image.shape[1]
    step = max(PIXELS // width, 1)
    for top in range(0, len(image), step):
        at = np.flatnonzero(followed[top : top + step])
        colours = image[top : top + step].reshape(-1, 3)[at].astype(np.float32)
        at += top * width
        *slopes, intercept = _bilinear(coefficients, at, image.shape[:2])
        upsampled.reshape(-1)[at] = intercept + np.einsum("cn,nc->n", slopes, colours)
    return upsampled.clip(0, 1, out=upsampled)


def _range(alpha: np.ndarray, radius: int) -> np.ndarray:
    """By how much the matte varies within each window."""
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return cv2.dilate(alpha, window) - cv2.erode(alpha, window)


def _fitted(alpha: np.ndarray, small: np.ndarray, varied: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Slopes of red, green and blue, 0 where the matte hardly varies, and the intercept in each window: (4, h, w)."""
    width = alpha.shape[1]
    fitted = np.zeros((4, alpha.size), np.float32)
    fitted[3] = _box(alpha, radius).ravel()
    step = max(PIXELS // width, 1)
    for top in range(0, len(alpha), step):
        seen = slice(max(top - radius, 0), top + step + radius)
        at = np.flatnonzero(varied[top : top + step]) + top * width
        planes = [plane.astype(np.float32) for plane in (*cv2.split(small[seen]), alpha[seen])]
        products = [planes[first] * planes[second] for first, second in zip(FIRST, SECOND, strict=True)]
        means, products = (
            np.stack([_box(plane, radius).ravel()[at - seen.start * width] for plane in some])
            for some in (planes, products)
        )
        fitted[:, at] = _regression(means, products, eps)
    return fitted.reshape(4, *alpha.shape)


def _regression(means: np.ndarray, products: np.ndarray, eps: float) -> np.ndarray:
    """Slopes and intercept, (4, N), from the means of red, green, blue and alpha, and of their products."""
    covariances = products - means[FIRST] * means[SECOND]
    covariances[:3] += eps
    rr, gg, bb, rg, rb, gb, r, g, b = covariances
    # Gauss's elimination, which float32 bears where the closed form's determinant cancels
    to_green, to_blue = rg / rr, rb / rr
    gg, gb, g = gg - to_green * rg, gb - to_green * rb, g - to_green * r
    last = gb / gg
    blue = (b - to_blue * r - last * g) / (bb - to_blue * rb - last * gb)
    green = g / gg - last * blue
    red = r / rr - to_green * green - to_blue * blue
    return np.stack([red, green, blue, means[3] - red * means[0] - green * means[1] - blue * means[2]])


def _pixels_that_read(varied: np.ndarray, radius: int, size: tuple[int, int]) -> np.ndarray:
    """Where the photo reads slopes, through means over windows and then bilinearly: (H, W) bool."""
    side = 2 * (radius + 1) + 1
    reached = cv2.dilate(varied.view(np.uint8), np.ones((side, side), np.uint8))
    return cv2.resize(reached, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT).view(bool)


def _bilinear(planes: np.ndarray, at: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The planes, resized to a size, at some of its pixels by their flat indices: (C, N)."""
    y, x = np.divmod(at, size[1])
    corners = [(i.astype(np.float32) + 0.5) * (2 / side) - 1 for i, side in ((x, size[1]), (y, size[0]))]
    grid = torch.from_numpy(np.stack(corners, -1)[None, None])
    resized = F.grid_sample(torch.from_numpy(planes)[None], grid, padding_mode="border", align_corners=False)
    return resized[0, :, 0].numpy()


def _box(plane: np.ndarray, radius: int) -> np.ndarray:
    """A plane's mean over each window."""
    side = 2 * radius + 1
    return cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT)


def _check(alpha: np.ndarray, small: np.ndarray, image: np.ndarray, radius: int, eps: float) -> None:
    check_arrays(alpha=alpha, small=small, image=image)
    for name, x in (("alpha", alpha), ("small", small), ("image", image)):
        if name != "alpha" and (x.ndim != 3 or x.shape[2] != 3):
            raise ValueError(f"{name} must have shape (H, W, 3), got {x.shape}")
        if not x.size:
            raise ValueError(f"{name} must not be empty, got shape {x.shape}")
    check_dtypes(alpha, image)
    if small.dtype != image.dtype:
        raise TypeError(f"small must have image's dtype, {image.dtype}, got {small.dtype}")
    if alpha.shape != small.shape[:2]:
        raise ValueError(f"alpha must have small's height and width, {small.shape[:2]}, got shape {alpha.shape}")
    check_unit_arrays(alpha=alpha, small=small, image=image)
    check_number("radius", radius, Integral)
    check_number("eps", eps)
    if not 1 <= radius <= 100:
        raise ValueError(f"radius must be from 1 to 100, got {radius}")
    if not 1e-6 <= eps <= 1:
        raise ValueError(f"eps must be from 1e-6 to 1, got {eps}")

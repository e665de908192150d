"""The test-time resizing of PaddleSeg, in OpenCV's arithmetic: bilinear, unless something else is asked for."""

from collections.abc import Sequence

import cv2
import numpy as np


def limit_short_side(image: np.ndarray, limit: int | None, *, antialias: bool = False) -> np.ndarray:
    """Shrink an image until its short side is at most ``limit``, keeping its proportions; never enlarge it.

    Args:
        image: (H, W) or (H, W, C), uint8, uint16 or floating-point.
        limit: Upper limit of the short side, in pixels. None: no limit.
        antialias: Average all pixels that a new pixel covers, instead of interpolating between four as PaddleSeg does.

    Returns:
        The image with its short side at ``limit``, the long side rounded; or ``image`` itself where it is short enough.

    Source:
        PaddleSeg, ``LimitShort``; with ``antialias`` OpenCV's ``INTER_AREA``.

    Example:
        >>> limit_short_side(np.zeros((600, 800, 3), np.uint8), 512).shape
        (512, 683, 3)
    """
    short = min(image.shape[:2])
    if limit is None or short <= limit:
        return image
    height, width = (round(side * limit / short) for side in image.shape[:2])
    if antialias:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return resize(image, (height, width))


def to_multiple_of(image: np.ndarray, multiple: int = 32) -> np.ndarray:
    """Bring both sides down to multiples of a number, and up to it from below.

    Args:
        image: (H, W) or (H, W, C), uint8, uint16 or floating-point.
        multiple: The number, in pixels; 32 is what the networks of this library ask for.

    Returns:
        The resized image, a new array always.

    Source:
        PaddleSeg, ``ResizeToIntMult``.

    Example:
        >>> to_multiple_of(np.zeros((70, 20), np.uint8)).shape
        (64, 32)
    """
    return resize(image, [max(side - side % multiple, multiple) for side in image.shape[:2]])


def resize(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resize an image bilinearly, as OpenCV does it: without smoothing first where it shrinks.

    Args:
        image: (H, W) or (H, W, C), uint8, uint16 or floating-point.
        size: Height and width, in pixels.

    Returns:
        The resized image, of the same dtype, a new array always.

    Source:
        ``cv2.resize`` with ``INTER_LINEAR``, as PaddleSeg calls it.

    Example:
        >>> resize(np.zeros((4, 6), np.float32), (2, 3)).shape
        (2, 3)
    """
    height, width = size
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)

"""What synthetic foregrounds are drawn on: coverage, shade and tint, four times as fine as the photo.

Shapes are in units of the photo's side. They are rounded to a sixty-fourth of a pixel and drawn by OpenCV in whole
numbers, so that they are the same on every machine.
"""

import cv2
import numpy as np

FINE = 4
_SHIFT = 4  # bits below a pixel of the fine canvas


class Canvas:
    """A square of three channels, each 0 to 255: how much of a pixel is covered, how light it is, which of two colours.

    Args:
        size: Side of the photo in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.pixels = np.zeros((size * FINE, size * FINE, 3), np.uint8)

    def polygon(self, points: np.ndarray, shade: int = 255, tint: int = 0, *, alpha: int = 255) -> None:
        """Fill a polygon, (n, 2) of x and y."""
        cv2.fillPoly(self.pixels, [self._fixed(points)], (alpha, shade, tint), shift=_SHIFT)

    def disc(
        self, centre: np.ndarray, radius: float | np.ndarray, shade: int = 255, tint: int = 0, *, alpha: int = 255
    ) -> None:
        """Fill a circle, or an ellipse with two radii."""
        self.polygon(centre + radius * CIRCLE, shade, tint, alpha=alpha)

    def strokes(self, curves: np.ndarray, width: float, shade: int = 255, tint: int = 0, *, alpha: int = 255) -> None:
        """Draw curves, (count, n, 2), of a width in pixels of the photo at a side of 256."""
        thickness = max(1, round(width * self.size / 256 * FINE))
        lines = list(self._fixed(curves))
        cv2.polylines(self.pixels, lines, False, (alpha, shade, tint), thickness, cv2.LINE_8, _SHIFT)

    def finish(self) -> np.ndarray:
        """The three channels at the photo's size, (size, size, 3) uint8."""
        return cv2.resize(self.pixels, (self.size, self.size), interpolation=cv2.INTER_AREA)

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        return np.rint(points * (self.size * FINE << _SHIFT)).astype(np.int32)


_ANGLES = np.arange(96) * (2 * np.pi / 96)
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)
"""The unit circle as a polygon, (96, 2)."""


def direction(angle: np.ndarray | float) -> np.ndarray:
    """Unit vectors, (..., 2)."""
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def bezier(start: np.ndarray, middle: np.ndarray, end: np.ndarray, points: int = 9) -> np.ndarray:
    """Quadratic Bézier curves through (count, 2) start and end, drawn towards the middle: (count, points, 2)."""
    t = (np.arange(points) / (points - 1))[:, None]
    return start[:, None] * (1 - t) ** 2 + middle[:, None] * (2 * t * (1 - t)) + end[:, None] * t**2

"""Rows of an image at a time, so that what is computed of them stays small, however large the image is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

PIXELS = 2**20  # of a band: 8 MB of float64


def bands(image: np.ndarray) -> Iterator[slice]:
    """The rows of an image (H, W), cut into bands."""
    height, width = image.shape
    rows = max(1, PIXELS // width)
    return (slice(top, top + rows) for top in range(0, height, rows))


def are_bytes(pred: np.ndarray, alpha: np.ndarray) -> bool:
    """Whether two mattes are compared as the integers that they are."""
    return pred.dtype == alpha.dtype == np.uint8


def alike(pred: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two bands on one scale: both uint8, or both float64 in [0, 1]."""
    return (pred, alpha) if are_bytes(pred, alpha) else (_unit(pred), _unit(alpha))


def _unit(x: np.ndarray) -> np.ndarray:
    return x / 255.0 if x.dtype == np.uint8 else x.astype(np.float64, copy=False)

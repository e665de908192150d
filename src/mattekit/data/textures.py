"""Colours for synthetic photos: fractal, gradient, striped and photographic.

All of it is integer arithmetic, or floating-point whose result is rounded to 8 bits, so that it is the same on every
machine.
"""

from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from PIL import Image

PHOTOS = ("astronaut", "brick", "chelsea", "coffee", "grass", "gravel")
"""Photos in scikit-image's wheel that are in the public domain or CC0."""


def texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """A part of a photo, or a pattern, (size, size, 3) uint8."""
    return (photographic if rng.random() < 0.4 else pattern)(rng, size)


def pattern(rng: np.random.Generator, size: int) -> np.ndarray:
    """Fractal noise, a gradient or stripes, (size, size, 3) uint8."""
    values = (fractal, gradient, stripes)[int(rng.integers(3))](rng, size)
    return recolour(values, palette(rng))


def palette(rng: np.random.Generator) -> np.ndarray:
    """256 colours from dark to light or through a few hues, (256, 3) uint8."""
    count = int(rng.integers(2, 5))
    stops = colours(rng, count)
    return enlarge(stops[:, None].astype(np.int32), (256, 1))[:, 0].astype(np.uint8)


def recolour(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The colours of a table, (256, 3), at each of (H, W) values."""
    return cv2.applyColorMap(values, np.ascontiguousarray(table[:, None], np.uint8))


def colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """Colours of any brightness, the more of them greyish, (count, 3) uint8."""
    grey = rng.integers(20, 240, (count, 1))
    hue = rng.integers(0, 256, (count, 3))
    strength = rng.integers(40, 200, (count, 1))  # of 255
    return ((grey * (255 - strength) + hue * strength) // 255).astype(np.uint8)


def fractal(rng: np.random.Generator, size: int, *, coarsest: int = 4, octaves: int = 5) -> np.ndarray:
    """Value noise: octaves of random grids, each twice as fine and half as strong, stretched to 0..255."""
    total = np.zeros((size, size), np.int32)
    for octave in range(octaves):
        cells = min(coarsest << octave, size)
        grid = rng.integers(0, 256, (cells + 1, cells + 1), np.int32)
        total += enlarge(grid, (size, size)) << (octaves - octave)
    return stretch(total)


def gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    """A ramp in any direction, straight or round."""
    row, column = np.arange(size, dtype=np.int64)[:, None], np.arange(size, dtype=np.int64)
    if rng.random() < 0.5:
        across, down = rng.integers(-100, 101, 2)
        return stretch(across * column + down * row)
    middle = rng.integers(-size // 2, size * 3 // 2, 2)
    return stretch((row - middle[0]) ** 2 + (column - middle[1]) ** 2)


def stripes(rng: np.random.Generator, size: int) -> np.ndarray:
    """Soft or hard stripes in any direction, sometimes crossed by others."""
    row, column = np.arange(size, dtype=np.int64)[:, None], np.arange(size, dtype=np.int64)
    total = np.zeros((size, size), np.int64)
    for _ in range(int(rng.integers(1, 3))):
        across, down = rng.integers(-64, 65, 2)
        period = int(rng.integers(size // 16 + 2, size // 3 + 4)) * 64
        phase = (across * column + down * row) % period
        wave = np.abs(2 * phase - period) * 255 // period  # a triangle from 0 to 255
        sharpness = int(rng.integers(1, 9))
        total += np.clip((wave - 128) * sharpness + 128, 0, 255)
    return stretch(total)


def photographic(rng: np.random.Generator, size: int) -> np.ndarray:
    """A part of a photo, turned by a multiple of 90 degrees."""
    photo = _photo(PHOTOS[int(rng.integers(len(PHOTOS)))])
    side = min(photo.shape[:2])
    part = int(rng.integers(side // 2, side, endpoint=True))
    top, left = (int(rng.integers(length - part + 1)) for length in photo.shape[:2])
    crop = np.ascontiguousarray(photo[top : top + part, left : left + part])
    sized = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.ascontiguousarray(np.rot90(sized, int(rng.integers(4))))


@cache
def _photo(name: str) -> np.ndarray:
    with Image.open(str(files("skimage") / "data" / f"{name}.png")) as image:
        return np.array(image.convert("RGB"))


def enlarge(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolate a grid of integers from 0 to 255 with a smooth step, in integer arithmetic."""
    for axis in (0, 1):
        cells = grid.shape[axis] - 1
        if cells == 0:
            grid = np.repeat(grid, size[axis], axis)
            continue
        at = np.arange(size[axis]) * (cells * 256) // size[axis]
        before, share = at >> 8, (at & 255).astype(np.int32)
        share = (share * share * (768 - 2 * share) >> 16).reshape((-1, *(1,) * (grid.ndim - 1 - axis)))
        low = grid.take(before, axis)
        grid = low + ((grid.take(before + 1, axis) - low) * share >> 8)
    return grid


def stretch(values: np.ndarray) -> np.ndarray:
    """Integers to uint8, the least to 0 and the largest to 255."""
    least, largest = int(values.min()), int(values.max())
    return ((values - least) * 255 // max(largest - least, 1)).astype(np.uint8)

"""Slow, obvious versions of the metrics, written from the formulas, for one image: NumPy (H, W), uint8 or floats.

All of them return plain sums. `counts` says which pixels count; None, all.
"""

from collections import deque
from collections.abc import Callable
from fractions import Fraction

import numpy as np


def pixels(counts: np.ndarray | None, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(y, x) for y in range(shape[0]) for x in range(shape[1]) if counts is None or counts[y, x]]


def unit(value) -> Fraction:
    """A pixel's value in [0, 1], without rounding."""
    return Fraction(int(value), 255) if isinstance(value, np.uint8) else Fraction(float(value))


def sad(pred, alpha, counts=None) -> Fraction:
    return sum((abs(unit(pred[p]) - unit(alpha[p])) for p in pixels(counts, pred.shape)), Fraction())


def squares(pred, alpha, counts=None) -> Fraction:
    return sum(((unit(pred[p]) - unit(alpha[p])) ** 2 for p in pixels(counts, pred.shape)), Fraction())


def kernel() -> np.ndarray:
    """Derivative along x of a Gaussian, sigma 1.4, sampled at -4..4 and divided by its L2 norm."""
    sigma = 1.4
    u = np.arange(-4, 5)
    gaussian = np.exp(-(u**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    derivative = -u * gaussian / sigma**2
    h = np.array([[gaussian[i] * derivative[j] for j in range(9)] for i in range(9)])
    return h / np.sqrt((h**2).sum())


def amplitude(x: np.ndarray) -> np.ndarray:
    """Amplitude of the gradient of a matte stretched to [0, 1]."""
    x = x.astype(np.float64)
    if x.max() == x.min():
        return np.zeros(x.shape)
    x = (x - x.min()) / (x.max() - x.min())
    height, width = x.shape
    h = kernel()
    result = np.zeros(x.shape)
    for y0 in range(height):
        for x0 in range(width):
            gx = gy = 0.0
            for i in range(-4, 5):
                for j in range(-4, 5):
                    pixel = x[min(max(y0 + i, 0), height - 1), min(max(x0 + j, 0), width - 1)]
                    gx += h[i + 4, j + 4] * pixel
                    gy += h[j + 4, i + 4] * pixel
            result[y0, x0] = (gx**2 + gy**2) ** 0.5
    return result


def gradient_error(pred, alpha, counts=None) -> float:
    a, b = amplitude(pred), amplitude(alpha)
    return sum((a[p] - b[p]) ** 2 for p in pixels(counts, pred.shape))


def column_major(y: int, x: int) -> tuple[int, int]:
    """The order in which the reference numbers components."""
    return x, y


def largest_component(members: np.ndarray, order: Callable[[int, int], tuple[int, int]]) -> set[tuple[int, int]]:
    """The largest 4-connected component; of equally large ones, the one that has the first pixel in an order."""
    left = set(pixels(members, members.shape))
    components = []
    while left:
        start = left.pop()
        component, queue = {start}, deque([start])
        while queue:
            y, x = queue.popleft()
            for neighbour in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                if neighbour in left:
                    left.remove(neighbour)
                    component.add(neighbour)
                    queue.append(neighbour)
        components.append(component)
    return min(components, key=lambda c: (-len(c), min(order(*p) for p in c)), default=set())


def levels(pred, alpha, *, skip_empty=False, order=column_major) -> np.ndarray:
    """Through how many consecutive levels each pixel stays with the largest component."""
    p, a = single(pred), single(alpha)
    result = np.full(p.shape, -1)
    for k in range(1, 11):
        threshold = np.float32(k * 0.1)
        members = (p >= threshold) & (a >= threshold)
        if skip_empty and not members.any():
            continue
        body = largest_component(members, order)
        for pixel in pixels(None, p.shape):
            if result[pixel] == -1 and pixel not in body:
                result[pixel] = k - 1
    result[result == -1] = 10
    return result


def connectivity_error(pred, alpha, counts=None, *, skip_empty=False, order=column_major) -> float:
    p, a = single(pred), single(alpha)
    level = levels(pred, alpha, skip_empty=skip_empty, order=order)
    total = 0.0
    for pixel in pixels(counts, p.shape):
        deficits = []
        for x in (p, a):
            d = x[pixel] - np.float32(level[pixel] * 0.1)
            deficits.append(float(d) if d >= np.float32(0.15) else 0.0)
        total += abs(deficits[0] - deficits[1])
    return total


def single(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x.astype(np.float32)

"""The levels of Conn on the CPU: through how many of them each pixel stays with the common body.

At level k, of 1 to 10, a pixel takes part if prediction and ground truth both reach k/10. The body, Omega_k, is the
largest 4-connected component of those pixels, in the whole image; of equally large ones, the one whose first pixel
comes first column by column. A pixel's level is the number of consecutive levels, from 1 on, whose body holds it.

Labelling the image in full at every level is what makes plain implementations slow. Most of it can be spared:

- A component of level k+1 lies inside one component of level k. So only the last body is looked at again, cut to its
  bounding box, and no component elsewhere can be larger than the largest one there was before.
- One flood fill gives one component and its area. If that is more than half of what there is, and more than there can
  be elsewhere, it is the largest, and nobody needs to count the others.
- Where no pixel's score depends on a level any more, the search is over. Level 10 is never looked at: nothing in [0, 1]
  lies 0.15 above 0.9, so that pixels of level 9 and of level 10 score alike.
"""

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np

from mattekit.metrics._bands import alike, are_bytes, bands

# The least 8-bit value that reaches k/10, k = 1..10: 10 v >= 255 k.
THRESHOLDS = tuple(-(-255 * k // 10) for k in range(1, 11))

# k/10 for floats, k = 0..10. The reference compares in single precision, where MATLAB's and Octave's 0:0.1:1 agree.
LEVELS = np.array([k * 0.1 for k in range(11)]).astype(np.float32)

# What a matte has beyond its level counts from here on.
THETA = np.float32(0.15)

# For 8 bits by value: the highest level reached, and the highest from whose predecessor 0.15 is left, in 510ths.
_REACHED = np.searchsorted(THRESHOLDS, np.arange(256), side="right").astype(np.uint8)
_DECIDING = (2 * np.arange(256)[:, None] - 51 * np.arange(10) >= 77).sum(1).astype(np.uint8)

_SEEDS = 6  # flood fills to try before the image is labelled in full
_SAMPLES = 2**12  # pixels to choose seeds from


def reached_levels(pred: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The highest level, 0 to 10, that both mattes reach at each pixel, uint8."""
    import cv2

    if are_bytes(pred, alpha):
        return cv2.LUT(np.minimum(pred, alpha), _REACHED)
    levels = np.empty(pred.shape, np.uint8)
    for rows in bands(pred):
        both = np.minimum(*alike(pred[rows], alpha[rows])).astype(np.float32)
        levels[rows] = _count_true(both >= level for level in LEVELS[1:])
    return levels


def deciding_levels(pred: np.ndarray, alpha: np.ndarray, region: np.ndarray | None) -> np.ndarray:
    """The highest level, 0 to 10, that the score of each pixel can depend on.

    Whether a pixel stays with the body at level k is without consequence if the mattes are equal, if the pixel does not
    count, or if neither matte has 0.15 beyond level k-1.
    """
    import cv2

    in_bytes = are_bytes(pred, alpha)
    levels = cv2.LUT(np.maximum(pred, alpha), _DECIDING) if in_bytes else np.empty(pred.shape, np.uint8)
    for rows in bands(pred):
        p, a = alike(pred[rows], alpha[rows])
        if not in_bytes:
            higher = np.maximum(p, a).astype(np.float32)
            levels[rows] = _count_true(higher - level >= THETA for level in LEVELS[:10])
        levels[rows] *= p != a
        if region is not None:
            levels[rows] *= region[rows]
    return levels


def connected_levels(reached: np.ndarray, deciding: np.ndarray, *, skip_empty: bool) -> np.ndarray:
    """The level of each pixel, 0 to 10, as far as the score depends on it.

    Args:
        reached: (H, W) uint8, 0 to 10: the highest level that both mattes reach.
        deciding: (H, W) uint8, 0 to 10: the highest level that the pixel's score can depend on.
        skip_empty: Pass over levels that no pixel reaches, so that pixels surviving until there end with level 10.
    """
    levels = np.zeros(reached.shape, np.uint8)
    body = np.ones(reached.shape, bool)  # within its bounding box
    box = slice(0, reached.shape[0]), slice(0, reached.shape[1])
    area, rival = body.size, 0  # no component outside the body is larger than `rival`
    for level in range(1, 11):
        if not (body & (deciding[box] >= level)).any():
            break
        left = body & (reached[box] >= level)
        count = int(np.count_nonzero(left))
        if count == 0:
            if skip_empty and not (reached >= level).any():
                levels[box][body] = 10
            break
        if count < area:  # else the body is what it was
            found = _dominant(left, count, rival)
            if found is None:  # perhaps a component elsewhere is larger
                largest, area, rival = _largest(reached >= level)
                body = left & largest[box]
                if np.count_nonzero(body) < area:
                    break
            else:
                body, (top, start), area, rival = found
                top, start = top + box[0].start, start + box[1].start
                box = slice(top, top + body.shape[0]), slice(start, start + body.shape[1])
        levels[box] += body.view(np.uint8)
    return levels


def _dominant(mask: np.ndarray, count: int, rival: int) -> tuple[np.ndarray, tuple[int, int], int, int] | None:
    """Find the largest component of a mask by a few flood fills, if they show that it is, and larger than `rival`.

    Returns:
        The component within its bounding box, the box's first row and column, the area, and the most that any other
        component can have; None if flood fills do not tell.
    """
    import cv2

    if count <= rival:
        return None
    marks = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8)  # what was flooded, in the margin that cv2 wants
    largest, second, unseen = _Flood(0, 0, (0, 0, 0, 0)), 0, count
    for mark, (y, x) in enumerate(_seeds(mask), start=2):
        if marks[y + 1, x + 1]:
            continue
        flags = 4 | cv2.FLOODFILL_MASK_ONLY | mark << 8
        area, _, _, box = cv2.floodFill(mask.view(np.uint8), marks, (x, y), 0, flags=flags)
        unseen -= area
        second = max(second, min(area, largest.area))
        largest = max(largest, _Flood(area, mark, box), key=lambda flood: flood.area)
        if largest.area > max(unseen, second):
            break
    left, top, width, height = largest.box
    second = max(second, unseen, rival)
    if largest.area <= second:
        return None
    body = marks[1 + top : 1 + top + height, 1 + left : 1 + left + width] == largest.mark
    return body, (top, left), largest.area, second


class _Flood(NamedTuple):
    """A flooded component: its pixels carry the mark; the box is its first column and row, width and height."""

    area: int
    mark: int
    box: Sequence[int]


def _seeds(mask: np.ndarray) -> list[list[int]]:
    """A few pixels (row, column) of a mask, spread over it; none if it is too sparse to tell at a glance."""
    step = max(1, int((mask.size / _SAMPLES) ** 0.5))
    pixels = np.argwhere(mask[::step, ::step]) * step
    return pixels[np.linspace(0, len(pixels) - 1, _SEEDS + 2, dtype=int)[1:-1]].tolist() if len(pixels) else []


def _largest(mask: np.ndarray) -> tuple[np.ndarray, int, int]:
    """The largest component of a mask that is not empty, its area, and the area of the next."""
    import cv2

    count, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=4)
    areas = np.zeros(count, np.int64)
    for rows in bands(mask):  # a few runs of equal pixels are counted faster than many pixels
        begins = np.ones(mask[rows].shape, bool)
        np.not_equal(mask[rows, 1:], mask[rows, :-1], out=begins[:, 1:])
        starts = np.flatnonzero(begins)
        lengths = np.diff(starts, append=begins.size)
        areas += np.bincount(labels[rows].ravel()[starts], weights=lengths, minlength=count).astype(np.int64)
    areas[0] = 0  # the background
    area = int(areas.max())
    label, *others = np.flatnonzero(areas == area)
    if others:  # the first pixel, column by column, decides
        candidates = (areas == area)[labels].T
        label = labels.T[np.unravel_index(candidates.argmax(), candidates.shape)]
        return labels == label, area, area
    return labels == label, area, int(np.partition(areas, -2)[-2])


def _count_true(conditions: Iterable[np.ndarray]) -> np.ndarray:
    """How many of up to 255 conditions, at least one, hold at each pixel."""
    return reduce(np.add, (condition.view(np.uint8) for condition in conditions))

"""What foreground colours are compared with: another library, a system of equations, and plain loops."""

import cv2
import numpy as np

from oracles.pymatting import pymatting_function


def pymatting_ml():
    """PyMatting's ``estimate_foreground_ml``."""
    return pymatting_function("foreground", "estimate_foreground_ml")


def least_squares(channel, alpha, smoothness=1e-5):
    """F and B of one channel (H, W) at the minimum of the energy of Germer et al. 2020, by linear algebra."""
    height, width = alpha.shape
    count = alpha.size
    rows, right = [], []

    def add(weight, terms, value=0.0):
        row = np.zeros(2 * count)
        for index, factor in terms:
            row[index] = factor
        rows.append(np.sqrt(weight) * row)
        right.append(np.sqrt(weight) * value)

    for y, x in np.ndindex(height, width):
        here = y * width + x
        add(1, [(here, alpha[y, x]), (count + here, 1 - alpha[y, x])], channel[y, x])
        for v, u in ((y, x + 1), (y + 1, x)):
            if v < height and u < width:
                weight, there = smoothness + abs(alpha[y, x] - alpha[v, u]), v * width + u
                add(weight, [(here, 1), (there, -1)])
                add(weight, [(count + here, 1), (count + there, -1)])
    solution = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return solution.reshape(2, height, width)


def total_weights(alpha, smoothness=1e-5):
    """For each pixel of (H, W) the sum of ε + |Δα| over four neighbours; beyond the border lies the pixel itself."""
    total = np.zeros(alpha.shape)
    padded = np.pad(alpha.astype(np.float64), 1, mode="edge")
    for y, x in np.ndindex(alpha.shape):
        for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
            total[y, x] += smoothness + abs(padded[y + 1, x + 1] - padded[y + dy, x + dx])
    return total


def box_sums(plane, side):
    """Sums of (H, W) over boxes that begin ``side // 2`` before each pixel and end at the border."""
    sums = np.zeros(plane.shape)
    for y, x in np.ndindex(plane.shape):
        top, left = y - side // 2, x - side // 2
        sums[y, x] = plane[max(top, 0) : top + side, max(left, 0) : left + side].sum()
    return sums


def blur_fusion(image, alpha):
    """Blur fusion ×2 as Forte 2021 has it, by OpenCV: equations 4 to 7 with boxes of 90 and of 6."""
    alpha = alpha[..., None]
    foreground = background = image
    for side in (90, 6):
        mean = cv2.blur(alpha, (side, side))[..., None]
        foreground = cv2.blur(foreground * alpha, (side, side)) / (mean + 1e-5)
        background = cv2.blur(background * (1 - alpha), (side, side)) / (1 - mean + 1e-5)
        residual = image - alpha * foreground - (1 - alpha) * background
        foreground = np.clip(foreground + alpha * residual, 0, 1)
    return foreground

"""The losses as loops over pixels, written from the formulas; float64 arrays (N, C, H, W) in, maps out."""

import math

import numpy as np


def charbonnier(pred, alpha, eps):
    result = np.empty(pred.shape)
    for i in np.ndindex(pred.shape):
        result[i] = math.sqrt((pred[i] - alpha[i]) ** 2 + eps**2)
    return result


def composition(pred, alpha, foreground, background, eps):
    result = np.empty(foreground.shape)
    for n, c, y, x in np.ndindex(foreground.shape):
        f, b = foreground[n, c, y, x], background[n, c, y, x]
        p, a = pred[n, 0, y, x], alpha[n, 0, y, x]
        d = (p * f + (1 - p) * b) - (a * f + (1 - a) * b)
        result[n, c, y, x] = math.sqrt(d * d + eps * eps)
    return result


def correlate(image, kernel):
    """Correlation of one plane with a kernel, the border replicated."""
    height, width = image.shape
    radius = len(kernel) // 2
    result = np.zeros(image.shape)
    for y, x in np.ndindex(image.shape):
        for j, i in np.ndindex(kernel.shape):
            row = min(max(y + j - radius, 0), height - 1)
            column = min(max(x + i - radius, 0), width - 1)
            result[y, x] += kernel[j, i] * image[row, column]
    return result


SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8


def gaussian_derivative(sigma=1.4, radius=4):
    """As shared/metrics/SPEC.md has it: G(i)·G'(j), divided by its L2 norm."""
    kernel = np.empty((2 * radius + 1, 2 * radius + 1))
    for j, i in np.ndindex(kernel.shape):
        y, x = j - radius, i - radius
        density = math.exp(-(x * x + y * y) / (2 * sigma**2)) / (2 * math.pi * sigma**2)
        kernel[j, i] = -x / sigma**2 * density
    return kernel / math.sqrt((kernel**2).sum())


def gradient(pred, alpha, kernel, eps):
    result = np.empty(pred.shape)
    for n in range(len(pred)):
        magnitudes = [
            np.sqrt(correlate(x, kernel) ** 2 + correlate(x, kernel.T) ** 2 + eps**2) for x in (pred[n, 0], alpha[n, 0])
        ]
        result[n, 0] = abs(magnitudes[0] - magnitudes[1])
    return result


def laplacian_bands_burt(image, levels):
    """Burt and Adelson's pyramid of one plane, as FBA and RVM compute it, and what remains."""
    taps = np.array([1, 4, 6, 4, 1]) / 16
    kernel = np.outer(taps, taps)

    def smooth(plane, kernel):
        padded = np.pad(plane, 2, mode="reflect")
        return np.array(
            [
                [(padded[y : y + 5, x : x + 5] * kernel).sum() for x in range(plane.shape[1])]
                for y in range(plane.shape[0])
            ]
        )

    bands = []
    for _ in range(levels):
        low = smooth(image, kernel)[::2, ::2]
        enlarged = np.zeros((2 * low.shape[0], 2 * low.shape[1]))
        enlarged[::2, ::2] = low
        bands.append(image - smooth(enlarged, 4 * kernel))
        image = low
    return bands, image


def laplacian_bands_pooled(image, levels):
    """AIM's pyramid of one plane, and what remains: the kernel is a sum of Gaussians, levels shrink by 2×2 means."""
    steps = np.arange(-2, 3)
    one_dimensional = np.exp(steps**2 / -2.0) ** 2
    kernel = one_dimensional[:, None] + one_dimensional[None, :]
    kernel /= kernel.sum()
    bands = []
    for _ in range(levels):
        smooth = correlate(image, kernel)
        bands.append(image - smooth)
        image = (smooth[::2, ::2] + smooth[1::2, ::2] + smooth[::2, 1::2] + smooth[1::2, 1::2]) / 4
    return bands, image


def semantic(logits, trimap, eps):
    classes = {255: 0, 128: 1, 0: 2}
    result = np.empty(trimap.shape)
    for n, _, y, x in np.ndindex(trimap.shape):
        scores = np.exp(logits[n, :, y, x])
        result[n, 0, y, x] = -math.log(scores[classes[trimap[n, 0, y, x]]] / scores.sum() + eps)
    return result

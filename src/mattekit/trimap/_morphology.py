"""Erosion of masks, as OpenCV means it."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Kernel = Literal["ellipse", "square"]


def erode(mask: Tensor, size: int, kernel: Kernel, iterations: int) -> Tensor:
    """Erode bool masks (N, 1, H, W) by a kernel of ``size`` × ``size`` pixels.

    What lies beyond the border does not erode. Of an even size the anchor is at size // 2.
    """
    if size == 1:
        return mask
    import cv2

    height, width = mask.shape[-2:]
    size = min(size, 3 * max(height, width) + 4)  # whose disc reaches beyond the diagonal, from anywhere
    iterations = min(iterations, (height + width) // max(1, (size - 1) // 2) + 3)  # by then it went all the way

    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE if kernel == "ellipse" else cv2.MORPH_RECT, (size, size))
    return (erode_opencv if mask.device.type == "cpu" else erode_torch)(mask, element, iterations)


def erode_opencv(mask: Tensor, element: np.ndarray, iterations: int) -> Tensor:
    """Erode plane by plane; OpenCV's default border is one that does not erode."""
    import cv2

    eroded = np.empty(mask.shape, np.uint8)
    for before, after in zip(mask.view(torch.uint8).numpy(), eroded, strict=True):
        cv2.erode(before[0], element, dst=after[0], iterations=iterations)
    return torch.from_numpy(eroded.view(np.bool_))


def erode_torch(mask: Tensor, element: np.ndarray, iterations: int) -> Tensor:
    """Erode by spreading the complement: a row of the element after the other, each of which is one run of ones."""
    height, width = mask.shape[-2:]
    size = len(element)
    before, after = size // 2, size - 1 - size // 2
    rows = [(row, np.flatnonzero(element[row])) for row in range(size)]
    spread = (~mask).float()
    for _ in range(iterations):
        padded = F.pad(spread, (before, after, before, after))
        spread = torch.zeros_like(spread)
        for row, ones in rows:
            first, last = int(ones[0]), int(ones[-1])
            strip = padded[..., row : row + height, first : last + width]
            spread = torch.maximum(spread, F.max_pool2d(strip, (1, last - first + 1), stride=1))
    return spread == 0

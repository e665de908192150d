"""The levels of Conn for a batch of tensors, without leaving their device; `_levels.py` says what they are.

Levels run from the top down: what was connected at a higher level stays connected at a lower one, so each level goes on
with the labels of the last. A pixel's label is a pixel of its component; in the end it is the first, column by column,
as the images are transposed on the way in.
"""

import torch
from torch import Tensor

from mattekit.metrics._levels import LEVELS, THRESHOLDS


def reached_levels(pred: Tensor, alpha: Tensor) -> Tensor:
    """The highest level, 0 to 10, that both mattes reach at each pixel; both uint8, or both floating-point."""
    both = torch.minimum(pred, alpha)
    if both.is_floating_point():
        both, thresholds = both.float(), LEVELS[1:].tolist()
    else:
        thresholds = THRESHOLDS
    reached = torch.zeros_like(both, dtype=torch.uint8)
    for threshold in thresholds:
        reached += both >= threshold
    return reached


def connected_levels(reached: Tensor, *, skip_empty: bool) -> Tensor:
    """The level of each pixel, 0 to 10, of a batch (N, H, W) from the levels that both mattes reach there."""
    reached = reached.transpose(1, 2).contiguous()
    labels = torch.arange(reached.numel(), device=reached.device)
    levels = torch.zeros_like(reached)
    for level in range(10, 0, -1):
        present = reached >= level
        labels = _connect(labels, present)
        largest = _is_largest(labels, present)
        if skip_empty:
            largest |= ~present.flatten(1).any(1)[:, None, None]
        levels = torch.where(largest, levels + 1, 0)  # consecutive levels from this one up
    return levels.transpose(1, 2)


def _connect(labels: Tensor, present: Tensor) -> Tensor:
    """Give each component of the pixels present one label: its least index.

    Args:
        labels: (N H W,) int64: for each pixel the least index of what it was connected to before, itself at first.
        present: (N, H, W) bool.
    """
    beyond = labels.numel()
    while True:
        here = torch.where(present, labels.view(present.shape), beyond)
        least = here.clone()  # the least label of each pixel and its four neighbours
        for dim in (1, 2):
            size = present.shape[dim] - 1
            torch.minimum(least.narrow(dim, 1, size), here.narrow(dim, 0, size), out=least.narrow(dim, 1, size))
            torch.minimum(least.narrow(dim, 0, size), here.narrow(dim, 1, size), out=least.narrow(dim, 0, size))
        smaller = present & (least < here)
        if not smaller.any():
            return labels
        # a component is known by its root, the pixel of its label: hook the root to the least label around, ...
        labels = labels.scatter_reduce(0, here[smaller], least[smaller], "amin")
        while True:  # ... then let every pixel point at its root again
            shorter = labels[labels]
            if torch.equal(shorter, labels):
                break
            labels = shorter


def _is_largest(labels: Tensor, present: Tensor) -> Tensor:
    """Where each image's largest component is; of equally large ones the one with the least label."""
    areas = torch.zeros_like(labels).scatter_add_(0, labels, present.flatten().long())
    images = areas.view(len(present), present.shape[1] * present.shape[2])  # -1 would not do for no image
    area, first = images.max(1).values, torch.arange(labels.numel(), device=labels.device).view(images.shape)
    root = torch.where(images == area[:, None], first, labels.numel()).amin(1)
    return present & (labels.view(present.shape) == root[:, None, None])

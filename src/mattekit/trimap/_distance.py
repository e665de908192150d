"""Exact Euclidean distances to a region."""

import numpy as np
import torch
from torch import Tensor

_LARGEST_STEP = 2**24  # elements of a working array on the GPU: 64 MiB


def distances(region: Tensor) -> Tensor:
    """Distance in pixels of each pixel to the nearest one of its region; infinite where there is none.

    ``region`` is bool, (N, C, H, W); the result is float32 of that shape.
    """
    if region.device.type != "cpu":
        return distances_torch(region)
    maps = [_distances_opencv(plane) for plane in region.flatten(0, 1).numpy()]
    return torch.from_numpy(np.array(maps, dtype=np.float32).reshape(region.shape))


def _distances_opencv(region: np.ndarray) -> np.ndarray:
    import cv2

    if not region.any():
        return np.full(region.shape, np.inf)
    return cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def distances_torch(region: Tensor) -> Tensor:
    """Take the distance within each column first, then the least over the columns: O(H·W²), but all at once."""
    height, width = region.shape[-2:]
    rows = torch.arange(height, device=region.device, dtype=torch.float32)[:, None]
    above = rows.where(region, -torch.inf).cummax(2).values
    below = rows.where(region, torch.inf).flip(2).cummin(2).values.flip(2)
    within = torch.minimum(rows - above, below - rows).square()
    columns = torch.arange(width, device=region.device, dtype=torch.float32)
    across = (columns[:, None] - columns).square()
    step = max(1, _LARGEST_STEP // max(1, region.shape[0] * region.shape[1] * width * width))
    chunks = [(chunk[..., None, :] + across).amin(-1) for chunk in within.split(step, dim=2)]
    return torch.cat(chunks, 2).sqrt()

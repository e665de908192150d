"""Making, checking, converting and applying trimaps.

A trimap is uint8 and says of each pixel whether it is `BACKGROUND` (0), `UNKNOWN` (128) or `FOREGROUND` (255). Every
function here takes tensors of shape (N, 1, H, W) on any device, or NumPy arrays of shape (H, W) or (N, H, W), and
returns the kind it was given. On the CPU the work is OpenCV's, on a GPU it is torch's, and the results are equal.
"""

from mattekit.trimap.encoding import distance_maps, from_semantic, to_classes, to_one_hot
from mattekit.trimap.making import (
    GCA_KERNELS,
    PADDLESEG_KERNELS,
    RandomKernels,
    from_alpha,
    from_mask,
    random_from_alpha,
)
from mattekit.trimap.values import BACKGROUND, FOREGROUND, UNKNOWN, apply, unknown_mask, validate

__all__ = [
    "BACKGROUND",
    "FOREGROUND",
    "GCA_KERNELS",
    "PADDLESEG_KERNELS",
    "UNKNOWN",
    "RandomKernels",
    "apply",
    "distance_maps",
    "from_alpha",
    "from_mask",
    "from_semantic",
    "random_from_alpha",
    "to_classes",
    "to_one_hot",
    "unknown_mask",
    "validate",
]

"""Losses for matting, with one contract.

- A masked mean divides by the mask's area; an empty mask gives an exact 0 with zero gradients.
- Arithmetic is in float32 or wider whatever comes in, also under autocast.
- Nothing here waits for a device, and everything compiles without graph breaks.

The defaults follow the paper. `PADDLESEG` holds the arguments with which `pp_matting_loss` gives the numbers of the
authors' code.

The losses share these arguments:

Args:
    pred: Predicted alpha, (N, 1, H, W), meant to lie in [0, 1], which is not checked.
    alpha: True alpha, (N, 1, H, W) in [0, 1].
    mask: (N, 1, H, W), bool, or floating-point weights from 0 up; None takes every pixel.
    trimap: uint8 of 0, 128 and 255, (N, 1, H, W).
    foreground: True foreground colours, (N, 3, H, W) in [0, 1], or (1, 3, H, W) for all images.
    background: True background colours, likewise.
    has_layers: (N,) bool, the images whose foreground and background are known; None means all. The others are left out
        of the composition loss as if the mask were empty there, whatever their colours hold.
    reduction: ``"mean"`` over the mask's area, ``"sum"``, or ``"none"`` for the masked map.

Returns:
    A scalar, or the map; float32, or float64 where an input is.

Raises:
    TypeError: If a matte or an image is no floating-point tensor, a mask is an integer one, or a trimap is not uint8.
    ValueError: If a shape or an option is wrong; or, on the CPU, if the truth leaves [0, 1] within the mask by more
        than rounding, a weight of the mask is negative, or a trimap holds other values. On a GPU, and in compiled code,
        that is a RuntimeError of the device, raised when something waits for it next: run the step on the CPU to see
        what is wrong.
"""

from mattekit.losses.alpha import alpha_loss
from mattekit.losses.composition import composition_loss
from mattekit.losses.gradient import gradient_loss
from mattekit.losses.laplacian import laplacian_loss
from mattekit.losses.pp_matting import (
    PADDLESEG,
    PPMattingLosses,
    detail_loss,
    fusion_loss,
    pp_matting_loss,
)
from mattekit.losses.semantic import semantic_loss

__all__ = [
    "PADDLESEG",
    "PPMattingLosses",
    "alpha_loss",
    "composition_loss",
    "detail_loss",
    "fusion_loss",
    "gradient_loss",
    "laplacian_loss",
    "pp_matting_loss",
    "semantic_loss",
]

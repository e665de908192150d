"""Losses for matting, with one contract: ``loss(pred, alpha, mask=None, *, eps=…, reduction="mean")``.

- A masked mean divides by the mask's area; an empty mask gives an exact 0 with zero gradients.
- Arithmetic is in float32 or wider whatever comes in, also under autocast.
- Nothing here reads a value back from the device, and everything compiles without graph breaks.

The defaults follow the paper. `PADDLESEG` holds the arguments with which `pp_matting_loss` gives the numbers of the
authors' code.
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

"""The contact sheet: a row a photo, a column a map."""

import numpy as np
import torch

from mattekit import trimap
from mattekit.compositing import composite
from mattekit.inference import Prediction
from mattekit.photos.sheet import Panel

_NEW_BACKGROUND = (0.16, 0.32, 0.62)
CELL = (320, 230)
"""Width and height of a panel, in pixels."""
TITLES = ("photo", "semantic map", "detail map", "matte", "cut-out on a new background")


def panels(photo: np.ndarray, maps: Prediction, cut: np.ndarray) -> list[Panel]:
    """What a row shows under `TITLES`; ``cut`` is the cut-out, RGBA uint8."""
    rgba = torch.from_numpy(cut).permute(2, 0, 1)[None].float() / 255
    shown = composite(rgba[:, :3], _NEW_BACKGROUND, rgba[:, 3:])[0].permute(1, 2, 0).numpy()
    return [*map(Panel, (photo, trimap.from_semantic(maps.semantic), maps.detail, maps.alpha, shown))]

"""The contact sheet: a row a photo, a column a map."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from mattekit import trimap
from mattekit.compositing import composite
from mattekit.inference import Prediction

_NEW_BACKGROUND = (0.16, 0.32, 0.62)
_PAPER, _INK = (245, 245, 245), (30, 30, 30)
_CAPTION, _GAP = 34, 10


def panels(photo: np.ndarray, maps: Prediction, cut: np.ndarray) -> dict[str, np.ndarray]:
    """What a row shows: photo, semantic map, detail map, matte, and the cut-out, RGBA uint8, on a new background."""
    rgba = torch.from_numpy(cut).permute(2, 0, 1)[None].float() / 255
    return {
        "photo": photo,
        "semantic map": trimap.from_semantic(maps.semantic),
        "detail map": _to_uint8(maps.detail),
        "matte": _to_uint8(maps.alpha),
        "cut-out on a new background": _to_uint8(
            composite(rgba[:, :3], _NEW_BACKGROUND, rgba[:, 3:])[0].permute(1, 2, 0).numpy()
        ),
    }


def sheet(rows: Sequence[Mapping[str, np.ndarray]], cell: tuple[int, int]) -> np.ndarray:
    """Rows of panels, each within a cell of so many pixels, wide and high; the panels' names stand above."""
    wide, high = cell
    names = list(rows[0])
    size = (len(names) * (wide + _GAP) + _GAP, len(rows) * (high + _GAP) + _CAPTION + _GAP)
    paper = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(paper), ImageFont.load_default(18)
    for column, name in enumerate(names):
        left = _GAP + column * (wide + _GAP)
        draw.text((left, _GAP), name, fill=_INK, font=font)
        for number, row in enumerate(rows):
            panel = ImageOps.contain(Image.fromarray(row[name]).convert("RGB"), cell)
            top = _CAPTION + _GAP + number * (high + _GAP)
            paper.paste(panel, (left + (wide - panel.width) // 2, top + (high - panel.height) // 2))
    return np.array(paper)


def _to_uint8(x: np.ndarray) -> np.ndarray:
    return np.rint(x * 255).astype(np.uint8)

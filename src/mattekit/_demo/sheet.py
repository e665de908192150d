"""The contact sheet: a row a photo, a column a map."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from mattekit import trimap
from mattekit.compositing import composite, cutout
from mattekit.models import PPMatting
from mattekit.photos import limit_short_side, to_multiple_of

_NEW_BACKGROUND = (0.16, 0.32, 0.62)
_PAPER, _INK = (245, 245, 245), (30, 30, 30)
_CAPTION, _GAP = 34, 10


@torch.inference_mode()
def panels(model: PPMatting, photo: np.ndarray, alpha: np.ndarray) -> dict[str, np.ndarray]:
    """What a row shows: photo, the model's semantic and detail map, a matte in [0, 1], the cut-out on a background."""
    pixels = to_multiple_of(limit_short_side(photo, model.max_short_side), 32)
    output = model(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
    cut = torch.from_numpy(cutout(photo, alpha)).permute(2, 0, 1)[None].float() / 255
    return {
        "photo": photo,
        "semantic map": trimap.from_semantic(output.semantic_logits)[0, 0].numpy(),
        "detail map": _to_uint8(output.detail[0, 0]),
        "matte": _to_uint8(torch.from_numpy(alpha)),
        "cut-out on a new background": _to_uint8(
            composite(cut[:, :3], _NEW_BACKGROUND, cut[:, 3:])[0].permute(1, 2, 0)
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


def _to_uint8(x: Tensor) -> np.ndarray:
    return (x * 255).round().to(torch.uint8).numpy()

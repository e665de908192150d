"""Pictures in rows and columns, with words above, below and at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mattekit.photos.writing import to_uint8

if TYPE_CHECKING:
    from PIL import ImageDraw

_GAP, _LINE, _SIZE = 10, 24, 16
_PAPER, _INK = (248, 248, 248), (30, 30, 30)


class Panel(NamedTuple):
    """A picture, (H, W, 3) or (H, W), uint8 or of floats in [0, 1], and the line below it."""

    pixels: np.ndarray
    caption: str = ""


def contact_sheet(
    rows: Sequence[Sequence[Panel]], cell: tuple[int, int], *, titles: Sequence[str] = (), legend: str = ""
) -> np.ndarray:
    """Draw panels, each as large as its cell allows. A line that is wider than its cell is cut.

    Args:
        rows: Panels from left to right, rows from above. Where any has a caption, all leave room for one.
        cell: Width and height of a panel in pixels.
        titles: Of the columns.
        legend: A line below all.

    Returns:
        The sheet, (H, W, 3) uint8.

    Example:
        >>> grey = Panel(np.full((40, 60), 0.5), "half")
        >>> contact_sheet([[grey, grey]], (60, 40), titles=["one", "two"]).shape
        (108, 150, 3)
    """
    from PIL import Image, ImageDraw, ImageOps

    wide, high = cell[0] + _GAP, cell[1] + _GAP
    if any(panel.caption for row in rows for panel in row):
        high += _LINE
    top = _GAP + (_LINE if titles else 0)
    bottom = _LINE + _GAP if legend else 0
    paper = Image.new("RGB", (max(map(len, rows)) * wide + _GAP, top + len(rows) * high + bottom), _PAPER)
    draw = ImageDraw.Draw(paper)
    for column, title in enumerate(titles):
        _write(draw, (_GAP + column * wide, _GAP), title, cell[0])
    for line, row in enumerate(rows):
        for column, (pixels, caption) in enumerate(row):
            picture = ImageOps.contain(Image.fromarray(to_uint8(pixels)).convert("RGB"), cell)
            x, y = _GAP + column * wide, top + line * high
            paper.paste(picture, (x + (cell[0] - picture.width) // 2, y + (cell[1] - picture.height) // 2))
            _write(draw, (x, y + cell[1] + 2), caption, cell[0])
    _write(draw, (_GAP, paper.height - _LINE), legend, paper.width - 2 * _GAP)
    return np.array(paper)


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(_SIZE)
    if font.getlength(text) > width:
        while text and font.getlength(text + "…") > width:
            text = text[:-1]
        text += "…"
    draw.text(place, text, fill=_INK, font=font)

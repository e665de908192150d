"""A picture of images where two methods differ: photo, truth, both mattes and what lies between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mattekit.photos import read_image, read_matte

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import ImageDraw, ImageFont

CELL = 240
"""The side of a panel's square, in pixels."""
_GAP, _LINE, _SIZE = 10, 24, 16
_PAPER, _INK = (250, 250, 250), (30, 30, 30)
_MORE, _LESS = np.array([230, 97, 1]), np.array([33, 102, 172])  # orange and blue, told apart by all eyes


@dataclass(frozen=True)
class SheetRow:
    """An image: its files, and each method's matte and SAD, in the order of the sheet's methods."""

    name: str
    photo: Path | None
    alpha: Path
    preds: tuple[Path, Path]
    sads: tuple[float, float]


def draw_sheet(rows: Sequence[SheetRow], methods: tuple[str, str], region: str) -> np.ndarray:
    """The sheet, (H, W, 3) uint8: a row an image, the name under its first panel and SAD under each matte."""
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    titles = [*(["photo"] if rows[0].photo else []), "truth", *methods, "difference"]
    wide, high = CELL + _GAP, CELL + _LINE + _GAP
    paper = Image.new("RGB", (len(titles) * wide + _GAP, len(rows) * high + 2 * _LINE + 2 * _GAP), _PAPER)
    draw, font = ImageDraw.Draw(paper), ImageFont.load_default(_SIZE)
    for column, title in enumerate(titles):
        _write(draw, (_GAP + column * wide, _GAP), title, font)
    for line, row in enumerate(rows):
        top = _GAP + _LINE + line * high
        sads = [f"SAD {sad:.2f}" for sad in row.sads]
        captions = [row.name, *([""] if row.photo else []), *sads, ""]
        for column, (pixels, caption) in enumerate(zip(_panels(row), captions, strict=True)):
            left = _GAP + column * wide
            panel = ImageOps.contain(Image.fromarray(pixels).convert("RGB"), (CELL, CELL))
            paper.paste(panel, (left + (CELL - panel.width) // 2, top + (CELL - panel.height) // 2))
            _write(draw, (left, top + CELL + 2), caption, font)
    legend = f"Orange: {methods[0]} has more alpha. Blue: {methods[1]} has more. SAD: {region}, in thousands."
    _write(draw, (_GAP, paper.height - _LINE), legend, font, paper.width - 2 * _GAP)
    return np.array(paper)


def _panels(row: SheetRow) -> list[np.ndarray]:
    first, second = map(read_matte, row.preds)
    photo = [] if row.photo is None else [read_image(row.photo)]
    return [*photo, read_matte(row.alpha), first, second, _difference(first, second)]


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """White where mattes of 8 bits agree, orange where the first is more, blue where it is less."""
    by = (first.astype(float) - second)[..., None] / 255
    return np.rint(255 - by.clip(0) * (255 - _MORE) + by.clip(max=0) * (255 - _LESS)).astype(np.uint8)


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    width: int = CELL,
) -> None:
    """Write a line, cut where it would be wider."""
    if font.getlength(text) > width:
        while text and font.getlength(text + "…") > width:
            text = text[:-1]
        text += "…"
    draw.text(place, text, fill=_INK, font=font)

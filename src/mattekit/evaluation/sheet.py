"""A picture of images where two methods differ: photo, truth, both mattes and what lies between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mattekit.photos import read_image, read_matte
from mattekit.photos.sheet import Panel, contact_sheet

if TYPE_CHECKING:
    from pathlib import Path

CELL = 240
"""The side of a panel's square, in pixels."""
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
    titles = [*(["photo"] if rows[0].photo else []), "truth", *methods, "difference"]
    legend = f"Orange: {methods[0]} has more alpha. Blue: {methods[1]} has more. SAD: {region}, in thousands."
    return contact_sheet([_panels(row) for row in rows], (CELL, CELL), titles=titles, legend=legend)


def _panels(row: SheetRow) -> list[Panel]:
    first, second = map(read_matte, row.preds)
    pictures = [read_matte(row.alpha), first, second, _difference(first, second)]
    captions = ["", *(f"SAD {sad:.2f}" for sad in row.sads), ""]
    if row.photo is not None:
        pictures, captions = [read_image(row.photo), *pictures], ["", *captions]
    return list(map(Panel, pictures, [row.name, *captions[1:]]))


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """White where mattes of 8 bits agree, orange where the first is more, blue where it is less."""
    by = (first.astype(float) - second)[..., None] / 255
    return np.rint(255 - by.clip(0) * (255 - _MORE) + by.clip(max=0) * (255 - _LESS)).astype(np.uint8)

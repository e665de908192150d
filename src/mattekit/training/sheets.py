"""Pictures of what a network makes of some samples, in sheets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from mattekit.data import Sample
from mattekit.inference import predict
from mattekit.models import PPMatting
from mattekit.photos import write_image
from mattekit.photos.sheet import Panel, contact_sheet
from mattekit.photos.writing import to_uint8
from mattekit.training.figure import figure5

CELL = (160, 160)
"""Width and height of a panel, in pixels."""

SHEET = 4
"""Samples of a sheet."""


def write_sheets(folder: Path, iteration: int, model: nn.Module, samples: Sequence[Sample]) -> None:
    """Write photo, semantic map, detail map, matte and truth of some samples, and Figure 5 of the first of them.

    Of a network that is no PP-Matting the maps that it lacks are left out, and so is Figure 5.
    """
    rows = [_maps(model, sample) for sample in samples]
    panels = [[*map(Panel, row.values())] for row in rows]
    write_image(folder / f"{iteration:07}.png", contact_sheet(panels, CELL, titles=list(rows[0])))
    if isinstance(model, PPMatting):
        write_image(folder / f"{iteration:07}-figure5.png", contact_sheet(_figure5_rows(model, samples[0]), CELL))


def _maps(model: nn.Module, sample: Sample) -> dict[str, np.ndarray]:
    photo = to_uint8(sample.image)
    if not isinstance(model, PPMatting):
        return {"photo": photo, "matte": predict(model, photo), "truth": sample.alpha}
    maps = predict(model, photo, return_maps=True)
    semantic = maps.semantic[0] + maps.semantic[1] / 2  # foreground white, transition grey
    own = {"semantic map": semantic, "detail map": maps.detail, "matte": maps.alpha}
    return {"photo": photo, **own, "truth": sample.alpha}


def _figure5_rows(model: PPMatting, sample: Sample) -> list[list[Panel]]:
    """The paper's figure in two rows: photo, matte and s; low-level feature, g and detail map."""
    photo = to_uint8(sample.image)
    first, second = [Panel(photo, "photo")], []
    for name, pixels in figure5(model, photo).items():
        row = first if name == "alpha" or name.startswith("s") else second
        row.append(Panel(pixels, name.replace("_", "-")))
    return [first, second]

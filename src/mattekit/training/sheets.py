"""Pictures of what a network makes of some samples, in sheets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from mattekit.data import Sample, Source, sample_generator
from mattekit.inference import predict
from mattekit.models import PPMatting
from mattekit.photos import write_image
from mattekit.training.figure import figure5

SIDE = 160
"""Of a panel's frame, in pixels."""


def write_sheets(folder: Path, iteration: int, model: nn.Module, source: Source, *, count: int = 4) -> None:
    """Write photo, semantic map, detail map, matte and truth of the first samples, and Figure 5 of the first of them.

    Of a network that is no PP-Matting the maps that it lacks are left out, and so is Figure 5.
    """
    samples = [source(index, sample_generator(0, 0, index)) for index in range(min(count, len(source)))]
    rows = [_panels(model, sample) for sample in samples]
    write_image(folder / f"{iteration:07}.png", sheet(rows))
    if isinstance(model, PPMatting):
        write_image(folder / f"{iteration:07}-figure5.png", sheet(_figure5_rows(model, samples[0])))


def sheet(rows: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """Panels in rows, the names above those of the first.

    Args:
        rows: Pictures by name, (H, W, 3) uint8 or (H, W) in [0, 1].

    Returns:
        The sheet, (H, W, 3) uint8.
    """
    from PIL import Image, ImageDraw

    caption, gap = 16, 4
    columns = max(map(len, rows))
    size = columns * (SIDE + gap) + gap, len(rows) * (SIDE + caption + gap) + gap
    picture = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    for row, panels in enumerate(rows):
        for column, (name, pixels) in enumerate(panels.items()):
            panel = Image.fromarray(_to_uint8(pixels)).convert("RGB")
            scale = SIDE / max(panel.size)
            panel = panel.resize([max(1, round(side * scale)) for side in panel.size])
            left, top = gap + column * (SIDE + gap), gap + row * (SIDE + caption + gap)
            draw.text((left, top), name, fill=(40, 40, 40))
            picture.paste(panel, (left, top + caption))
    return np.array(picture)


def _panels(model: nn.Module, sample: Sample) -> dict[str, np.ndarray]:
    image = _to_uint8(sample.image)
    if not isinstance(model, PPMatting):
        return {"photo": image, "matte": predict(model, image), "truth": sample.alpha}
    maps = predict(model, image, return_maps=True)
    semantic = maps.semantic[0] + maps.semantic[1] / 2  # foreground white, transition grey
    return {
        "photo": image,
        "semantic map": semantic,
        "detail map": maps.detail,
        "matte": maps.alpha,
        "truth": sample.alpha,
    }


def _figure5_rows(model: PPMatting, sample: Sample) -> list[dict[str, np.ndarray]]:
    """The paper's figure in two rows: photo, matte and s; low-level feature, g and detail map."""
    image = _to_uint8(sample.image)
    maps = figure5(model, image)
    named = {name.replace("_", "-"): pixels for name, pixels in maps.items()}
    first = {name: pixels for name, pixels in named.items() if name == "alpha" or name.startswith("s")}
    return [{"photo": image, **first}, {name: pixels for name, pixels in named.items() if name not in first}]


def _to_uint8(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)

"""The README's picture of hair on a new background: ``python docs/figures/hair.py docs/_static/hair.jpg``.

The lemur's fur as the photo has it, laid over light blue with the photo's colours, and with estimated ones.
"""

import sys
from importlib.resources import files

import numpy as np
import torch
from PIL import Image

from mattekit.compositing import composite
from mattekit.foreground import estimate_foreground
from mattekit.photos import read_image, read_matte

LIGHT_BLUE = (0.75, 0.9, 1.0)
WINDOW = np.s_[50:210, 215:375]
SIDE, GAP = 320, 8


def on_light_blue(colours: np.ndarray, matte: np.ndarray) -> np.ndarray:
    image, alpha = torch.from_numpy(colours).permute(2, 0, 1)[None] / 255, torch.from_numpy(matte)[None, None] / 255
    return np.rint(composite(image, LIGHT_BLUE, alpha)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)


def main(path: str) -> None:
    assets = files("mattekit") / "assets"
    photo, matte = read_image(assets / "lemur.jpg"), read_matte(assets / "lemur_alpha.png")
    panels = [photo, on_light_blue(photo, matte), on_light_blue(estimate_foreground(photo, matte), matte)]
    paper = Image.new("RGB", (3 * SIDE + 2 * GAP, SIDE), "white")
    for number, panel in enumerate(panels):
        closer = Image.fromarray(panel[WINDOW]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        paper.paste(closer, (number * (SIDE + GAP), 0))
    paper.save(path, quality=88, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])

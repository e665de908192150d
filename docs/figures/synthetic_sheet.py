"""Draw the sheet of 32 synthetic photos and their mattes that the page on data shows.

Run it by hand when the drawings change; the sheet is committed:

    python docs/figures/synthetic_sheet.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from mattekit.data import SyntheticMattes

OUT = Path(__file__).parent.parent / "_static" / "synthetic.webp"


def main() -> None:
    source = SyntheticMattes(seed=0, size=192)
    samples = [source(index, np.random.default_rng(0)) for index in range(32)]
    rows = []
    for start in range(0, 32, 8):
        row = samples[start : start + 8]
        rows.append(np.hstack([sample.image for sample in row]))
        rows.append(np.hstack([np.repeat(np.rint(sample.alpha * 255)[..., None], 3, -1) for sample in row]))
    Image.fromarray(np.vstack(rows).astype(np.uint8)).save(OUT, quality=78, method=6)


if __name__ == "__main__":
    main()

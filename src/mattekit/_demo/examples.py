"""The photos that come with the package. None of them was trained on."""

from importlib.resources import as_file, files
from typing import NamedTuple

import numpy as np

from mattekit.photos import read_image, read_matte


class Example(NamedTuple):
    """A photo of the package: the file's name without suffix, and who gave it away how."""

    name: str
    credit: str

    def read(self) -> np.ndarray:
        """The photo, (H, W, 3) uint8."""
        with as_file(_FOLDER / f"{self.name}.jpg") as path:
            return read_image(path)


EXAMPLES = (
    Example("lemur", "Mathias Appel, CC0"),
    Example("chelsea", "Stefan van der Walt, CC0"),
    Example("astronaut", "NASA, public domain"),
    Example("coffee", "Rachel Michetti, CC0"),
    Example("rocket", "SpaceX, public domain"),
)
_FOLDER = files("mattekit") / "assets"


def lemur() -> tuple[np.ndarray, np.ndarray]:
    """The lemur's photo, (440, 680, 3) uint8, and its matte, (440, 680) uint8.

    Source: photo by Mathias Appel (CC0); the matte is a closed-form result from PyMatting (MIT), not hand-made.
    """
    with as_file(_FOLDER / "lemur_alpha.png") as path:
        return EXAMPLES[0].read(), read_matte(path)

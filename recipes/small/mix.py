"""The mixture of sources that the small network is trained on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sources import Backgrounds, Composed, Drawn, Labelled, Pasted, View, distorted, files, folders

PLAIN = folders("caltech101", "clothing", "portraits")  # many alike, before simple backgrounds
ANIMALS = folders(
    "animalrescue", "animals", "aves", "birdguess", "dogmemory", "dogwebsite", "faunahub", "midterm", "oxfordpet",
    "oxfordpetmn", "oxfordpetsq", "tigers", "toddleranimals", "wildnature",
)  # fmt: skip


class Mixture:
    """Draws samples from all sources, each as often as its weight says."""

    def __init__(self, data: Path, mattes: Path, side: int) -> None:
        cutouts = data / "cutouts"
        photos = Labelled(data, mattes, side, within=("photos/",))
        backgrounds = Backgrounds.curated(data, mattes, labelled=photos)
        plain = Labelled(data, mattes, side, within=PLAIN)
        animals = Labelled(data, mattes, side, within=ANIMALS)
        scenes = Labelled(data, mattes, side, within=("photos/",), but=PLAIN + ANIMALS)
        people = Labelled(data, mattes, side, within=("people/",))
        self.sources: list[tuple[float, Callable[[int, np.random.Generator], View], int]] = [
            (weight, source, len(source))
            for weight, source in (
                (0.08, plain),
                (0.20, animals),
                (0.22, scenes),
                (0.09, people),
                (0.18, Composed(files(cutouts / "tux"), backgrounds, side)),
                (0.08, Composed(files(cutouts / "flora"), backgrounds, side)),
                (0.08, Pasted((), backgrounds, side, photos)),
                (0.02, Pasted((), backgrounds, side, people)),
                (0.05, Drawn((), backgrounds, side)),
            )
        ]

    def __call__(self, rng: np.random.Generator) -> View:
        """One sample, its colours changed."""
        weights = np.array([weight for weight, _, _ in self.sources])
        _, source, length = self.sources[rng.choice(len(weights), p=weights / weights.sum())]
        view = source(int(rng.integers(length)), rng)
        view.image = distorted(view.image, rng)
        return view

"""The mixture of sources that the small network is trained on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sources import Composed, Drawn, Labelled, Pasted, View, distorted, files

PLAIN = "photos/caltech101/", "photos/clothing/", "photos/portraits/"  # many alike, before simple backgrounds


class Mixture:
    """Draws samples from all sources, each as often as its weight says."""

    def __init__(self, data: Path, mattes: Path, side: int) -> None:
        cutouts = data / "cutouts"
        backgrounds = [path for folder in ("wallpapers", "caltech") for path in files(data / "backgrounds" / folder)]
        backgrounds += files(data / "backgrounds/grocery")[:150]
        photos = Labelled(data, mattes, side, only=lambda name: name.startswith("photos/"))
        plain = Labelled(data, mattes, side, only=lambda name: name.startswith(PLAIN))
        scenes = Labelled(
            data, mattes, side, only=lambda name: name.startswith("photos/") and not name.startswith(PLAIN)
        )
        people = Labelled(data, mattes, side, only=lambda name: name.startswith("people/"))
        self.sources: list[tuple[float, Callable[[int, np.random.Generator], View], int]] = [
            (weight, source, len(source))
            for weight, source in (
                (0.16, plain),
                (0.30, scenes),
                (0.14, people),
                (0.15, Composed(files(cutouts / "tux"), backgrounds, side)),
                (0.06, Composed(files(cutouts / "flora"), backgrounds, side)),
                (0.10, Pasted((), backgrounds, side, photos)),
                (0.05, Pasted((), backgrounds, side, people)),
                (0.04, Drawn((), backgrounds, side)),
            )
        ]

    def __call__(self, rng: np.random.Generator) -> View:
        """One sample, its colours changed."""
        weights = np.array([weight for weight, _, _ in self.sources])
        _, source, length = self.sources[rng.choice(len(weights), p=weights / weights.sum())]
        view = source(int(rng.integers(length)), rng)
        view.image = distorted(view.image, rng)
        return view

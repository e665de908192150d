"""The mixture of sources that the small network is trained on."""

from pathlib import Path

import numpy as np
from sources import Backgrounds, Composed, Drawn, Labelled, Pasted, View, distorted, files, folders

PLAIN = folders("caltech101", "clothing", "portraits")  # many alike, before simple backgrounds
ANIMALS = folders(
    "animalrescue", "animals", "aves", "birdguess", "dogmemory", "dogwebsite", "faunahub", "midterm", "oxfordpet",
    "oxfordpetmn", "oxfordpetsq", "tigers", "toddleranimals", "wildnature",
)  # fmt: skip


class Mixture:
    """Draws samples from all sources, each as often as its weight says; ``empty`` names those without a sample."""

    def __init__(self, data: Path, mattes: Path, side: int) -> None:
        cutouts = data / "cutouts"
        photos = Labelled(data, mattes, side, within=("photos/",))
        backgrounds = Backgrounds.curated(data, mattes, labelled=photos)
        plain = Labelled(data, mattes, side, within=PLAIN)
        animals = Labelled(data, mattes, side, within=ANIMALS)
        scenes = Labelled(data, mattes, side, within=("photos/",), but=PLAIN + ANIMALS)
        people = Labelled(data, mattes, side, within=("people/",))
        everything: dict[str, tuple[float, Labelled | Composed]] = {
            "plain photos": (0.08, plain),
            "animals": (0.20, animals),
            "scenes": (0.22, scenes),
            "people": (0.09, people),
            "tux": (0.18, Composed(files(cutouts / "tux"), backgrounds, side)),
            "flora": (0.08, Composed(files(cutouts / "flora"), backgrounds, side)),
            "pasted subjects": (0.08, Pasted((), backgrounds, side, photos)),
            "pasted people": (0.02, Pasted((), backgrounds, side, people)),
            "drawings": (0.05, Drawn((), backgrounds, side)),
        }
        self.empty = [name for name, (_, source) in everything.items() if source.is_empty]
        self.sources = [(weight, source) for weight, source in everything.values() if not source.is_empty]

    def __call__(self, rng: np.random.Generator) -> View:
        """One sample, its colours changed."""
        weights = np.array([weight for weight, _ in self.sources])
        _, source = self.sources[rng.choice(len(weights), p=weights / weights.sum())]
        view = source(int(rng.integers(len(source))), rng)
        view.image = distorted(view.image, rng)
        return view

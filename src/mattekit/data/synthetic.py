"""Procedural foregrounds with exact mattes."""

import numpy as np

from mattekit._checks import check_nonnegative, check_number, check_positive
from mattekit.data.composites import compose
from mattekit.data.sample import Sample
from mattekit.data.sources import check_index


class SyntheticMattes:
    """Procedural photos with exact alpha, foreground and background.

    A sample depends on the seed and its index alone: it is the same in every epoch and on every machine.

    Args:
        seed: Everything follows from it.
        size: Side of the photos in pixels.
        length: Samples of an epoch.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> source = SyntheticMattes(seed=0, size=128)
        >>> sample = source(3, np.random.default_rng())
        >>> sample.size, sample.has_layers, sample.name
        ((128, 128), True, 'synthetic 0/3')
    """

    def __init__(self, seed: int = 0, *, size: int = 256, length: int = 10_000) -> None:
        check_number("seed", seed, int)
        check_nonnegative("seed", seed)
        for name, value in (("size", size), ("length", length)):
            check_number(name, value, int)
            check_positive(name, value)
        self.seed = seed
        self.size = size
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __call__(self, index: int, rng: np.random.Generator) -> Sample:
        """The sample of an index; the generator given is not used."""
        check_index(index, self)
        own = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(index,)))
        rows, columns = np.mgrid[: self.size, : self.size] / self.size
        centre, radius = own.uniform(0.3, 0.7, 2), own.uniform(0.15, 0.4)
        distance = np.hypot(rows - centre[0], columns - centre[1])
        alpha = np.clip((radius - distance) / own.uniform(0.01, 0.1), 0, 1).astype(np.float32)
        foreground, background = (self._gradient(own, rows, columns) for _ in range(2))
        return compose(foreground, alpha, background, name=f"synthetic {self.seed}/{index}")

    def _gradient(self, rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        colours = rng.uniform(0, 255, (3, 3))
        image = (
            colours[0] + rows[..., None] * (colours[1] - colours[0]) + columns[..., None] * (colours[2] - colours[0])
        )
        return np.clip(image, 0, 255).astype(np.uint8)

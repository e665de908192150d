"""Procedural photos with exact mattes: a drawing of a shape, painted, over a texture."""

from numbers import Integral

import numpy as np

from mattekit._checks import check_nonnegative, check_number, check_positive
from mattekit.data.composites import compose
from mattekit.data.sample import Sample
from mattekit.data.shapes import COLOURS, SHAPES, Colour, Shape
from mattekit.data.sources import check_index
from mattekit.data.textures import pattern, recolour, texture


class SyntheticMattes:
    """Procedural photos with exact alpha, foreground and background.

    Hair, fur, lace, leaves, smoke, glass and things in motion, over fractal, striped and photographic backgrounds.
    Alpha, foreground and background are those that the photo was composed of, so that all three are exact.

    A sample depends on the seed and its index alone: it is the same in every epoch and, since all is drawn in whole
    numbers, on every machine with the same OpenCV.

    Args:
        seed: Everything follows from it.
        size: Side of the photos in pixels, at least 16.
        length: Samples of an epoch.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> source = SyntheticMattes(seed=0, size=128)
        >>> sample = source(3, np.random.default_rng())
        >>> sample.size, sample.has_layers, sample.name
        ((128, 128), True, 'motion 0/3')
    """

    def __init__(self, seed: int = 0, *, size: int = 256, length: int = 10_000) -> None:
        check_number("seed", seed, Integral)
        check_nonnegative("seed", seed)
        for name, value in (("size", size), ("length", length)):
            check_number(name, value, Integral)
            check_positive(name, value)
        if size < 16:
            raise ValueError(f"size must be at least 16 pixels, got {size}")
        self.seed = int(seed)
        self.size = int(size)
        self.length = int(length)

    def __len__(self) -> int:
        return self.length

    def __call__(self, index: int, rng: np.random.Generator) -> Sample:
        """The sample of an index; the generator given is not used."""
        check_index(index, self)
        own = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(index,)))
        shape = SHAPES[int(own.integers(len(SHAPES)))]
        drawn = shape(own, self.size)
        if own.random() < 0.5:
            drawn = np.ascontiguousarray(drawn[:, ::-1])
        alpha = drawn[..., 0].astype(np.float32) / 255
        return compose(
            _paint(own, shape, drawn), alpha, texture(own, self.size), name=f"{shape.__name__} {self.seed}/{index}"
        )


def _paint(rng: np.random.Generator, shape: Shape, drawn: np.ndarray) -> np.ndarray:
    """Colours of a drawing: two, mixed by its tint, darkened by its shade, with some of a texture."""
    stops = [_near(rng, COLOURS[shape][which]) for which in (0, 1)]
    between = np.arange(256)[:, None]
    painted = recolour(drawn[..., 2], (stops[0] * (255 - between) + stops[1] * between) // 255).astype(np.uint16)
    strength = int(rng.integers(0, 80))
    painted = (painted * np.uint16(256 - strength) + pattern(rng, len(drawn)) * np.uint16(strength)) >> 8
    shade = drawn[..., 1].astype(np.uint16)
    shade += shade >> 7  # from 0 to 256
    return (painted * shade[..., None] >> 8).astype(np.uint8)


def _near(rng: np.random.Generator, choices: tuple[Colour, ...]) -> np.ndarray:
    """One of some colours, a little changed."""
    return np.clip(choices[int(rng.integers(len(choices)))] + rng.integers(-20, 21, 3), 0, 255)

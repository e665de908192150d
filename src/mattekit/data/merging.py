"""Two foregrounds as one."""

from collections.abc import Hashable

import numpy as np

from mattekit.data.composites import compose
from mattekit.data.geometry import check_probability, resize
from mattekit.data.sample import Sample
from mattekit.data.sources import Source, check_source, group_of, name_of


class MergeForegrounds:
    """A source that puts some of another source's foregrounds over a second one.

    The second sample is drawn from the same source and brought to the size of the first. Over each other they cover
    1 - (1 - α₁)(1 - α₂), and their colour is that of what shows of each.

    Args:
        source: Where the samples come from; they must have layers.
        probability: How many are merged.

    Raises:
        TypeError: If ``source`` is no source, such as a folder's path.
        ValueError: If the probability is not from 0 to 1, or, when it is called, a sample has no layers.

    Source:
        Tang et al., Learning-based Sampling for Natural Image Matting, CVPR 2019; GCA-Matting merges half of its
        samples so, with a colour that is off where both foregrounds are fractional.

    Example:
        >>> from mattekit.data import SyntheticMattes
        >>> source = MergeForegrounds(SyntheticMattes(seed=0, size=64), probability=1)
        >>> " and " in source(0, np.random.default_rng(0)).name
        True
    """

    def __init__(self, source: Source, probability: float = 0.5) -> None:
        check_source("source", source)
        check_probability("probability", probability)
        self.source = source
        self.probability = probability

    def __len__(self) -> int:
        return len(self.source)

    def __call__(self, index: int, rng: np.random.Generator) -> Sample:
        """The sample of an index, merged with another or not."""
        sample = self.source(index, rng)
        if rng.random() >= self.probability:
            return sample
        return merge(sample, self.source(int(rng.integers(len(self.source))), rng))

    def name_of(self, index: int) -> str:
        """What the first sample is called."""
        return name_of(self.source, index)

    def group_of(self, index: int) -> Hashable:
        """By what samples of one first foreground are told."""
        return group_of(self.source, index)


def merge(first: Sample, second: Sample) -> Sample:
    """The first sample's foreground over the second's, over the first's background.

    Raises:
        ValueError: If either lacks its foreground, or the first its background.
    """
    if first.foreground is None or first.background is None or second.foreground is None:
        raise ValueError(f"samples to merge must have layers, {first.name!r} or {second.name!r} has none")
    if first.image.dtype != second.image.dtype:
        raise TypeError(f"samples to merge must be of one type, got {first.image.dtype} and {second.image.dtype}")
    second = resize(second, first.size)
    share, below = first.alpha[..., None], ((1 - first.alpha) * second.alpha)[..., None]
    alpha = share + below
    mixed = first.foreground * share + second.foreground * below  # pyright: ignore[reportOptionalOperand]
    colours = np.divide(mixed, alpha, out=first.foreground.astype(np.float32), where=alpha > 0)
    if first.foreground.dtype == np.uint8:
        colours = np.clip(np.rint(colours), 0, 255).astype(np.uint8)
    name = f"{first.name} and {second.name}"
    return compose(colours, np.minimum(alpha[..., 0], 1), first.background, name=name)

"""Some of a source's samples, and the others."""

from collections.abc import Sequence

import numpy as np

from mattekit.data import Sample, Source
from mattekit.data.sources import check_index, name_of


class Part:
    """Some of the samples of a source.

    Args:
        source: All samples.
        indices: Which of them.
    """

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self.source = source
        self.indices = tuple(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __call__(self, index: int, rng: np.random.Generator) -> Sample:
        """The sample of an index."""
        check_index(index, self)
        return self.source(self.indices[index], rng)

    def name_of(self, index: int) -> str:
        """What the sample is called in its source."""
        return name_of(self.source, self.indices[index])


def hold_out(source: Source, share: float) -> tuple[Part, Part]:
    """Split a source into what is trained on and what is kept for validation, at even distances.

    Args:
        source: At least two samples.
        share: What is kept, above 0 and below 1; at least one sample is kept, and at least one is left.

    Returns:
        The samples to train on, and those to validate on.

    Raises:
        ValueError: If there are fewer than two samples, or the share is out of range.

    Example:
        >>> from mattekit.data import SyntheticMattes
        >>> training, validation = hold_out(SyntheticMattes(length=40), 0.05)
        >>> len(training), validation.indices
        (38, (10, 30))
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be above 0 and below 1, got {share!r}")
    length = len(source)
    if length < 2:
        raise ValueError(f"source must have at least two samples to hold some out, got {length}")
    count = min(max(1, round(length * share)), length - 1)
    kept = {int((2 * k + 1) * length / (2 * count)) for k in range(count)}
    return Part(source, [i for i in range(length) if i not in kept]), Part(source, sorted(kept))

"""Some of a source's samples, and the others."""

from collections.abc import Hashable, Sequence

import numpy as np

from mattekit.data import Sample, Source
from mattekit.data.sources import check_index, check_source, group_of, name_of


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

    def group_of(self, index: int) -> Hashable:
        """By what samples of one foreground are told in its source."""
        return group_of(self.source, self.indices[index])


def hold_out(source: Source, share: float) -> tuple[Part, Part]:
    """Split a source into what is trained on and what is kept for validation, at even distances.

    Samples of one foreground, which ``group_of`` of the source tells, are kept or left together. A source that draws
    from all that it has, as a `Mix` with weights and `MergeForegrounds` do, is better made of a source that was split.

    Args:
        source: At least two samples, not all of one foreground.
        share: What is kept of the foregrounds, above 0 and below 1; at least one is kept, and at least one is left.

    Returns:
        The samples to train on, and those to validate on.

    Raises:
        TypeError: If ``source`` is no source, such as a folder's path.
        ValueError: If there are fewer than two samples or foregrounds, or the share is out of range.

    Example:
        >>> from mattekit.data import SyntheticMattes
        >>> training, validation = hold_out(SyntheticMattes(length=40), 0.05)
        >>> len(training), validation.indices
        (38, (10, 30))
    """
    check_source("source", source)
    if not 0 < share < 1:
        raise ValueError(f"share must be above 0 and below 1, got {share!r}")
    groups = [group_of(source, index) for index in range(len(source))]
    distinct = list(dict.fromkeys(groups))
    length = len(distinct)
    if length < 2:
        rule = "at least two samples that are not of one foreground, to hold some out"
        raise ValueError(f"source must have {rule}, got {len(groups)} of {length}: give a validation source")
    count = min(max(1, round(length * share)), length - 1)
    kept = {distinct[int((2 * k + 1) * length / (2 * count))] for k in range(count)}
    is_kept = [group in kept for group in groups]
    return Part(source, np.flatnonzero(~np.array(is_kept)).tolist()), Part(source, np.flatnonzero(is_kept).tolist())

"""Where samples come from: anything with a length and a call."""

from collections.abc import Hashable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from mattekit._checks import check_number, check_positive
from mattekit.data.sample import Sample


@runtime_checkable
class Source(Protocol):
    """Anything with ``len(source)`` and ``source(index, rng)``.

    The generator is the sample's own: a source that draws, draws from it, so that a sample depends on the seed, the
    epoch and the index alone. A source may also have ``name_of(index)``, what a sample is called before it is read, so
    that an error can name one that cannot be; and ``group_of(index)``, by which samples of one foreground are told,
    so that none of them is trained on where another is validated on: a path, which is the same foreground in all
    sources of a `Mix`, or anything else that can be a key, which is one within the source.
    """

    def __len__(self) -> int: ...

    def __call__(self, index: int, rng: np.random.Generator) -> Sample:
        """The sample of an index from 0 to ``len(self) - 1``."""
        ...


def check_source(name: str, source: object) -> None:
    """Check that it has a length and can be called: the path of a folder cannot, nor can torch's data sets."""
    if not isinstance(source, Source):
        rule = "a source, such as mattekit.data.open_folder(path) gives"
        raise TypeError(f"{name} must be {rule}, got a {type(source).__name__}")


class DataError(ValueError):
    """Data that do not fit together.

    Attributes:
        problems: One line each: files that are missing, ambiguous or of the wrong size.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Mix:
    """Several sources as one.

    Args:
        sources: At least one.
        weights: Without them the sources follow one another, and an epoch has each of their samples once. With them
            a source has its share of the epoch, whatever its length, and which of its samples comes is drawn.
        length: Samples of an epoch, where there are weights; by default as many as the sources have together.

    Raises:
        TypeError: If one is no source, such as a folder's path.
        ValueError: If there is no source, one is empty, the weights are not one a source and positive, or an epoch is
            too short for a source to have a sample of it.

    Example:
        >>> from mattekit.data import SyntheticMattes
        >>> easy, hard = SyntheticMattes(seed=0, length=30), SyntheticMattes(seed=1, length=10)
        >>> len(Mix([easy, hard])), len(Mix([easy, hard], weights=[1, 1], length=1000))
        (40, 1000)
    """

    def __init__(
        self, sources: Sequence[Source], weights: Sequence[float] | None = None, *, length: int | None = None
    ) -> None:
        self.sources = tuple(sources)
        for index, source in enumerate(self.sources):
            check_source(f"sources[{index}]", source)
        if not self.sources or not all(len(source) for source in self.sources):
            raise ValueError(f"sources must be at least one and none empty, got {[len(s) for s in self.sources]}")
        counts = np.array([len(source) for source in self.sources])
        if weights is None:
            if length is not None:
                raise ValueError(f"length needs weights, got length={length} alone")
            shares = counts / counts.sum()
        else:
            if len(weights) != len(self.sources):
                raise ValueError(f"weights must be one a source, {len(self.sources)}, got {len(weights)}")
            for weight in weights:
                check_positive("weights", weight)
            shares = np.asarray(weights, dtype=np.float64) / sum(weights)
        self.is_weighted = weights is not None
        length = int(counts.sum()) if length is None else length
        check_number("length", length, Integral)
        check_positive("length", length)
        self.length = int(length)
        self._ends = np.rint(np.cumsum(shares) * self.length).astype(np.int64)
        if not np.diff(self._ends, prepend=0).all():
            raise ValueError(f"length must give each source a sample by its weight, got {self.length} for {weights}")

    def __len__(self) -> int:
        return self.length

    def __call__(self, index: int, rng: np.random.Generator) -> Sample:
        """A sample of the source whose share holds the index."""
        check_index(index, self)
        source, within = self._place(index)
        return source(int(rng.integers(len(source))) if self.is_weighted else within, rng)

    def name_of(self, index: int) -> str:
        """What the sample is called; empty where it is drawn."""
        return "" if self.is_weighted else name_of(*self._place(index))

    def group_of(self, index: int) -> Hashable:
        """By what samples of one foreground are told; the index where they are drawn."""
        if self.is_weighted:
            return index
        source, within = self._place(index)
        group = group_of(source, within)
        return group if isinstance(group, Path) else (id(source), group)  # a file is one in all sources

    def _place(self, index: int) -> tuple[Source, int]:
        chosen = int(np.searchsorted(self._ends, index, side="right"))
        return self.sources[chosen], index - (int(self._ends[chosen - 1]) if chosen else 0)


def name_of(source: Source, index: int) -> str:
    """What a sample is called before it is read; empty where its source does not say."""
    own = getattr(source, "name_of", None)
    return "" if own is None else own(index)


def group_of(source: Source, index: int) -> Hashable:
    """By what samples of one foreground are told; the index where their source does not say."""
    own = getattr(source, "group_of", None)
    return index if own is None else own(index)


def check_index(index: int, source: Source) -> None:
    """Raise IndexError unless the source has this index."""
    if not 0 <= index < len(source):
        raise IndexError(f"index must be from 0 to {len(source) - 1}, got {index}")

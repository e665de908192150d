"""Whether two methods differ by more than the choice of images: the paired bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_CHUNK = 1000


class PairedBootstrap(NamedTuple):
    """What resampling the images says about a difference of means.

    Attributes:
        difference: The mean of ``a - b``: negative where `a` is better, as smaller scores are.
        low: The lower end of the 95 % interval, by percentiles.
        high: Its upper end.
        p: How likely a difference at least this clear of 0 would be by the choice of images alone, two-sided.
    """

    difference: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], *, samples: int = 10_000, seed: int = 0
) -> PairedBootstrap:
    """Compare two methods' scores of the same images.

    Images are drawn with replacement, as many as there are, and the mean difference is taken, many times over. Where
    it is 0 in all images, p is 1. Each p is for one pair: if you test many pairs, some will be small by chance.

    Args:
        a: One method's scores, one an image.
        b: The other's, in the same order of images.
        samples: How often the images are drawn. The least p is 2 / (samples + 1).
        seed: For the draws: the same seed gives the same numbers.

    Returns:
        Difference, interval and p; all NaN if a score is.

    Raises:
        ValueError: If there are less than two images, if the lengths differ, or if there is less than one sample.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 15.

    Example:
        >>> paired_bootstrap([1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 4.0, 6.0]).difference
        -1.5
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"a and b must be of one length, at least 2, got {len(a)} and {len(b)}")
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    pairs = np.array([a, b], float)
    differences, count = pairs[0] - pairs[1], len(a)
    if np.isnan(differences).any():
        return PairedBootstrap(*[float("nan")] * 4)
    random = np.random.default_rng(seed)
    means = np.concatenate(
        [  # in chunks, so that memory does not grow with samples times images
            random.multinomial(count, np.full(count, 1 / count), size=min(_CHUNK, samples - start))
            @ differences
            / count
            for start in range(0, samples, _CHUNK)
        ]
    )
    means[np.abs(means) <= count * np.finfo(float).eps * np.abs(pairs).max()] = 0  # they cancel out but for rounding
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p = min(1.0, 2 * (tail + 1) / (samples + 1))
    return PairedBootstrap(float(differences.mean()), float(low), float(high), float(p))

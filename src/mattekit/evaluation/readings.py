"""What a published number can mean: which pixels it counts, and on which scale it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from statistics import fmean
from typing import NamedTuple


class Reading(NamedTuple):
    """One way to read a published row.

    Attributes:
        region: Which pixels count, one of the names that were given.
        mse_scale: What MSE (and MAD) were multiplied by before they were printed: 1 or 1000.
    """

    region: str
    mse_scale: int


def consistent_readings(
    sad: str | float, mse: str | float, pixels: Mapping[str, Sequence[int]], *, mad: str | float | None = None
) -> list[Reading]:
    """Say which pixels, and which scale, the means of a data set can be of.

    It knows no mattes, only what holds for all of them. With n the pixels that count in an image, SAD is n · MAD / 1000
    there, and MAD² ≤ MSE ≤ MAD ≤ 1. So of the means

    - 1000 · SAD is at most the mean of n, and MSE at most 1;
    - MSE is at least (1000 · SAD)² / mean(n²), and at most 1000 · SAD / min(n);
    - MAD, where it is printed, lies between MSE and its root, and 1000 · SAD between min(n) · MAD and max(n) · MAD.

    A reading that is not returned is impossible. One that is returned may still be wrong: to know more, score mattes
    under each protocol.

    Args:
        sad: The mean SAD, in thousands. As text, "46.22", it stands for all that rounds to it; a float is exact.
        mse: The mean MSE, as printed.
        pixels: By region, how many pixels count in each image of the data set: of "whole" the photos' sizes, of
            "unknown" what is 128 in the trimaps.
        mad: The mean MAD, as printed, if it was.

    Returns:
        The readings that are possible, in the order of `pixels`, those of scale 1 first.

    Raises:
        ValueError: If a number is negative or none, or if a region has no image, or an image without a pixel.

    Source:
        Cauchy and Schwarz.

    Example:
        P3M's README has two tables of one test set: GFM, without trimaps, has SAD 13.20 and MSE 0.0050, and DIM, with
        trimaps, 4.8906 and 0.0115. If photos have two megapixels, of which a twentieth is unknown:

        >>> pixels = {"whole": [2_000_000], "unknown": [100_000]}
        >>> consistent_readings("13.20", "0.0050", pixels)
        [Reading(region='whole', mse_scale=1)]
        >>> consistent_readings("4.8906", "0.0115", pixels)
        [Reading(region='whole', mse_scale=1000), Reading(region='unknown', mse_scale=1)]

        They are not of the same pixels and on the same scale.
    """
    sads, mses = _interval("sad", sad), _interval("mse", mse)
    mads = None if mad is None else _interval("mad", mad)
    pixels = {region: [int(count) for count in counts] for region, counts in pixels.items()}
    for region, counts in pixels.items():
        if not counts or min(counts) < 1:
            raise ValueError(
                f"pixels must have at least one image of at least one pixel, got {counts!r} for {region!r}"
            )
    return [
        Reading(region, scale)
        for region, counts in pixels.items()
        for scale in (1, 1000)
        if _can_be(sads, _divided(mses, scale), None if mads is None else _divided(mads, scale), counts)
    ]


class _Interval(NamedTuple):
    low: float
    high: float


_SLACK = 1e-9  # of floats


def _can_be(sad: _Interval, mse: _Interval, mad: _Interval | None, counts: Sequence[int]) -> bool:
    total = _Interval(1000 * sad.low, 1000 * sad.high)  # the mean over images of the sum over pixels
    least, most = total.low**2 / fmean(count**2 for count in counts), min(1.0, total.high / min(counts))
    possible = total.low <= fmean(counts) * (1 + _SLACK) and _meet(mse, _Interval(least, most))
    if mad is None:
        return possible
    return (
        possible
        and _meet(total, _Interval(min(counts) * mad.low, max(counts) * mad.high))
        and _meet(mad, _Interval(mse.low, min(1.0, math.sqrt(mse.high))))
    )


def _meet(a: _Interval, b: _Interval) -> bool:
    return a.low <= b.high * (1 + _SLACK) and b.low <= a.high * (1 + _SLACK)


def _divided(interval: _Interval, by: float) -> _Interval:
    return _Interval(interval.low / by, interval.high / by)


def _interval(name: str, number: str | float) -> _Interval:
    """All that is printed so: half a unit of the last digit to each side."""
    try:
        value = Decimal(number if isinstance(number, str) else float(number))
    except (InvalidOperation, TypeError, ValueError):
        raise ValueError(f"{name} must be a number, got {number!r}") from None
    if not value.is_finite() or value < 0:
        raise ValueError(f"{name} must be at least 0 and finite, got {number!r}")
    half = Decimal(5).scaleb(int(value.as_tuple().exponent) - 1) if isinstance(number, str) else Decimal(0)
    return _Interval(float(max(value - half, Decimal(0))), float(value + half))

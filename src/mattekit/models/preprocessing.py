"""What a network expects of a photo."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real


@dataclass(frozen=True)
class Preprocessing:
    """How a photo must be brought to a network: the statistics it subtracts and divides by, and the size it knows.

    Attributes:
        mean: Subtracted from each channel of an image in [0, 1].
        std: What each channel is divided by after that.
        max_short_side: The limit of a photo's short side that the network was trained for, in pixels, from 32 up, which
            `mattekit.inference.predict` keeps; None where nothing is known.
        context_short_side: The limit of the short side at which the context branch sees an image, in pixels, from 32
            up: `mattekit.models.PPMatting` shrinks a larger one for it, and the detail branch sees all of its pixels.
            None: both branches see the same.
        antialias: Whether `mattekit.inference.predict` shrinks a photo by means over pixels, as the photos were that
            the network was trained on. PaddleSeg samples, which the published weights know.
        guided: Whether `mattekit.inference.predict` brings the matte to the photo's size along the photo's edges, by
            `mattekit.inference.guided_upsample`, instead of bilinearly as PaddleSeg does.

    Raises:
        TypeError: If a limit is no integer, ``mean`` or ``std`` are not numbers, or ``antialias`` or ``guided`` is no
            bool.
        ValueError: If ``mean`` or ``std`` are not three finite numbers, ``std`` is not positive, or a limit is below
            32.

    Source:
        Mean and std from PaddleSeg.

    Example:
        >>> from mattekit.models import Preprocessing
        >>> Preprocessing(max_short_side=512)  # doctest: +ELLIPSIS
        Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), max_short_side=512, ...)
    """

    mean: Sequence[float] = (0.5, 0.5, 0.5)
    std: Sequence[float] = (0.5, 0.5, 0.5)
    max_short_side: int | None = None
    context_short_side: int | None = None
    antialias: bool = False
    guided: bool = False

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, _three_numbers(name, getattr(self, name)))
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}")
        for name in ("max_short_side", "context_short_side"):
            limit = getattr(self, name)
            if limit is not None and (isinstance(limit, bool) or not isinstance(limit, Integral)):
                raise TypeError(f"{name} must be an integer or None, got {limit!r}")
            if limit is not None and limit < 32:
                raise ValueError(f"{name} must be at least 32, got {limit}")
        for name in ("antialias", "guided"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")


def _three_numbers(name: str, values: object) -> tuple[float, ...]:
    numbers = tuple(values) if isinstance(values, Sequence) and not isinstance(values, str | bytes) else ()
    if not all(isinstance(x, Real) and not isinstance(x, bool) for x in numbers):
        raise TypeError(f"{name} must be three numbers, got {values!r}")
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name} must be three finite numbers, got {values!r}")
    return tuple(map(float, numbers))

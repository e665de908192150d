"""How samples are changed: random numbers are drawn once, then applied to every field by its kind."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mattekit._checks import check_number, check_positive
from mattekit.data.camera import RandomBlur
from mattekit.data.colour import RandomDistort
from mattekit.data.geometry import Pad, RandomCrop, RandomFlip, Resize, check_probability
from mattekit.data.sample import Sample


@runtime_checkable
class Transform(Protocol):
    """Anything that draws parameters for a sample, and applies them to it."""

    def draw(self, sample: Sample, rng: np.random.Generator) -> Any:
        """What is random about it, for this sample."""
        ...

    def apply(self, sample: Sample, params: Any) -> Sample:
        """The changed sample; the same parameters change it in the same way. The given one is left as it was."""
        ...


def check_transform(name: str, transform: object) -> None:
    """Check that it has a transform's two methods: a plain function, such as torchvision takes, has not."""
    if not isinstance(transform, Transform):
        rule = "draw and apply, as mattekit.data.Transform has them"
        raise TypeError(f"{name} must have {rule}, got a {type(transform).__name__}")


class Compose:
    """Transforms one after another.

    Args:
        transforms: In their order.

    Raises:
        TypeError: If one is no transform.

    Example:
        >>> from mattekit.data import RandomCrop, RandomFlip, Resize, SyntheticMattes
        >>> transform = Compose([RandomCrop(200), RandomFlip(), Resize(64)])
        >>> rng = np.random.default_rng(0)
        >>> sample = SyntheticMattes(seed=0)(0, rng)
        >>> transform.apply(sample, transform.draw(sample, rng)).size
        (64, 64)
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = tuple(transforms)
        for index, transform in enumerate(self.transforms):
            check_transform(f"transforms[{index}]", transform)

    def draw(self, sample: Sample, rng: np.random.Generator) -> int:
        """A seed: what each transform draws depends on what the ones before it made of the sample."""
        return int(rng.integers(2**63))

    def apply(self, sample: Sample, params: int) -> Sample:
        """Let each transform draw and apply, in turn."""
        rng = np.random.default_rng(params)
        for transform in self.transforms:
            sample = transform.apply(sample, transform.draw(sample, rng))
        return sample


class RandomApply:
    """A transform for some samples, and nothing for the others.

    Args:
        transform: What to do.
        probability: How often.

    Raises:
        TypeError: If ``transform`` is none.
        ValueError: If the probability is not from 0 to 1.

    Example:
        >>> from mattekit.data import RandomNoise
        >>> RandomApply(RandomNoise(), 0.1).draw(None, np.random.default_rng(0)) is None
        True
    """

    def __init__(self, transform: Transform, probability: float) -> None:
        check_transform("transform", transform)
        check_probability("probability", probability)
        self.transform = transform
        self.probability = probability

    def draw(self, sample: Sample, rng: np.random.Generator) -> tuple[Any] | None:
        """What the transform draws, or None to leave the sample alone."""
        return (self.transform.draw(sample, rng),) if rng.random() < self.probability else None

    def apply(self, sample: Sample, params: tuple[Any] | None) -> Sample:
        """Change the sample, or hand it on."""
        return sample if params is None else self.transform.apply(sample, *params)


def paper_transform(size: int = 512, *, crops: Sequence[int] | None = None) -> Compose:
    """The paper's transform: crop, pad, resize, distort, blur, flip.

    Args:
        size: The side of what comes out, in pixels.
        crops: The sides to crop to, one of which is drawn for each sample; by default 1, 1.25 and 1.5625 times the
            size, which for 512 are the paper's 512, 640 and 800. A smaller photo is cropped to a square as large as
            fits, and padded to ``size`` where it is smaller than that.

    Returns:
        The transform.

    Source:
        Section 4.2. What it leaves open is as in PaddleSeg's configuration: half of the crops lie round a pixel whose
        alpha is neither 0 nor 1; distortion is by up to half of brightness, contrast and saturation and 18 degrees of
        hue, each for half of the samples; a tenth of them are blurred, their mattes with them.

    Example:
        >>> from mattekit.data import SyntheticMattes
        >>> transform, rng = paper_transform(224), np.random.default_rng(0)
        >>> sample = SyntheticMattes(seed=0)(0, rng)
        >>> transform.apply(sample, transform.draw(sample, rng)).size
        (224, 224)
    """
    check_number("size", size, Integral)
    check_positive("size", size)
    if crops is None:
        crops = [size, size * 5 // 4, size * 25 // 16]
    return Compose(
        [
            RandomCrop(crops, around_unknown=0.5),
            Pad(size),
            Resize(size),
            RandomDistort(),
            RandomApply(RandomBlur(), 0.1),
            RandomFlip(),
        ]
    )

"""Colour: pictures change, alpha and trimap stay."""

from dataclasses import replace

import numpy as np

from mattekit._checks import check_nonnegative
from mattekit.data.geometry import check_probability
from mattekit.data.sample import PICTURES, Sample

GREY = np.array([0.299, 0.587, 0.114])  # how bright red, green and blue are (ITU-R BT.601)


class RandomDistort:
    """Change brightness, contrast, saturation and hue, of the photo and its layers alike.

    It is one affine map of the colours, so that the photo remains what its layers make, but where values are clipped.

    Args:
        brightness: The largest change: factors are drawn from 1 - this to 1 + this.
        contrast: Likewise, about the photo's mean grey.
        saturation: Likewise.
        hue: The largest turn in degrees, either way.
        probability: How often each of the four is changed.

    Raises:
        TypeError: If one is no number.
        ValueError: If one is negative, or the probability not from 0 to 1.

    Source:
        Ranges and probabilities: PaddleSeg's ``RandomDistort``, which the paper's "random distortion" is there.

    Example:
        >>> sample = Sample(np.full((4, 4, 3), 100, np.uint8), np.ones((4, 4), np.float32))
        >>> distort = RandomDistort(brightness=0.5, probability=1)
        >>> matrix = distort.draw(sample, np.random.default_rng(0))
        >>> matrix.shape, distort.apply(sample, matrix).image[0, 0]
        ((3, 4), array([114, 114, 114], dtype=uint8))
    """

    def __init__(
        self,
        *,
        brightness: float = 0.5,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 18.0,
        probability: float = 0.5,
    ) -> None:
        ranges = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
        for name, value in ranges.items():
            check_nonnegative(name, value)
        check_probability("probability", probability)
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        self.probability = probability

    def draw(self, sample: Sample, rng: np.random.Generator) -> np.ndarray:
        """The map of colours in [0, 1], (3, 4): a matrix and what is added."""
        import cv2

        ranges = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        changes = rng.uniform(-ranges, ranges) * (rng.random(4) < self.probability)
        brightness, contrast, saturation = 1 + changes[:3]
        scale = 255 if sample.image.dtype == np.uint8 else 1
        mean = float(GREY @ cv2.mean(sample.image)[:3]) / scale
        colour = _turn(np.deg2rad(changes[3])) @ (
            np.outer(np.ones(3), GREY) * (1 - saturation) + saturation * np.eye(3)
        )
        pivot = mean * brightness * (1 - contrast)  # grey stays grey under saturation and hue
        return np.column_stack([brightness * contrast * colour, np.full(3, pivot)])

    def apply(self, sample: Sample, params: np.ndarray) -> Sample:
        """Map the colours of every picture."""
        import cv2

        is_uint8 = sample.image.dtype == np.uint8
        matrix = params * [1, 1, 1, 255] if is_uint8 else params

        def change(picture: np.ndarray) -> np.ndarray:
            changed = cv2.transform(picture, matrix)
            return changed if is_uint8 else np.clip(changed, 0, 1)

        pictures = {name: getattr(sample, name) for name in PICTURES}
        return replace(sample, **{name: change(p) for name, p in pictures.items() if p is not None})


def _turn(angle: float) -> np.ndarray:
    """The turn of colours about the axis of greys, as a matrix (3, 3)."""
    around = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return np.eye(3) * np.cos(angle) + np.full((3, 3), 1 / 3) * (1 - np.cos(angle)) + around * np.sin(angle)

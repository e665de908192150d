"""What lenses, sensors and files do to a photo.

A blur moves colours, so the matte is blurred with the photo. Noise, compression and a loss of resolution are of the
photo alone: the matte and the layers stay what they were.
"""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral

import numpy as np

from mattekit._checks import check_nonnegative, is_span
from mattekit.data.geometry import move
from mattekit.data.sample import Sample
from mattekit.trimap import BACKGROUND, FOREGROUND, UNKNOWN


class RandomBlur:
    """Blur the photo, its layers and its matte by a Gaussian.

    What a trimap called known and the blur made fractional becomes unknown.

    Args:
        sizes: The kernels to draw from, in pixels, odd.

    Raises:
        ValueError: If there is no size, or one is no odd and positive integer.

    Source:
        PaddleSeg's ``RandomBlur``: kernels of 3 to 9, with OpenCV's sigma for them, on the matte too.

    Example:
        >>> sample = Sample(np.zeros((5, 5, 3), np.uint8), np.eye(5, dtype=np.float32))
        >>> RandomBlur().apply(sample, 3).alpha[2, 2]
        np.float32(0.375)
    """

    def __init__(self, sizes: tuple[int, ...] = (3, 5, 7, 9)) -> None:
        several = isinstance(sizes, Sequence) and len(sizes) > 0
        if not several or not all(isinstance(size, Integral) and size > 0 and size % 2 for size in sizes):
            raise ValueError(f"sizes must be odd and positive integers, at least one, got {sizes!r}")
        self.sizes = sizes

    def draw(self, sample: Sample, rng: np.random.Generator) -> int:
        """The kernel's side."""
        return int(rng.choice(self.sizes))

    def apply(self, sample: Sample, params: int) -> Sample:
        """Blur all but the trimap."""
        import cv2

        blurred = move(sample, lambda field: cv2.GaussianBlur(field, (params, params), 0), lambda trimap: trimap)
        if blurred.trimap is None:
            return blurred
        wrong = (blurred.trimap == FOREGROUND) & (blurred.alpha < 1) | (blurred.trimap == BACKGROUND) & (
            blurred.alpha > 0
        )
        return replace(blurred, trimap=np.where(wrong, np.uint8(UNKNOWN), blurred.trimap))


class RandomNoise:
    """Add Gaussian noise to the photo.

    Args:
        largest: The largest standard deviation, in steps of 1/255; it is drawn from 0 to this.

    Example:
        >>> sample = Sample(np.full((4, 4, 3), 100, np.uint8), np.ones((4, 4), np.float32))
        >>> noise = RandomNoise(8)
        >>> noisy = noise.apply(sample, noise.draw(sample, np.random.default_rng(0)))
        >>> noisy.image.std() > 1
        np.True_
    """

    def __init__(self, largest: float = 8.0) -> None:
        check_nonnegative("largest", largest)
        self.largest = largest

    def draw(self, sample: Sample, rng: np.random.Generator) -> tuple[float, int]:
        """The standard deviation, and the noise's seed."""
        return float(rng.uniform(0, self.largest)), int(rng.integers(2**63))

    def apply(self, sample: Sample, params: tuple[float, int]) -> Sample:
        """Add the noise to the image."""
        deviation, seed = params
        noise = np.random.default_rng(seed).standard_normal(sample.image.shape, dtype=np.float32)
        if sample.image.dtype == np.uint8:
            noisy = np.rint(sample.image + noise * np.float32(deviation))
            return replace(sample, image=np.clip(noisy, 0, 255).astype(np.uint8))
        return replace(sample, image=np.clip(sample.image + noise * np.float32(deviation / 255), 0, 1))


class RandomJpeg:
    """Compress the photo as a JPEG.

    Args:
        quality: The least and the largest quality.

    Raises:
        ValueError: If they are not integers, or no range within 1 to 100.

    Example:
        >>> sample = Sample(np.full((4, 4, 3), 100, np.uint8), np.ones((4, 4), np.float32))
        >>> RandomJpeg().apply(sample, 60).image[0, 0]
        array([100, 100, 100], dtype=uint8)
    """

    def __init__(self, quality: tuple[int, int] = (50, 95)) -> None:
        if not is_span(quality, Integral) or not (quality[0] >= 1 and quality[1] <= 100):
            raise ValueError(f"quality must be a least and a largest, integers from 1 to 100, got {quality!r}")
        self.quality = quality

    def draw(self, sample: Sample, rng: np.random.Generator) -> int:
        """The quality."""
        return int(rng.integers(self.quality[0], self.quality[1], endpoint=True))

    def apply(self, sample: Sample, params: int) -> Sample:
        """Write and read the image."""
        import cv2

        image = sample.image
        is_uint8 = image.dtype == np.uint8
        pixels = image if is_uint8 else np.rint(image * 255).astype(np.uint8)
        _, file = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, params])
        pixels = np.ascontiguousarray(np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))[..., ::-1])
        return replace(sample, image=pixels if is_uint8 else pixels.astype(np.float32) / 255)


class RandomDownscale:
    """Shrink the photo and enlarge it again.

    Args:
        scale: The least and the largest scale in between, at most 1.

    Raises:
        ValueError: If they are not a range within 0 to 1.

    Example:
        >>> sample = Sample(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32))
        >>> RandomDownscale().apply(sample, 0.5).size
        (8, 8)
    """

    def __init__(self, scale: tuple[float, float] = (0.25, 1.0)) -> None:
        if not is_span(scale) or not (scale[0] > 0 and scale[1] <= 1):
            raise ValueError(f"scale must be a least and a largest, above 0 and at most 1, got {scale!r}")
        self.scale = scale

    def draw(self, sample: Sample, rng: np.random.Generator) -> float:
        """The scale in between."""
        return float(rng.uniform(*self.scale))

    def apply(self, sample: Sample, params: float) -> Sample:
        """Resize the image twice."""
        import cv2

        height, width = sample.size
        small = (max(1, round(width * params)), max(1, round(height * params)))
        image = cv2.resize(sample.image, small, interpolation=cv2.INTER_AREA)
        return replace(sample, image=cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))

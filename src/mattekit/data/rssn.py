"""RSSN: composites whose foreground and background look as if one camera had taken them."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mattekit.data.composites import compose
from mattekit.data.geometry import check_probability
from mattekit.data.sample import Sample


class RSSNParams(NamedTuple):
    """What `RSSN` does to a sample: denoise both layers, blur the background, add noise. 0 and None: not."""

    denoise: bool
    blur: int
    noise: int | None


class RSSN:
    """Lessen the discrepancies between the layers of a composite: in noise, and in sharpness.

    Each with a probability of its own: both layers are denoised; the background is blurred, as a lens of large aperture
    does; the same noise is added to both. Then they are composed anew. Samples without layers stay as they are.

    Args:
        probability: How often each of the three is done.
        blurs: Sides of the box to draw from, in pixels.
        noise: Standard deviation, in steps of 1/255.

    Source:
        Li et al., Bridging Composite and Real, IJCV 2022, and its code: boxes of 20 to 60, σ = 10, each for half of the
        samples. The authors denoise beforehand by BM3D; this takes OpenCV's non-local means, as PaddleSeg does. Their
        first part, resolution, is the choice of backgrounds that are as large as the foregrounds.

    Example:
        >>> from mattekit.data import SyntheticMattes
        >>> rng = np.random.default_rng(0)
        >>> sample = SyntheticMattes(seed=0, size=64)(0, rng)
        >>> rssn = RSSN()
        >>> rssn.apply(sample, rssn.draw(sample, rng)).has_layers
        True
    """

    def __init__(
        self, *, probability: float = 0.5, blurs: tuple[int, ...] = (20, 30, 40, 50, 60), noise: float = 10.0
    ) -> None:
        check_probability("probability", probability)
        if not blurs or min(blurs) < 1:
            raise ValueError(f"blurs must be positive and at least one, got {blurs!r}")
        self.probability = probability
        self.blurs = blurs
        self.noise = noise

    def draw(self, sample: Sample, rng: np.random.Generator) -> RSSNParams:
        """Which of the three, the box's side, and the noise's seed."""
        denoise, blur, noise = (bool(done) for done in rng.random(3) < self.probability)
        side, seed = int(rng.choice(self.blurs)), int(rng.integers(2**63))
        return RSSNParams(denoise, side if blur else 0, seed if noise else None)

    def apply(self, sample: Sample, params: RSSNParams) -> Sample:
        """Change the layers and compose them."""
        import cv2

        if sample.foreground is None or sample.background is None:
            return sample
        foreground, background = sample.foreground, sample.background
        if params.denoise:
            foreground, background = _denoise(foreground), _denoise(background)
        if params.blur:
            background = cv2.blur(background, (params.blur, params.blur))
        if params.noise is not None:
            noise = np.random.default_rng(params.noise).standard_normal(foreground.shape, np.float32) * self.noise
            foreground, background = _add(foreground, noise), _add(background, noise)
        made = compose(foreground, sample.alpha, background)
        return replace(sample, image=made.image, foreground=foreground, background=background)


def _denoise(picture: np.ndarray) -> np.ndarray:
    import cv2

    pixels = picture if picture.dtype == np.uint8 else np.rint(picture * 255).astype(np.uint8)
    denoised = cv2.fastNlMeansDenoisingColored(pixels, None, 3, 3, 7, 21)
    return denoised if picture.dtype == np.uint8 else denoised.astype(np.float32) / 255


def _add(picture: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A picture with noise, in steps of 1/255, clipped."""
    if picture.dtype == np.uint8:
        return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    return np.clip(picture + noise / np.float32(255), 0, 1)

"""Geometry: every field moves, colours and alpha by interpolation, the trimap by the nearest pixel.

Where foreground and background are known, each is interpolated in proportion to how much of it shows. So the photo
remains what its layers make, I = αF + (1 - α)B, wherever the pixels go, and a cut-out's hidden colours never bleed into
its edge.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from numbers import Integral

import numpy as np

from mattekit._checks import check_nonnegative, check_number, check_positive, is_span
from mattekit.data.sample import PICTURES, Sample

Move = Callable[[np.ndarray], np.ndarray]
_SUMS = 1e-5  # how far OpenCV's averages of ones may be from 1: its weights are rounded. GCA-Matting's bound, too


def move(sample: Sample, linear: Move, nearest: Move) -> Sample:
    """Move every field.

    Args:
        sample: What to move.
        linear: How colours and alpha move: a linear map that takes averages, of (H, W) and (H, W, 3), uint8 and
            float32.
        nearest: How the trimap moves.

    Returns:
        The moved sample, whose photo is what its layers make to the rounding of ``linear``, if it was so before.
    """
    alpha = np.clip(linear(sample.alpha), 0, 1)
    alpha[alpha > 1 - _SUMS] = 1  # or a trimap would have no foreground, and the background layer would turn black
    alpha[alpha < _SUMS] = 0
    return replace(
        sample,
        image=linear(sample.image),
        alpha=alpha,
        foreground=_move_layer(sample.foreground, sample.alpha, alpha, linear),
        background=_move_layer(sample.background, 1 - sample.alpha, 1 - alpha, linear),
        trimap=None if sample.trimap is None else nearest(sample.trimap),
    )


def _move_layer(colours: np.ndarray | None, share: np.ndarray, moved_share: np.ndarray, linear: Move):
    """A layer's colours, weighted by its share of each pixel; where none of it shows, all weigh the same."""
    import cv2

    if colours is None:
        return None
    moved = linear(colours)
    shown = linear(colours * cv2.merge((share, share, share)))
    np.divide(shown, moved_share[..., None], out=shown, where=moved_share[..., None] > 0)
    if moved.dtype == np.uint8:
        shown = np.rint(shown)
    shown = np.clip(shown, 0, 255 if moved.dtype == np.uint8 else 1).astype(moved.dtype)
    return np.where(moved_share[..., None] > 0, shown, moved)


def rearrange(sample: Sample, function: Move) -> Sample:
    """Crop, flip or turn every field: pixels go elsewhere and keep their values."""
    fields = {name: getattr(sample, name) for name in (*PICTURES, "alpha", "trimap")}
    return replace(sample, **{name: function(value) for name, value in fields.items() if value is not None})


class RandomCrop:
    """Crop to a square, or to the whole height or width where the photo is smaller.

    Args:
        sizes: The side in pixels, or several, one of which is drawn for each sample. Of a photo smaller than that the
            largest square is taken that fits, but for sides shorter than the smallest size, which stay whole.
        around_unknown: How often the crop's centre is a pixel whose alpha is neither 0 nor 1, as far as the borders
            allow.

    Raises:
        ValueError: If a size is not positive, or the probability not from 0 to 1.

    Example:
        >>> from mattekit.data import SyntheticMattes
        >>> crop, rng = RandomCrop((32, 64)), np.random.default_rng(0)
        >>> sample = SyntheticMattes(seed=0)(0, rng)
        >>> crop.apply(sample, crop.draw(sample, rng)).size
        (64, 64)
    """

    def __init__(self, sizes: int | Sequence[int], *, around_unknown: float = 0.0) -> None:
        several = list(sizes) if isinstance(sizes, Iterable) else [sizes]
        if not several:
            raise ValueError("sizes must hold at least one, got none")
        for size in several:
            check_number("sizes", size, Integral)
            check_positive("sizes", size)
        self.sizes = tuple(int(size) for size in several)
        check_probability("around_unknown", around_unknown)
        self.around_unknown = around_unknown

    def draw(self, sample: Sample, rng: np.random.Generator) -> tuple[slice, slice]:
        """Rows and columns of the crop."""
        wanted = int(rng.choice(self.sizes))
        side = max(min(wanted, *sample.size), min(self.sizes))
        centre = _unknown_pixel(sample.alpha, rng) if rng.random() < self.around_unknown else None
        if centre is None:
            starts = [int(rng.integers(max(length - side, 0) + 1)) for length in sample.size]
        else:
            starts = [
                min(max(c - side // 2, 0), max(length - side, 0)) for c, length in zip(centre, sample.size, strict=True)
            ]
        rows, columns = (slice(start, start + side) for start in starts)
        return rows, columns

    def apply(self, sample: Sample, params: tuple[slice, slice]) -> Sample:
        """Crop every field."""
        return rearrange(sample, lambda field: np.ascontiguousarray(field[params]))


def _unknown_pixel(alpha: np.ndarray, rng: np.random.Generator) -> tuple[int, int] | None:
    """Row and column of a pixel whose alpha is neither 0 nor 1, if there is one."""
    unknown = np.flatnonzero((alpha > 0) & (alpha < 1))
    if not len(unknown):
        return None
    row, column = divmod(int(rng.choice(unknown)), alpha.shape[1])
    return row, column


class Pad:
    """Pad what is smaller at the bottom and the right: pictures with mid-grey, alpha and trimap with background.

    Args:
        size: The least height and width in pixels.

    Source:
        Section 4.2; where and with what, as PaddleSeg's ``Padding``.

    Example:
        >>> sample = Sample(np.zeros((4, 9, 3), np.uint8), np.ones((4, 9), np.float32))
        >>> padded = Pad(8).apply(sample, None)
        >>> padded.size, padded.image[-1, 0], padded.alpha[-1, 0]
        ((8, 9), array([128, 128, 128], dtype=uint8), np.float32(0.0))
    """

    def __init__(self, size: int) -> None:
        check_number("size", size, Integral)
        check_positive("size", size)
        self.size = int(size)

    def draw(self, sample: Sample, rng: np.random.Generator) -> None:
        """Nothing is random about it."""

    def apply(self, sample: Sample, params: None) -> Sample:
        """Pad every field."""
        height, width = (max(self.size - length, 0) for length in sample.size)
        if not height and not width:
            return sample

        def pad(field: np.ndarray) -> np.ndarray:
            grey = 128 if field.dtype == np.uint8 else np.float32(128 / 255)
            edges = ((0, height), (0, width), (0, 0))[: field.ndim]
            return np.pad(field, edges, constant_values=grey if field.ndim == 3 else 0)

        return rearrange(sample, pad)


class Resize:
    """Resize to a square: averaging over areas where it shrinks, linearly where it grows.

    Args:
        size: The side in pixels.

    Example:
        >>> sample = Sample(np.zeros((4, 9, 3), np.uint8), np.ones((4, 9), np.float32))
        >>> Resize(6).apply(sample, None).size
        (6, 6)
    """

    def __init__(self, size: int) -> None:
        check_number("size", size, Integral)
        check_positive("size", size)
        self.size = int(size)

    def draw(self, sample: Sample, rng: np.random.Generator) -> None:
        """Nothing is random about it."""

    def apply(self, sample: Sample, params: None) -> Sample:
        """Resize every field."""
        return resize(sample, (self.size, self.size))


def resize(sample: Sample, size: tuple[int, int]) -> Sample:
    """Resize a sample to a height and width: over areas where it shrinks, linearly where it grows."""
    import cv2

    if sample.size == tuple(size):
        return sample
    shrinks = size[0] <= sample.size[0] and size[1] <= sample.size[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    shape = (size[1], size[0])
    return move(
        sample,
        lambda field: cv2.resize(field, shape, interpolation=how),
        lambda field: cv2.resize(field, shape, interpolation=cv2.INTER_NEAREST_EXACT),
    )


class RandomFlip:
    """Swap left and right.

    Args:
        probability: How often.

    Example:
        >>> sample = Sample(np.zeros((1, 3, 3), np.uint8), np.array([[0, 0.5, 1]], np.float32))
        >>> RandomFlip().apply(sample, True).alpha
        array([[1. , 0.5, 0. ]], dtype=float32)
    """

    def __init__(self, probability: float = 0.5) -> None:
        check_probability("probability", probability)
        self.probability = probability

    def draw(self, sample: Sample, rng: np.random.Generator) -> bool:
        """Whether to flip."""
        return bool(rng.random() < self.probability)

    def apply(self, sample: Sample, params: bool) -> Sample:
        """Flip every field."""
        import cv2

        return rearrange(sample, lambda field: cv2.flip(field, 1)) if params else sample


class RandomAffine:
    """Turn, scale, shear and shift about the middle; beyond the border the photo is mirrored.

    Args:
        degrees: The largest turn, either way.
        scale: The least and the largest scale.
        shear: The largest shear, in degrees, either way.
        shift: The largest shift, as a share of height and width, either way.

    Raises:
        TypeError: If one of the others is no number.
        ValueError: If the scale is not a least and a largest, both positive, or one of the others is negative.

    Example:
        >>> affine, rng = RandomAffine(degrees=30), np.random.default_rng(0)
        >>> sample = Sample(np.zeros((32, 48, 3), np.uint8), np.ones((32, 48), np.float32))
        >>> affine.draw(sample, rng).shape, affine.apply(sample, affine.draw(sample, rng)).size
        ((2, 3), (32, 48))
    """

    def __init__(
        self,
        *,
        degrees: float = 30.0,
        scale: tuple[float, float] = (0.8, 1.25),
        shear: float = 10.0,
        shift: float = 0.0,
    ) -> None:
        if not is_span(scale) or not scale[0] > 0:
            raise ValueError(f"scale must be a least and a largest, both positive, got {scale!r}")
        for name, value in (("degrees", degrees), ("shear", shear), ("shift", shift)):
            check_nonnegative(name, value)
        self.degrees = degrees
        self.scale = scale
        self.shear = shear
        self.shift = shift

    def draw(self, sample: Sample, rng: np.random.Generator) -> np.ndarray:
        """The matrix (2, 3) from old to new pixels."""
        angle, shear = np.deg2rad(rng.uniform(-1, 1, 2) * (self.degrees, self.shear))
        scale = float(np.exp(rng.uniform(*np.log(self.scale))))
        height, width = sample.size
        shift = rng.uniform(-self.shift, self.shift, 2) * (width, height)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = scale * turn @ np.array([[1, np.tan(shear)], [0, 1]])
        middle = np.array([width - 1, height - 1]) / 2
        return np.column_stack([linear, middle + shift - linear @ middle])

    def apply(self, sample: Sample, params: np.ndarray) -> Sample:
        """Warp every field."""
        import cv2

        shape = (sample.size[1], sample.size[0])

        def warp(field: np.ndarray, how: int) -> np.ndarray:
            return cv2.warpAffine(field, params, shape, flags=how, borderMode=cv2.BORDER_REFLECT_101)

        return move(sample, lambda field: warp(field, cv2.INTER_LINEAR), lambda field: warp(field, cv2.INTER_NEAREST))


def check_probability(name: str, value: float) -> None:
    """Check that it is a number from 0 to 1."""
    check_number(name, value)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value!r}")

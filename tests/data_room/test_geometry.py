"""Every field moves together, and a photo remains what its layers make."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mattekit import trimap
from mattekit.data import (
    Compose,
    Pad,
    RandomAffine,
    RandomBlur,
    RandomCrop,
    RandomFlip,
    Resize,
    Sample,
    compose,
)

GEOMETRY = {
    "crop": RandomCrop((5, 9, 14), around_unknown=0.5),
    "pad": Pad(20),
    "resize": Resize(13),
    "flip": RandomFlip(),
    "affine": RandomAffine(degrees=90, scale=(0.3, 3), shear=30, shift=0.3),
    "blur": RandomBlur(),
    "all": Compose([RandomAffine(), RandomCrop(16), Pad(24), Resize(20), RandomBlur(), RandomFlip()]),
}


def layered(rng, height, width, kind):
    """A sample of noise, whose matte has parts that are exactly 0 and 1."""
    alpha = np.clip(rng.uniform(-1, 2, (height, width)), 0, 1).astype(np.float32)
    pictures = [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(2)]
    if kind == np.float32:
        pictures = [(picture / 255).astype(np.float32) for picture in pictures]
    return compose(pictures[0], alpha, pictures[1])


def residual(sample):
    """How far the photo is from αF + (1 - α)B, in steps of 1/255."""
    alpha = sample.alpha[..., None].astype(np.float64)
    made = alpha * sample.foreground + (1 - alpha) * sample.background
    return np.abs(sample.image - made).max() * (1 if sample.image.dtype == np.uint8 else 255)


@pytest.mark.parametrize("name", GEOMETRY)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@given(seed=st.integers(0, 2**32), height=st.integers(1, 30), width=st.integers(1, 30))
def test_a_photo_remains_what_its_layers_make(name, kind, seed, height, width):
    """In 8 bits photo and layers are rounded, by half a step each, at each of the steps that interpolate.

    OpenCV's own weights for 8 bits have 11 bits or more, which is another quarter of a step.
    """
    rng = np.random.default_rng(seed)
    sample, transform = layered(rng, height, width, kind), GEOMETRY[name]
    moved = transform.apply(sample, transform.draw(sample, rng))
    steps = {"crop": 0, "pad": 0, "flip": 0, "all": 3}.get(name, 1)
    rounding = 1.25 * steps if kind == np.uint8 else 0.01
    assert residual(moved) <= residual(sample) + rounding + 1e-4


@pytest.mark.parametrize("name", GEOMETRY)
def test_a_field_alone_moves_as_among_others(name):
    rng, transform = np.random.default_rng(1), GEOMETRY[name]
    sample = layered(rng, 21, 17, np.uint8)
    params = transform.draw(sample, rng)
    whole = transform.apply(sample, params)
    alone = transform.apply(Sample(sample.image, sample.alpha), params)
    assert np.array_equal(whole.image, alone.image)
    assert np.array_equal(whole.alpha, alone.alpha)
    assert alone.foreground is alone.background is alone.trimap is None


@pytest.mark.parametrize("name", GEOMETRY)
def test_nothing_is_written_to(name):
    rng, transform = np.random.default_rng(2), GEOMETRY[name]
    sample = layered(rng, 21, 17, np.uint8)
    sample = Sample(
        sample.image, sample.alpha, sample.foreground, sample.background, trimap.from_alpha(sample.alpha, width=1)
    )
    fields = [sample.image, sample.alpha, sample.foreground, sample.background, sample.trimap]
    before = [field.copy() for field in fields]
    for field in fields:
        field.flags.writeable = False
    moved = transform.apply(sample, transform.draw(sample, rng))
    assert all(np.array_equal(a, b) for a, b in zip(before, fields, strict=True))
    trimap.validate(moved.trimap)


def test_the_position_of_every_field_is_the_same():
    """A ramp in each field: after a move, all of them tell the same coordinates."""
    rows = np.arange(64, dtype=np.float32)[:, None].repeat(48, 1) / 64
    sample = Sample(np.dstack([rows] * 3), rows, trimap=(rows * 255).astype(np.uint8))
    rng = np.random.default_rng(3)
    for transform in (RandomCrop(20), RandomAffine(), Resize(40), RandomFlip(1)):
        moved = transform.apply(sample, transform.draw(sample, rng))
        assert np.allclose(moved.image[..., 0], moved.alpha, atol=1e-6)
        assert np.abs(moved.trimap / 255 - moved.alpha).max() < 2.5 / 64  # the nearest row, scaled by 1.25 at most


def test_hidden_colours_do_not_bleed():
    """The file of a cut-out is often black where it is clear; halving it must not darken its edge."""
    alpha = np.zeros((8, 8), np.float32)
    alpha[:, 3:] = 1
    colours = np.where(alpha[..., None] > 0, np.uint8(200), np.uint8(0)).repeat(3, -1)
    small = Resize(4).apply(Sample(colours, alpha, foreground=colours), None)
    assert small.alpha[0].tolist() == [0, 0.5, 1, 1]
    assert small.foreground[0, :, 0].tolist() == [0, 200, 200, 200]


@pytest.mark.parametrize("size", [224, 256])
@pytest.mark.parametrize("ratio", [5 / 4, 25 / 16, 7.3])
def test_what_was_known_stays_known(size, ratio):
    """OpenCV's averages of ones over areas are a few ulp short of 1; each crop of `paper_transform` was so averaged."""
    side = int(size * ratio)
    layers = np.full((side, side, 3), 200, np.uint8), np.full((side, side, 3), 90, np.uint8)
    for value in (0, 1):
        moved = Resize(size).apply(compose(layers[0], np.full((side, side), value, np.float32), layers[1]), None)
        assert (moved.alpha == value).all()
        assert (moved.foreground == 200).all()
        assert (moved.background == 90).all()


def test_crops_lie_round_unknown_pixels():
    alpha = np.zeros((50, 60), np.float32)
    alpha[3, 55] = 0.5  # near a corner: the crop is moved inside
    sample = Sample(np.zeros((50, 60, 3), np.uint8), alpha)
    crop, rng = RandomCrop(16, around_unknown=1), np.random.default_rng(0)
    for _ in range(20):
        cropped = crop.apply(sample, crop.draw(sample, rng))
        assert cropped.size == (16, 16)
        assert cropped.alpha.max() == 0.5


@pytest.mark.parametrize(
    ("size", "sizes", "expected"),
    [
        ((100, 90), (32,), (32, 32)),
        ((40, 90), (32, 64), {(32, 32), (40, 40)}),
        ((20, 90), (32,), (20, 32)),
        ((20, 10), (32,), (20, 10)),
    ],
)
def test_crops_of_small_photos(size, sizes, expected):
    sample = Sample(np.zeros((*size, 3), np.uint8), np.zeros(size, np.float32))
    crop, rng = RandomCrop(sizes), np.random.default_rng(0)
    found = {crop.apply(sample, crop.draw(sample, rng)).size for _ in range(20)}
    assert found == (expected if isinstance(expected, set) else {expected})


def test_a_blurred_matte_is_unknown_where_it_is_fractional():
    alpha = np.zeros((9, 9), np.float32)
    alpha[:, 5:] = 1
    sample = Sample(np.zeros((9, 9, 3), np.uint8), alpha, trimap=trimap.from_alpha(alpha, width=0))
    blurred = RandomBlur().apply(sample, 5)
    assert (blurred.trimap[0] == trimap.UNKNOWN).tolist() == ((blurred.alpha[0] > 0) & (blurred.alpha[0] < 1)).tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCrop(()), "sizes must hold at least one"),
        (lambda: RandomCrop(0), "sizes must be positive"),
        (lambda: RandomCrop(4, around_unknown=2), "around_unknown must be from 0 to 1"),
        (lambda: RandomFlip(-1), "probability must be from 0 to 1"),
        (lambda: RandomAffine(scale=(2, 1)), "scale must be a least and a largest"),
        (lambda: RandomAffine(scale=1.5), "scale must be a least and a largest"),
        (lambda: RandomAffine(degrees=-30), "degrees must not be negative"),
        (lambda: RandomBlur((4,)), "sizes must be odd"),
        (lambda: RandomBlur((2.5,)), "sizes must be odd"),
        (lambda: RandomBlur(3), "sizes must be odd"),
        (lambda: Resize(0), "size must be positive"),
    ],
)
def test_impossible_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_range_is_no_largest_turn():
    """torchvision's transforms take one."""
    with pytest.raises(TypeError, match=r"^degrees must be a number, got \(-30, 30\)$"):
        RandomAffine(degrees=(-30, 30))

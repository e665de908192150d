"""A matte brought to a photo's size along the photo's edges."""

import re
import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mattekit.inference import Augmentation, guided, guided_upsample, predict, predict_windowed, prepare
from mattekit.models import Preprocessing
from mattekit.photos import limit_short_side, resize
from oracles.networks import small, trained_looking


def pixels(rng, height, width, dtype=np.uint8):
    if dtype == np.float32:
        return rng.random((height, width, 3), dtype=np.float32)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)


def by_least_squares(alpha, shrunk, image, radius, eps):
    """Window by window, in float64: the ridge regression of alpha on colours; means of its coefficients; bilinear."""
    height, width = alpha.shape
    pad = [(radius, radius), (radius, radius)]
    colours = np.pad(shrunk.astype(np.float64) / 255, [*pad, (0, 0)], mode="symmetric")
    mattes = np.pad(alpha.astype(np.float64), pad, mode="symmetric")
    fitted = np.empty((height, width, 4))
    side = 2 * radius + 1
    for y in range(height):
        for x in range(width):
            window = np.s_[y : y + side, x : x + side]
            centred = colours[window].reshape(-1, 3) - colours[window].reshape(-1, 3).mean(0)
            count = side * side
            gram = centred.T @ centred + count * eps * np.eye(3)
            slopes = np.linalg.solve(gram, centred.T @ (mattes[window].ravel() - mattes[window].mean()))
            slopes *= np.ptp(mattes[window]) >= 1 / 255
            fitted[y, x] = *slopes, mattes[window].mean() - slopes @ colours[window].reshape(-1, 3).mean(0)
    padded = np.pad(fitted, [*pad, (0, 0)], mode="symmetric")
    means = np.empty_like(fitted)
    for y in range(height):
        for x in range(width):
            means[y, x] = padded[y : y + side, x : x + side].mean((0, 1))
    large = cv2.resize(means, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return ((large[..., :3] * (image / 255)).sum(2) + large[..., 3]).clip(0, 1)


@pytest.mark.parametrize("size", [(12, 17), (30, 17), (129, 41)])
@pytest.mark.parametrize(("radius", "eps"), [(1, 1e-3), (2, 1e-4), (3, 1e-2)])
def test_agrees_with_a_loop_of_least_squares(size, radius, eps):
    rng = np.random.default_rng(0)
    shrunk, image, alpha = pixels(rng, 12, 17), pixels(rng, *size), rng.random((12, 17), dtype=np.float32)
    expected = by_least_squares(alpha, shrunk, image, radius, eps)
    # variances are differences of means in float32, rounded to 6e-8, and are divided by beside eps
    result = guided_upsample(alpha, shrunk, image, radius=radius, eps=eps)
    np.testing.assert_allclose(result, expected, rtol=0, atol=6e-8 / eps + 1e-5)


@pytest.mark.parametrize("size", [(40, 60), (100, 47), (31, 43)])
def test_windows_in_which_the_matte_hardly_varies_do_not_follow_colours(size):
    rng = np.random.default_rng(0)
    shrunk, image = pixels(rng, 40, 47), pixels(rng, *size)
    alpha = rng.random((40, 47), dtype=np.float32) / 400  # less than a 255th
    alpha[20:] += 0.5
    alpha[30:, :20] = rng.random((10, 20), dtype=np.float32) / 150  # more than a 255th
    alpha[5, 40] = 1
    expected = by_least_squares(alpha, shrunk, image, 2, 1e-3)
    np.testing.assert_allclose(
        guided_upsample(alpha, shrunk, image, eps=1e-3), expected, rtol=0, atol=6e-8 / 1e-3 + 1e-5
    )


def test_grey_photos_are_told_apart_as_well_as_coloured_ones():
    """Where red, green and blue are the same, a closed form's determinant in float32 would be noise."""
    rng = np.random.default_rng(0)
    grey = np.repeat(pixels(rng, 12, 17)[..., :1], 3, axis=2)
    alpha = rng.random((12, 17), dtype=np.float32)
    expected = by_least_squares(alpha, grey, grey, 2, 1e-4)
    np.testing.assert_allclose(guided_upsample(alpha, grey, grey), expected, rtol=0, atol=6e-8 / 1e-4)  # as above


@given(value=st.floats(0, 1, width=32), seed=st.integers(0, 9), scale=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_a_flat_matte_stays_flat(value, seed, scale):
    rng = np.random.default_rng(seed)
    alpha = np.full((6, 9), value, np.float32)
    result = guided_upsample(alpha, pixels(rng, 6, 9), pixels(rng, 6 * scale, 9 * scale))
    np.testing.assert_allclose(result, value, atol=1e-6)


def test_what_is_affine_in_the_colours_is_so_at_the_photos_size():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(pixels(rng, 60, 80, np.float32), (0, 0), 4)
    image = (image - image.min()) / (image.max() - image.min())
    weights = np.array([0.5, 0.2, 0.3], np.float32)
    shrunk = cv2.resize(image, (20, 15), interpolation=cv2.INTER_AREA)
    result = guided_upsample(shrunk @ weights, shrunk, image, eps=1e-6)
    np.testing.assert_allclose(result, image @ weights, atol=2e-3)  # eps beside colours that hardly vary in a window


def test_thin_lines_come_back():
    """A hair of a pixel that the shrunk photo blurs is thin again, and as it is in truth."""
    truth = np.zeros((120, 120), np.float32)
    truth[:, 60] = 1
    image = np.rint(255 * truth[..., None].repeat(3, 2)).astype(np.uint8)
    shrunk = limit_short_side(image, 40, antialias=True)
    alpha = cv2.resize(truth, (40, 40), interpolation=cv2.INTER_AREA)
    guided, bilinear = guided_upsample(alpha, shrunk, image), resize(alpha, (120, 120))
    assert np.abs(guided - truth).mean() < 0.05 * np.abs(bilinear - truth).mean()


@pytest.mark.parametrize("converted", [lambda x: x.astype(np.uint16) * 257, lambda x: x / np.float32(255)])
def test_types_of_photos_do_not_matter(converted):
    rng = np.random.default_rng(0)
    shrunk, image, alpha = pixels(rng, 12, 17), pixels(rng, 30, 40), rng.random((12, 17), dtype=np.float32)
    result = guided_upsample(alpha, converted(shrunk), converted(image))
    np.testing.assert_allclose(result, guided_upsample(alpha, shrunk, image), atol=2e-5)


@pytest.mark.parametrize("size", [(40, 60), (9, 11), (97, 17)])
def test_fitting_some_rows_at_a_time_gives_what_all_at_once_give(monkeypatch, size):
    rng = np.random.default_rng(0)
    shrunk, image, alpha = pixels(rng, 40, 17), pixels(rng, *size), rng.random((40, 17), dtype=np.float32)
    expected = guided_upsample(alpha, shrunk, image)
    monkeypatch.setattr(guided, "PIXELS", 7 * 17)
    # OpenCV's running sums begin at another row
    np.testing.assert_allclose(guided_upsample(alpha, shrunk, image), expected, rtol=0, atol=6e-8 / guided.EPS)


@pytest.mark.parametrize(
    ("larger", "beyond"),
    [
        ("photo", 5),  # the matte, and where it follows the photo
        ("small", 60),  # slopes and intercept, twice, and the matte's range; what is multiplied is 36 more
    ],
)
def test_memory_hardly_grows_with_either_photo(larger, beyond):
    rng = np.random.default_rng(0)
    sides = {"photo": 512, "small": 256}
    peaks = []
    for factor in (1, 4):
        height, low = (sides[name] * (factor if name == larger else 1) for name in ("photo", "small"))
        shrunk, image, alpha = pixels(rng, low, 256), pixels(rng, height, 512), rng.random((low, 256), dtype=np.float32)
        tracemalloc.start()
        guided_upsample(alpha, shrunk, image)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] <= beyond * 3 * sides[larger] * (512 if larger == "photo" else 256)


def test_how_arrays_lie_in_memory_does_not_matter():
    rng = np.random.default_rng(0)
    shrunk, image, alpha = pixels(rng, 12, 17), pixels(rng, 30, 40), rng.random((12, 17), dtype=np.float32)
    expected = guided_upsample(alpha, shrunk, image)
    others = [np.asfortranarray(x) for x in (alpha, shrunk, image)]
    np.testing.assert_array_equal(guided_upsample(*others), expected)
    mirrored = [x[:, ::-1].copy()[:, ::-1] for x in (alpha, shrunk, image)]
    np.testing.assert_array_equal(guided_upsample(*mirrored), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1)])
def test_tiny_photos_work(size):
    rng = np.random.default_rng(0)
    result = guided_upsample(rng.random(size, dtype=np.float32), pixels(rng, *size), pixels(rng, 9, 11))
    assert result.shape == (9, 11)
    assert np.isfinite(result).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"alpha": np.zeros((4, 6), np.uint8)}, TypeError, "alpha must be float16, float32 or float64, got uint8"),
        ({"alpha": np.zeros((4, 5))}, ValueError, "alpha must have small's height and width, (4, 6), got shape (4, 5)"),
        ({"small": np.zeros((4, 6, 3))}, TypeError, "small must have image's dtype, uint8, got float64"),
        ({"small": np.full((4, 6, 3), 2.0), "image": np.zeros((8, 9, 3))}, ValueError, "small must lie in [0, 1]"),
        ({"small": np.zeros((4, 6, 3)), "image": np.full((8, 9, 3), 2.0)}, ValueError, "image must lie in [0, 1]"),
        ({"alpha": np.full((4, 6), np.nan)}, ValueError, "alpha must lie in [0, 1]"),
        ({"alpha": np.ma.zeros((4, 6))}, TypeError, "alpha must not be a masked array"),
        ({"alpha": torch.zeros(4, 6)}, TypeError, "alpha must be a numpy.ndarray, got Tensor"),
        ({"image": np.zeros((0, 9, 3), np.uint8)}, ValueError, "image must not be empty, got shape (0, 9, 3)"),
        (
            {"small": np.zeros((4, 6, 3), int), "image": np.zeros((8, 9, 3), int)},
            TypeError,
            "image must be uint8, uint16",
        ),
        ({"image": np.zeros((8, 9), np.uint8)}, ValueError, "image must have shape (H, W, 3), got (8, 9)"),
        ({"radius": 0}, ValueError, "radius must be from 1 to 100, got 0"),
        ({"radius": 101}, ValueError, "radius must be from 1 to 100, got 101"),
        ({"radius": 1.5}, TypeError, "radius must be"),
        ({"eps": 1e-7}, ValueError, "eps must be from 1e-6 to 1, got 1e-07"),
        ({"eps": float("nan")}, ValueError, "eps must be from 1e-6 to 1, got nan"),
        ({"alpha": np.zeros((4, 6), ">f4")}, TypeError, "alpha must be float16, float32 or float64, got >f4"),
    ],
)
def test_bad_input_is_named(change, error, words):
    given = {"alpha": np.zeros((4, 6)), "small": np.zeros((4, 6, 3), np.uint8), "image": np.zeros((8, 9, 3), np.uint8)}
    given |= change
    options = {name: given.pop(name) for name in ("radius", "eps") if name in given}
    with pytest.raises(error, match=re.escape(words)):
        guided_upsample(*given.values(), **options)


@pytest.fixture(scope="module")
def model():
    return trained_looking(small(preprocessing=Preprocessing(max_short_side=64, antialias=True, guided=True)))


@pytest.mark.parametrize("augment", [None, Augmentation(), Augmentation(flip=False, scales=(1, 2))])
def test_predict_takes_the_matte_back_along_the_photos_edges(model, augment):
    photo = pixels(np.random.default_rng(0), 256, 384)
    shrunk = limit_short_side(photo, 64, antialias=True)
    scales = (1,) if augment is None else augment.scales
    views = [shrunk if scale == 1 else resize(shrunk, (round(64 * scale), round(96 * scale))) for scale in scales]
    mattes = [guided_upsample(predict(model, view, max_short_side=999), view, photo) for view in views]
    if augment is not None and augment.flip:
        mirrored = predict(model, shrunk[:, ::-1].copy())[:, ::-1]
        mattes.append(guided_upsample(mirrored, shrunk, photo))
    np.testing.assert_allclose(predict(model, photo, augment=augment), np.mean(mattes, axis=0), rtol=0, atol=1e-5)


def test_the_other_maps_go_back_bilinearly(model):
    photo = pixels(np.random.default_rng(0), 128, 192)
    maps = predict(model, photo, return_maps=True)
    shrunk = predict(model, limit_short_side(photo, 64, antialias=True), return_maps=True)
    np.testing.assert_array_equal(maps.detail, resize(shrunk.detail, (128, 192)))
    np.testing.assert_array_equal(maps.alpha, predict(model, photo))


def test_prepared_and_in_windows_it_is_the_same(model):
    photo = pixels(np.random.default_rng(0), 128, 192)
    expected = predict(model, photo)
    for matte in (predict(prepare(model), photo), predict_windowed(model, photo, window=32)):
        # what folding and windows change, 1e-4 at most, over slopes of 50 and colours of noise
        np.testing.assert_allclose(matte, expected, rtol=0, atol=5e-3)


def test_a_fusion_that_leaves_the_unit_interval_is_clipped():
    class Steep(nn.Module):
        def forward(self, semantic_logits, detail):
            return 100 * (detail - detail.mean())

    model = trained_looking(small(preprocessing=Preprocessing(max_short_side=64, guided=True)))
    model.fusion = Steep()
    photo = pixels(np.random.default_rng(0), 128, 192)
    view = resize(photo, (64, 96))
    expected = guided_upsample(predict(model, view), view, photo)
    np.testing.assert_allclose(predict(model, photo), expected, rtol=0, atol=1e-5)


def test_a_trimap_is_kept(model):
    photo = pixels(np.random.default_rng(0), 128, 192)
    trimap = np.full((128, 192), 128, np.uint8)
    trimap[:40], trimap[90:] = 0, 255
    matte = predict(model, photo, trimap=trimap)
    assert (matte[:40] == 0).all()
    assert (matte[90:] == 1).all()


def test_a_photo_that_is_not_shrunk_keeps_its_matte():
    model = trained_looking(small())
    photo = pixels(np.random.default_rng(0), 64, 96)
    expected = predict(model, photo)
    model.preprocessing = Preprocessing(guided=True)
    np.testing.assert_array_equal(predict(model, photo), expected)


def test_a_flipped_pixel_is_a_pixel():
    """NumPy calls an array of one pixel contiguous whatever its strides, and torch takes no negative ones."""
    alpha, image = np.full((1, 1), 0.5), np.full((1, 1, 3), 0.5)
    found = guided_upsample(alpha[:, ::-1], image[:, ::-1], image[:, ::-1])
    np.testing.assert_array_equal(found, guided_upsample(alpha, image, image))

"""Closed form around a matte, beside plain loops, PyMatting's Laplacian and an exact solver."""

import re
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mattekit import trimap as trimaps
from mattekit.data import SyntheticMattes
from mattekit.inference import closed_form, predict, refine_alpha
from mattekit.photos import resize
from oracles.networks import small, trained_looking
from oracles.pymatting import pymatting_function


@pytest.fixture
def noise():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (17, 23, 3), dtype=np.uint8), rng.random((17, 23), dtype=np.float32)


def some_trimap(size=(17, 23)):
    trimap = np.full(size, 128, np.uint8)
    trimap[:3], trimap[:, -4:] = 0, 255
    return trimap


def laplacian_by_loops(image, eps):
    """The matting Laplacian of a photo, dense: equation 12 of Levin et al. for each pair of each window."""
    height, width, _ = image.shape
    at, colours = np.arange(height * width).reshape(height, width), image / 255
    laplacian = np.zeros((height * width, height * width))
    for y, x in np.ndindex(height - 2, width - 2):
        window = np.s_[y : y + 3, x : x + 3]
        centred = colours[window].reshape(9, 3) - colours[window].mean((0, 1))
        inverse = np.linalg.inv(centred.T @ centred / 9 + eps / 9 * np.eye(3))
        for i, j in np.ndindex(9, 9):
            term = (i == j) - (1 + centred[i] @ inverse @ centred[j]) / 9
            laplacian[at[window].ravel()[i], at[window].ravel()[j]] += term
    return laplacian


def solved_exactly(laplacian, alpha, trimap, confidence):
    """The system of what is unknown, by Gauss's elimination."""
    unknown = np.flatnonzero(trimap == 128)
    full = np.where(trimap == 128, 0, trimap / 255).ravel()
    target = confidence * alpha.ravel()[unknown] - laplacian[unknown] @ full
    system = laplacian[np.ix_(unknown, unknown)] + confidence * np.eye(len(unknown))
    full[unknown] = np.linalg.solve(system, target)
    return full.reshape(alpha.shape).clip(0, 1)


def test_the_loops_agree_with_pymatting(noise):
    theirs = pymatting_function("laplacian", "cf_laplacian")(noise[0] / 255, epsilon=1e-4).toarray()
    np.testing.assert_allclose(laplacian_by_loops(noise[0], 1e-4), theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("confidence", "eps"), [(0.01, 1e-6), (0.3, 1e-3), (2.0, 1e-5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_agrees_with_loops_and_an_exact_solver(noise, confidence, eps, dtype, monkeypatch):
    image, alpha = noise
    monkeypatch.setattr(closed_form, "TOLERANCE", 1e-6)
    monkeypatch.setattr(closed_form, "WINDOWS", 50)
    expected = solved_exactly(laplacian_by_loops(image, eps), alpha, some_trimap(), confidence)
    image = image if dtype == np.uint8 else image.astype(np.uint16) * 257
    found = refine_alpha(alpha, image, trimap=some_trimap(), confidence=confidence, eps=eps, haze=0)
    # float32, whose rounding the system's condition, of a few over the confidence, enlarges
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 + 1e-6 / confidence)


def test_the_solver_stops_within_a_255th_or_so():
    sample = SyntheticMattes(seed=3, size=48)(4, np.random.default_rng(0))
    trimap = trimaps.from_alpha(sample.alpha, width=3)
    expected = solved_exactly(laplacian_by_loops(sample.image, 1e-6), blurred(sample.alpha), trimap, 0.02)
    found = refine_alpha(blurred(sample.alpha), sample.image, trimap=trimap, haze=0)
    assert np.abs(found - expected).max() < 1 / 255


def test_the_solver_stops_no_earlier(monkeypatch):
    sample = SyntheticMattes(seed=3, size=256)(4, np.random.default_rng(0))
    alpha = blurred(sample.alpha)
    found = refine_alpha(alpha, sample.image)
    monkeypatch.setattr(closed_form, "TOLERANCE", 1e-6)
    np.testing.assert_allclose(found, refine_alpha(alpha, sample.image), rtol=0, atol=3e-4)


def blurred(alpha):
    """A matte as a network draws it that sees a quarter of the pixels."""
    height, width = alpha.shape
    return resize(resize(alpha.astype(np.float32), (height // 4, width // 4)), (height, width)).clip(0, 1)


def test_hair_comes_back():
    """Of hair, fur and lace that were blurred a quarter of the error goes at least."""
    before, after = [], []
    for index in range(6):
        sample = SyntheticMattes(seed=3, size=256)(index, np.random.default_rng(index))
        alpha = blurred(sample.alpha)
        before.append(np.square(alpha - sample.alpha).mean())
        after.append(np.square(refine_alpha(alpha, sample.image) - sample.alpha).mean())
    assert np.mean(after) < 3 / 4 * np.mean(before)


def test_only_the_transition_changes():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    alpha = np.full((40, 50), 0.02, np.float64)
    alpha[:, 30:] = 0.99
    alpha[5:8, 5:8] = 0.5
    changed = refine_alpha(alpha, image, radius=2) != alpha.astype(np.float32)
    expected = np.zeros_like(changed)
    expected[:, 28:32] = True  # a step from low to high
    expected[3:10, 3:10] = True  # what is neither
    np.testing.assert_array_equal(changed, expected)


def test_the_band_follows_the_photos_size():
    image = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    alpha = np.zeros((150, 200), np.float32)
    alpha[:, 100:] = 1
    found = refine_alpha(alpha, image)
    np.testing.assert_array_equal(found, refine_alpha(alpha, image, radius=3))
    np.testing.assert_array_equal((found != alpha).any(0).nonzero()[0], range(97, 103))


def test_what_a_trimap_knows_comes_out_as_given(noise):
    image, alpha = noise
    trimap = some_trimap()
    found = refine_alpha(alpha, image, trimap=trimap)
    np.testing.assert_array_equal(found[trimap != 128], trimap[trimap != 128] / 255)
    assert (found != alpha)[trimap == 128].any()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 12), width=st.integers(1, 12))
def test_laws(seed, height, width):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    alpha = rng.random((height, width))
    found = refine_alpha(alpha, image)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    if min(height, width) < 3:  # no window fits
        np.testing.assert_array_equal(refine_alpha(alpha, image, haze=0), alpha.astype(np.float32))
    close = {"rtol": 0, "atol": 0.002}  # two of the solver's tolerances
    np.testing.assert_allclose(refine_alpha(1 - alpha, image), 1 - found, **close)
    np.testing.assert_allclose(refine_alpha(alpha[:, ::-1], image[:, ::-1])[:, ::-1], found, **close)
    np.testing.assert_allclose(refine_alpha(alpha.T, image.transpose(1, 0, 2)).T, found, **close)
    np.testing.assert_allclose(refine_alpha(alpha, image, confidence=1e6, haze=0), alpha, rtol=0, atol=1e-4)


@pytest.mark.parametrize("haze", [0.03, 0.2])
def test_haze_is_taken_away(noise, haze):
    image, alpha = noise
    pure = refine_alpha(alpha, image, trimap=some_trimap(), haze=0)
    found = refine_alpha(alpha, image, trimap=some_trimap(), haze=haze)
    np.testing.assert_allclose(found, np.interp(pure, [haze, 1 - haze], [0, 1]), rtol=0, atol=1e-6)
    if haze == 0.03:
        np.testing.assert_array_equal(found, refine_alpha(alpha, image, trimap=some_trimap()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_photos_of_floats_are_in_0_to_1(noise, dtype):
    image, alpha = noise
    found = refine_alpha(alpha, (image / 255).astype(dtype))
    np.testing.assert_allclose(found, refine_alpha(alpha, image), rtol=0, atol=1e-3)


def test_a_matte_without_a_transition_is_returned_as_a_copy():
    alpha = np.ones((8, 9), np.float32)
    found = refine_alpha(alpha, np.zeros((8, 9, 3), np.uint8))
    np.testing.assert_array_equal(found, alpha)
    assert not np.shares_memory(found, alpha)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_default_dtype_does_not_count(noise, dtype):
    expected = refine_alpha(noise[1], noise[0])
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        np.testing.assert_array_equal(refine_alpha(noise[1], noise[0]), expected)
    finally:
        torch.set_default_dtype(before)


def test_neither_autocast_nor_the_default_device_counts(noise):
    image, alpha = noise
    expected = refine_alpha(alpha, image)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(refine_alpha(alpha, image), expected)
    with torch.device("meta"):
        np.testing.assert_array_equal(refine_alpha(alpha, image), expected)


def test_a_few_ulp_beyond_0_and_1_are_brought_there():
    """Beyond the transition too, where nothing is solved."""
    alpha = np.full((12, 20), -1e-7, np.float32)
    alpha[:, 10:] = np.nextafter(np.float32(1), np.float32(2))
    found = refine_alpha(alpha, np.zeros((12, 20, 3), np.uint8), radius=2)
    assert (found.min(), found.max()) == (0, 1)


@pytest.mark.parametrize("confidence", [1e-4, 1e6])
@pytest.mark.parametrize("eps", [1e-12, 1.0])
def test_options_at_the_ends_of_their_range(confidence, eps):
    """Of a grey photo the colours' covariance is singular but for eps. A flat one leaves the matte its mean alone."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (17, 23, 1), dtype=np.uint8).repeat(3, 2)
    alpha, unknown = rng.random((17, 23), dtype=np.float32), np.full((17, 23), 128, np.uint8)
    for image in (grey, np.full_like(grey, 7)):
        found = refine_alpha(alpha, image, trimap=unknown, confidence=confidence, eps=eps, haze=0)
        assert abs(found.mean() - alpha.mean()) < 0.01


def test_options_may_be_any_number(noise):
    image, alpha = noise
    found = refine_alpha(alpha, image, confidence=Fraction(1, 50), eps=Fraction(1, 10**6))
    np.testing.assert_array_equal(found, refine_alpha(alpha, image))


def test_memory_of_an_unknown_pixel(monkeypatch):
    """A row of 25 columns of int32 is 100 bytes, which NumPy holds, beside its weights, which torch does."""
    monkeypatch.setattr(closed_form, "WINDOWS", 1000)
    image = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    alpha = np.full((400, 400), 0.5, np.float32)
    tracemalloc.start()
    try:
        refine_alpha(alpha, image, confidence=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / alpha.size < 200


def test_a_solver_that_does_not_end_is_an_error(noise, monkeypatch):
    monkeypatch.setattr(closed_form, "MOST_STEPS", 1)
    with pytest.raises(RuntimeError, match=r"did not come to an end in 1 steps: .* got 0\.02 and 1e-06"):
        refine_alpha(noise[1], noise[0])


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"alpha": torch.rand(4, 5)}, TypeError, "alpha must be a numpy.ndarray, got Tensor"),
        ({"alpha": np.zeros((4, 5), np.uint8)}, TypeError, "alpha must be float16, float32 or float64, got uint8"),
        ({"alpha": np.zeros((4, 5, 1))}, ValueError, "alpha must have shape (H, W), and pixels, got shape (4, 5, 1)"),
        ({"alpha": np.zeros((0, 5))}, ValueError, "alpha must have shape (H, W), and pixels, got shape (0, 5)"),
        ({"alpha": np.full((4, 5), 1.5)}, ValueError, "alpha must lie in [0, 1]"),
        ({"alpha": np.ma.zeros((4, 5))}, TypeError, "alpha must"),
        ({"image": np.zeros((4, 5, 3), np.int32)}, TypeError, "image must be uint8, uint16, float16, float32 or"),
        ({"image": np.zeros((4, 6, 3), np.uint8)}, ValueError, "in shape (4, 5, 3), got (4, 6, 3)"),
        ({"image": np.full((4, 5, 3), -1.0)}, ValueError, "image must lie in [0, 1]"),
        ({"image": None}, TypeError, "image must be a numpy.ndarray, got NoneType"),
        ({"trimap": np.zeros((4, 6), np.uint8)}, ValueError, "trimap must have alpha's shape, (4, 5), got (4, 6)"),
        ({"trimap": np.ones((4, 5), np.uint8)}, ValueError, "trimap must hold only 0, 128 and 255"),
        ({"trimap": [[0]]}, TypeError, "trimap must be a numpy.ndarray, got list"),
        ({"trimap": np.zeros((4, 5), np.uint8), "radius": 3}, ValueError, "give trimap or radius, got both"),
        ({"radius": -1}, ValueError, "radius must be at least 0, got -1"),
        ({"radius": 1.5}, TypeError, "radius must be an integer, got 1.5"),
        ({"confidence": 0}, ValueError, "confidence must be positive, got 0"),
        ({"confidence": 1e-5}, ValueError, "confidence must lie in [0.0001, 1e+06], got 1e-05"),
        ({"confidence": 1e39}, ValueError, "confidence must lie in [0.0001, 1e+06], got 1e+39"),
        ({"haze": 0.5}, ValueError, "haze must be less than 0.5, got 0.5"),
        ({"haze": -0.1}, ValueError, "haze must not be negative, got -0.1"),
        ({"eps": -1.0}, ValueError, "eps must be positive, got -1.0"),
        ({"eps": 1e-16}, ValueError, "eps must be at least 1e-12, got 1e-16"),
    ],
)
def test_bad_arguments_are_named(changed, error, message):
    good = {"alpha": np.full((4, 5), 0.5), "image": np.zeros((4, 5, 3), np.uint8)}
    with pytest.raises(error, match=re.escape(message)):
        refine_alpha(**good | changed)


# ---- within predict


@pytest.fixture(scope="module")
def model():
    return trained_looking(small())


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (70, 96, 3), dtype=np.uint8)


def test_predict_refines_what_it_predicts(model, photo):
    alpha = predict(model, photo)
    refined = predict(model, photo, refine=True)
    np.testing.assert_array_equal(refined, refine_alpha(alpha, photo))
    assert (refined != alpha).any()
    maps = predict(model, photo, refine=True, return_maps=True)
    np.testing.assert_array_equal(maps.alpha, refined)
    np.testing.assert_array_equal(maps.detail, predict(model, photo, return_maps=True).detail)


def test_predict_refines_what_a_trimap_leaves_open(model, photo):
    trimap = some_trimap((70, 96))
    alpha = predict(model, photo, trimap=trimap)
    refined = predict(model, photo, trimap=trimap, refine=True)
    np.testing.assert_array_equal(refined, refine_alpha(alpha, photo, trimap=trimap))
    np.testing.assert_array_equal(refined[trimap != 128], alpha[trimap != 128])


def test_predict_refuses_what_does_not_go_with_it(model, photo):
    with pytest.raises(ValueError, match="give refine or max_memory, got both"):
        predict(model, photo, refine=True, max_memory=10**9)
    with pytest.raises(TypeError, match="refine must be True or False, got 1"):
        predict(model, photo, refine=1)

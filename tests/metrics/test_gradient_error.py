import importlib

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from mattekit.metrics import gradient_error
from mattekit.testing import alphas, matte_pairs, matte_triples
from oracles import golden
from oracles import metrics as oracle

module = importlib.import_module("mattekit.metrics.gradient_error")


def batch(pred, alpha, counts):
    return [torch.from_numpy(x.copy())[None] for x in (pred, alpha, counts)]


@pytest.mark.parametrize("name", golden.IN_RANGE)
def test_golden(name):
    pred, alpha, trimap = golden.load(name)
    value = gradient_error(pred, alpha, trimap, check_trimap=False, raw=True)
    assert value == pytest.approx(golden.value(name, "grad"), **golden.TOLERANCE)


@pytest.mark.parametrize("name", golden.NAMES)
def test_golden_below_the_check_and_on_tensors(name):
    pred, alpha, trimap = golden.load(name)
    value = module.gradient_error_of_image(pred, alpha, trimap == 128)
    assert value == pytest.approx(golden.value(name, "grad"), **golden.TOLERANCE)
    # the two differ by rounding in float64 only, amplified where ranges are as small as 1/255
    assert module.gradient_error_of_batch(*batch(pred, alpha, trimap == 128)).item() == pytest.approx(
        value, rel=1e-9, abs=1e-20
    )


def test_filters_are_the_kernel_of_the_reference():
    gaussian, derivative = module.filters()
    # the outer product and the formula are rounded differently, in the last digit of values below 0.4
    np.testing.assert_allclose(np.outer(gaussian, derivative), oracle.kernel(), rtol=0, atol=6e-17)
    # as SPEC.md, section 3, prints them from Octave
    half = [0.010715649039754409, 0.06390639827121788, 0.22881863203111705, 0.4918805056712307, 0.6348176886345872]
    np.testing.assert_allclose(gaussian[:5], half, rtol=1e-15)
    half = [0.04329900879290052, 0.1936712156026914, 0.46229677379028256, 0.49688866864482284, 0]
    np.testing.assert_allclose(derivative[:5], half, rtol=1e-15)


@given(matte_triples())
def test_agrees_with_the_loop(case):
    for pred, alpha, trimap in zip(*(x[:, 0].numpy() for x in case), strict=True):
        if 0 < np.ptp(pred) < 1e-3 or 0 < np.ptp(alpha) < 1e-3:
            return  # rounding errors of the input's size, stretched: nothing to compare to 12 digits
        value = gradient_error(pred, alpha, trimap, raw=True)
        # amplitudes are at most 3.5 and rounded to 1e-15, of some hundred pixels, divided by ranges of 1e-3 at least
        assert value == pytest.approx(oracle.gradient_error(pred, alpha, trimap == 128), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (7, 1), (1, 40), (3, 300), (260, 5), (9, 9)])
def test_sizes(shape):
    rng = np.random.default_rng(0)
    pred, alpha = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    if 300 not in shape and 260 not in shape:
        assert gradient_error(pred, alpha, raw=True) == pytest.approx(oracle.gradient_error(pred, alpha), rel=1e-12)
    tensors = module.gradient_error_of_batch(*batch(pred, alpha, np.ones(shape, bool)))
    assert gradient_error(pred, alpha, raw=True) == pytest.approx(tensors.item(), rel=1e-12)


@pytest.mark.parametrize("tile", [1, 3, 16, 64])
def test_tiles_leave_no_seams(monkeypatch, tile):
    pred, alpha, trimap = golden.load("3x5" if tile == 1 else "17x23")
    whole = gradient_error(pred, alpha, trimap)
    monkeypatch.setattr(module, "TILE", tile)
    assert gradient_error(pred, alpha, trimap) == pytest.approx(whole, rel=1e-14)


@pytest.mark.parametrize("tile", [8, 256])
def test_what_is_skipped_would_be_zero(monkeypatch, tile):
    """Tiles are skipped where the mattes are equal, unless their ranges differ and they are not flat."""
    monkeypatch.setattr(module, "TILE", tile)
    rng = np.random.default_rng(1)
    alpha = rng.integers(0, 200, (40, 40), dtype=np.uint8)
    alpha[0:2, 0] = 0, 255
    alpha[20:, 20:] = 7
    pred = alpha.copy()
    pred[5, 5] ^= 8  # the same range
    other = pred.copy()
    other[1, 0] = 201  # another range: amplitudes differ everywhere but where it is flat
    counts = np.ones(alpha.shape, bool)
    for changed in (pred, other):
        tensors = module.gradient_error_of_batch(*batch(changed, alpha, counts))
        assert module.gradient_error_of_image(changed, alpha, counts) == pytest.approx(tensors.item(), rel=1e-12)


@given(matte_pairs())
def test_symmetric(pair):
    pred, alpha = pair
    assert gradient_error(pred, alpha).tolist() == gradient_error(alpha, pred).tolist()


@given(alpha=alphas(), low=st.floats(0, 0.4), high=st.floats(0.6, 1))
def test_blind_to_affine_changes_of_range(alpha, low, high):
    alpha = alpha.double()
    assume((alpha.amax((1, 2, 3)) - alpha.amin((1, 2, 3)) >= 1e-3).all())  # see above
    for changed in (low + (high - low) * alpha, high + (low - high) * alpha):
        # as above: amplitudes that are equal but for rounding of 1e-15, divided by a range of 2e-4 at least
        assert gradient_error(changed.clamp(0, 1), alpha, raw=True).tolist() == pytest.approx(
            [0] * len(alpha), abs=1e-15
        )


def test_blind_to_nothing_else():
    _, alpha, _ = golden.load("lemur_crop0_noise12")
    for exponent in (0.9, 1.1):
        assert gradient_error((alpha / 255) ** exponent, alpha, raw=True) > 1


def test_a_range_without_an_inverse_is_none():
    """1 / 1e-310 is infinite, and Grad was NaN. A sigmoid in float64 leaves such values where there is nothing."""
    rng = np.random.default_rng(2)
    pred, alpha = rng.uniform(0, 1e-310, (9, 9)), rng.uniform(0, 1, (9, 9))
    expected = gradient_error(np.zeros_like(pred), alpha, raw=True)
    assert gradient_error(pred, alpha, raw=True) == expected
    tensors = module.gradient_error_of_batch(*batch(pred, alpha, np.ones((9, 9), bool)))
    assert tensors.item() == pytest.approx(expected, rel=1e-12)


def test_one_outlier_changes_the_score_everywhere():
    """The range is the whole image's, so a pixel far from the region counts, as in the reference."""
    alpha = np.full((60, 60), 100, np.uint8)
    alpha[:, 20:] = 200
    trimap = np.zeros((60, 60), np.uint8)
    trimap[:, :30] = 128
    pred = alpha.copy()
    assert gradient_error(pred, alpha, trimap) == 0
    pred[-1, -1] = 0
    assert gradient_error(pred, alpha, trimap) > 0


def test_constant_mattes_have_no_gradient():
    half, ramp = np.full((9, 30), 0.3), np.tile(np.linspace(0, 1, 30), (9, 1))
    assert gradient_error(half, np.zeros((9, 30))) == 0
    assert module.gradient_error_of_batch(*batch(half, half * 0, half > 0)).item() == 0
    assert gradient_error(half, ramp) == gradient_error(np.ones((9, 30)), ramp) > 0

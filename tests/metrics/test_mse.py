import math

import numpy as np
import pytest
import torch
from hypothesis import given

from mattekit.metrics import mse
from mattekit.metrics._sums import mean, squared_sum
from mattekit.testing import matte_pairs, matte_triples
from oracles import golden
from oracles import metrics as oracle


@pytest.mark.parametrize("name", golden.IN_RANGE)
def test_golden(name):
    pred, alpha, trimap = golden.load(name)
    assert mse(pred, alpha, trimap, check_trimap=False) == pytest.approx(golden.value(name, "mse"), **golden.TOLERANCE)
    if (exact := golden.exact(name, "mse")) is not None:
        assert mse(pred, alpha, trimap, check_trimap=False) == pytest.approx(exact, rel=1e-15, nan_ok=True)


def test_golden_out_of_range():
    pred, alpha, trimap = golden.load(golden.OUT_OF_RANGE)
    expected = pytest.approx(golden.value(golden.OUT_OF_RANGE, "mse"), **golden.TOLERANCE)
    assert mean(squared_sum)(pred, alpha, trimap == 128) == expected


@given(matte_triples())
def test_agrees_with_the_loop(case):
    for values in zip(mse(*case).tolist(), *(x[:, 0].numpy() for x in case), strict=True):
        value, pred, alpha, trimap = values
        count = int((trimap == 128).sum())
        expected = float(oracle.squares(pred, alpha, trimap == 128) / count) if count else math.nan
        # as for SAD, of at most 144 terms; squares of what is below 1.5e-154 may be denormal, or 0
        assert value == pytest.approx(expected, rel=2e-14, abs=1e-300, nan_ok=True)


@given(matte_pairs())
def test_laws(pair):
    pred, alpha = pair
    assert mse(alpha, alpha).tolist() == [0] * len(alpha)
    assert mse(pred, alpha).tolist() == mse(alpha, pred).tolist()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 5)])
def test_no_unknown_pixel(shape):
    """NaN as in the reference, and, as warnings are errors here, without a word from NumPy."""
    known = np.zeros(shape, np.uint8)
    assert math.isnan(mse(known, known, known))
    result = mse(*(torch.zeros(2, 1, *shape, dtype=torch.uint8) for _ in range(3)))
    assert result.isnan().tolist() == [True, True]


def test_exact_where_int32_is_not():
    pred, alpha = np.zeros((4097, 4096), np.uint8), np.full((4097, 4096), 255, np.uint8)
    alpha[0, 0] = 254
    assert squared_sum(pred, alpha, None) * 255**2 == pytest.approx((4097 * 4096 - 1) * 255**2 + 254**2, rel=2e-16)

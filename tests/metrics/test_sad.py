import numpy as np
import pytest
import torch
from hypothesis import given

from mattekit.metrics import mad, sad
from mattekit.metrics._sums import absolute_sum
from mattekit.testing import matte_pairs, matte_triples
from oracles import golden
from oracles import metrics as oracle


@pytest.mark.parametrize("name", golden.IN_RANGE)
def test_golden(name):
    pred, alpha, trimap = golden.load(name)
    assert sad(pred, alpha, trimap, check_trimap=False) == pytest.approx(golden.value(name, "sad"), **golden.TOLERANCE)
    if (exact := golden.exact(name, "sad")) is not None:
        assert sad(pred, alpha, trimap, check_trimap=False) == pytest.approx(exact, rel=1e-15)


def test_golden_out_of_range():
    pred, alpha, trimap = golden.load(golden.OUT_OF_RANGE)
    expected = pytest.approx(golden.value(golden.OUT_OF_RANGE, "sad"), **golden.TOLERANCE)
    assert absolute_sum(pred, alpha, trimap == 128) / 1000 == expected


@given(matte_triples())
def test_agrees_with_the_loop(case):
    pred, alpha, trimap = case
    result = sad(pred, alpha, trimap, raw=True)
    assert result.dtype == torch.float64
    expected = [oracle.sad(p, a, t == 128) for (p, a, t) in zip(*(x[:, 0].numpy() for x in case), strict=True)]
    # float64 sums of at most 144 terms: 144 rounding errors of 1.1e-16 each at most
    assert result.tolist() == pytest.approx([float(x) for x in expected], rel=2e-14)


@given(matte_pairs())
def test_laws(pair):
    pred, alpha = pair
    assert sad(alpha, alpha).tolist() == [0] * len(alpha)
    assert sad(pred, alpha).tolist() == sad(alpha, pred).tolist()
    pixels = alpha[0].numel()
    assert sad(pred, alpha, raw=True).tolist() == pytest.approx((pixels * mad(pred, alpha)).tolist(), rel=1e-15)


def test_exact_where_single_precision_is_not():
    """16.8 million pixels with the largest difference: float32 sums stop counting at 2^24."""
    pred, alpha = np.zeros((4097, 4096), np.uint8), np.full((4097, 4096), 255, np.uint8)
    assert sad(pred, alpha, raw=True) == 4097 * 4096
    assert sad(pred, alpha) == 4097 * 4.096

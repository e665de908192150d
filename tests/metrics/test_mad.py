import math

import numpy as np
import pytest
from hypothesis import given

from mattekit.metrics import mad
from mattekit.testing import matte_triples
from oracles import metrics as oracle


@given(matte_triples())
def test_agrees_with_the_loop(case):
    for values in zip(mad(*case).tolist(), *(x[:, 0].numpy() for x in case), strict=True):
        value, pred, alpha, trimap = values
        count = int((trimap == 128).sum())
        expected = float(oracle.sad(pred, alpha, trimap == 128) / count) if count else math.nan
        assert value == pytest.approx(expected, rel=2e-14, nan_ok=True)  # as for SAD, of at most 144 terms


def test_nan_without_a_pixel_that_counts():
    pred, trimap = np.zeros((4, 4)), np.zeros((4, 4), np.uint8)
    assert math.isnan(mad(pred, pred, trimap))

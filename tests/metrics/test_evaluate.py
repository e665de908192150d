import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mattekit.metrics import connectivity_error, evaluate, gradient_error, mad, mse, sad
from mattekit.testing import matte_triples
from oracles import golden


@pytest.mark.parametrize("name", golden.IN_RANGE)
def test_agrees_with_the_reference_as_far_as_the_pages_say(name):
    """README.md and docs/metrics.md have these limits."""
    scores = evaluate(*golden.load(name), check_trimap=False, raw=True)
    found = scores.sad / 1000, scores.mse, scores.gradient_error, scores.connectivity_error
    for value, metric, limit in zip(found, ("sad", "mse", "grad", "conn"), (3e-6, 1.1e-6, 5e-7, 3e-6), strict=True):
        assert value == pytest.approx(golden.value(name, metric), rel=limit, abs=0, nan_ok=True), metric


@given(
    case=matte_triples(),
    region=st.sampled_from([None, "unknown", "whole", "foreground", "background"]),
    apply_trimap=st.booleans(),
    empty=st.sampled_from(["exclude", "skip"]),
    raw=st.booleans(),
)
def test_is_the_five_functions(case, region, apply_trimap, empty, raw):
    options = {"region": region, "apply_trimap": apply_trimap}
    scores = evaluate(*case, **options, empty=empty, raw=raw)
    expected = (
        sad(*case, **options, raw=raw),
        mse(*case, **options),
        mad(*case, **options),
        gradient_error(*case, **options, raw=raw),
        connectivity_error(*case, **options, empty=empty, raw=raw),
    )
    assert all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(scores, expected, strict=True))


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_scores_of_an_image_are_pythons_floats(kind):
    """With a trimap two of them were NumPy's."""
    pred, alpha = np.zeros((4, 4), kind), np.full((4, 4), 255 if kind == np.uint8 else 1, kind)
    for trimap in (None, np.full((4, 4), 128, np.uint8)):
        assert {type(score) for score in evaluate(pred, alpha, trimap)} == {float}


@pytest.mark.parametrize("to", [lambda x: x, lambda x: (255 * x).astype(np.uint8)], ids=["floats", "bytes"])
def test_half_the_image_missed(to):
    """A closed form: no amplitude and no connection where a matte is flat."""
    pred, alpha = np.zeros((10, 20)), np.ones((10, 20))
    pred[:, :10] = 1
    scores = evaluate(to(pred), to(alpha))
    assert scores == (0.1, 0.5, 0.5, gradient_error(to(pred), to(alpha)), 0.1)


def test_golden_by_name():
    scores = evaluate(*golden.load("lemur_full_fba"))
    assert scores.sad == pytest.approx(golden.value("lemur_full_fba", "sad"), rel=1e-5)
    assert scores.mse == pytest.approx(golden.value("lemur_full_fba", "mse"), rel=1e-5)
    assert scores.mad == pytest.approx(1000 * scores.sad / 24891, rel=1e-12)  # its number of unknown pixels
    assert scores.gradient_error == pytest.approx(golden.value("lemur_full_fba", "grad") / 1000, rel=1e-5)
    assert scores.connectivity_error == pytest.approx(golden.value("lemur_full_fba", "conn") / 1000, rel=1e-5)


def test_no_unknown_pixel():
    scores = evaluate(*golden.load("no_unknown"))
    assert math.isnan(scores.mse)
    assert math.isnan(scores.mad)
    assert (scores.sad, scores.gradient_error, scores.connectivity_error) == (0, 0, 0)


def test_bad_empty():
    with pytest.raises(ValueError, match="empty must be one of"):
        evaluate(np.zeros((2, 2)), np.zeros((2, 2)), empty=None)

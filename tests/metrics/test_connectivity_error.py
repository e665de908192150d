import importlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mattekit.metrics import connectivity_error
from mattekit.testing import matte_pairs, matte_triples
from oracles import golden
from oracles import metrics as oracle

module = importlib.import_module("mattekit.metrics.connectivity_error")
EMPTY = {"exclude": "conn", "skip": "conn_skip_empty"}


def batch(pred, alpha, counts):
    return [torch.from_numpy(x.copy())[None] for x in (pred, alpha, counts)]


@pytest.mark.parametrize("name", golden.IN_RANGE)
@pytest.mark.parametrize("empty", EMPTY)
def test_golden(name, empty):
    pred, alpha, trimap = golden.load(name)
    value = connectivity_error(pred, alpha, trimap, check_trimap=False, empty=empty, raw=True)
    assert value == pytest.approx(golden.value(name, EMPTY[empty]), **golden.TOLERANCE)
    if empty == "exclude" and (exact := golden.exact(name, "conn")) is not None:
        assert value == pytest.approx(exact, rel=1e-15)


@pytest.mark.parametrize("name", golden.NAMES)
@pytest.mark.parametrize("empty", EMPTY)
def test_golden_below_the_check_and_on_tensors(name, empty):
    pred, alpha, trimap = golden.load(name)
    value = module.connectivity_error_of_image(pred, alpha, trimap == 128, skip_empty=empty == "skip")
    assert value == pytest.approx(golden.value(name, EMPTY[empty]), **golden.TOLERANCE)
    tensors = module.connectivity_error_of_batch(*batch(pred, alpha, trimap == 128), skip_empty=empty == "skip")
    # integers are equal; floats are summed in another order
    assert tensors.item() == pytest.approx(value, rel=1e-15 if pred.dtype == np.uint8 else 1e-13)


@pytest.mark.parametrize("empty", EMPTY)
@given(case=matte_triples())
def test_agrees_with_the_loop(empty, case):
    values = connectivity_error(*case, empty=empty, raw=True).tolist()
    for value, pred, alpha, trimap in zip(values, *(x[:, 0].numpy() for x in case), strict=True):
        expected = oracle.connectivity_error(pred, alpha, trimap == 128, skip_empty=empty == "skip")
        assert value == pytest.approx(expected, rel=2e-14)  # sums of at most 144 terms


@pytest.mark.parametrize("value", [0.15, 0.1499])
def test_what_exceeds_by_the_tolerance_counts(value):
    """theta of the reference: 0.15 itself, in single precision, counts; what is below does not."""
    pred, alpha = np.full((1, 2), value, np.float32), np.zeros((1, 2), np.float32)
    expected = 2 * float(np.float32(value)) if value == 0.15 else 0
    assert connectivity_error(pred, alpha, raw=True) == expected
    tensors = module.connectivity_error_of_batch(*batch(pred, alpha, pred > 0), skip_empty=False)
    assert tensors.item() == expected
    connected = alpha.copy()
    connected[0, 0] = value  # reaches the first level, so that only 0.05 is left to exceed it
    assert connectivity_error(pred, connected, raw=True) == expected / 2


@given(seed=st.integers(0, 10**6), empty=st.sampled_from(sorted(EMPTY)))
def test_bytes_agree_with_the_loop(seed, empty):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 2))
    steps = rng.choice([1, 5, 51, 85])  # few values make ties
    pred, alpha = (rng.integers(0, 255 // steps + 1, (2, *shape)) * steps).astype(np.uint8)
    value = connectivity_error(pred, alpha, empty=empty, raw=True)
    expected = oracle.connectivity_error(pred, alpha, skip_empty=empty == "skip")
    assert value == pytest.approx(expected, rel=1e-6)  # the oracle's differences are of single precision
    assert value * 510 == pytest.approx(round(value * 510), rel=1e-14)  # and ours a whole number of 510ths


ORDERS = {
    "transposed": (lambda x: x.T, lambda y, x: (y, x)),
    "left to right": (lambda x: x[:, ::-1], lambda y, x: (-x, y)),
    "upside down": (lambda x: x[::-1], lambda y, x: (x, -y)),
}


@pytest.mark.parametrize("move", ORDERS)
@given(seed=st.integers(0, 10**6))
def test_flipping_flips_the_rule_for_ties_and_nothing_else(move, seed):
    flip, order = ORDERS[move]
    rng = np.random.default_rng(seed)
    pred, alpha = (rng.integers(0, 4, (2, *rng.integers(1, 9, 2))) * 85).astype(np.uint8)
    expected = oracle.connectivity_error(pred, alpha, order=order)
    assert connectivity_error(flip(pred), flip(alpha), raw=True) == pytest.approx(expected, rel=1e-6)


def test_ties_do_happen():
    """Two bodies of one size, of which only the first counts as connected: the score tells which it was."""
    alpha = np.zeros((5, 9), np.uint8)
    alpha[:, :3] = alpha[:, 6:] = 255
    pred = alpha.copy()
    pred[:, :3] = 200
    scores = [connectivity_error(x, y, raw=True) for x, y in ((pred, alpha), (pred[:, ::-1], alpha[:, ::-1]))]
    assert scores[0] != scores[1]


@given(pair=matte_pairs(), empty=st.sampled_from(sorted(EMPTY)))
def test_symmetric(pair, empty):
    pred, alpha = pair
    assert connectivity_error(pred, alpha, empty=empty).equal(connectivity_error(alpha, pred, empty=empty))


@pytest.mark.parametrize("value", [0, 30, 38, 39, 128, 254, 255])
def test_a_blob_that_is_cut_off_costs_its_area_times_what_it_lacks(value):
    """A detached blob is nowhere part of the body, so it counts in full, from 0.15 on: 38/255 is below."""
    alpha = np.zeros((40, 60), np.uint8)
    alpha[5:30, 5:30] = 255
    alpha[10:20, 40:47] = 255
    pred = alpha.copy()
    pred[10:20, 40:47] = value
    seen = value / 255 if value / 255 >= 0.15 else 0
    assert connectivity_error(pred, alpha, raw=True) == pytest.approx(70 * (1 - seen), rel=1e-12)


def test_a_bridge_that_is_cut_costs_its_own_area_only():
    """The blob behind it is the same in both mattes, and its distance from the body as well."""
    alpha = np.zeros((40, 60), np.uint8)
    alpha[5:30, 5:30] = 255
    alpha[10:20, 40:47] = 255
    alpha[12, 30:40] = 255
    pred = alpha.copy()
    pred[12, 33:36] = 0
    assert connectivity_error(pred, alpha, raw=True) == 3


def test_diagonal_neighbours_are_not_connected():
    alpha = np.full((6, 6), 0, np.uint8)
    alpha[:3, :3] = alpha[3:5, 3:5] = 255
    pred = alpha.copy()
    pred[3:5, 3:5] = 204
    assert connectivity_error(pred, alpha, raw=True) == pytest.approx(4 * 51 / 255)


def test_what_an_empty_level_means():
    """A prediction that nowhere reaches 1: its last levels are empty."""
    alpha, pred = np.full((10, 10), 255, np.uint8), np.full((10, 10), 120, np.uint8)
    # levels 1 to 4 hold, so the truth exceeds level 0.4 by 0.6, and the prediction by 0.07, which is let pass
    assert connectivity_error(pred, alpha, raw=True) == pytest.approx(60)
    assert connectivity_error(pred, alpha, empty="skip", raw=True) == 0
    zero = np.zeros((10, 10), np.uint8)
    assert connectivity_error(zero, alpha, raw=True) == 100
    assert connectivity_error(zero, alpha, empty="skip", raw=True) == 0


def test_bad_empty():
    with pytest.raises(ValueError, match=r"^empty must be one of 'exclude', 'skip', got 'indexnet'$"):
        connectivity_error(np.zeros((2, 2)), np.zeros((2, 2)), empty="indexnet")


@pytest.mark.cuda
def test_cuda_batch():
    for name in golden.NAMES:
        pred, alpha, trimap = golden.load(name)
        tensors = [x.cuda() for x in batch(pred, alpha, trimap == 128)]
        value = module.connectivity_error_of_image(pred, alpha, trimap == 128, skip_empty=False)
        found = module.connectivity_error_of_batch(*tensors, skip_empty=False)
        assert found.item() == pytest.approx(value, rel=0 if pred.dtype == np.uint8 else 1e-13), name

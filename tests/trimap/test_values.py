import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mattekit import trimap as tm
from mattekit.testing import alphas, matte_triples, shapes, trimaps
from mattekit.trimap._forms import wrap

BAD_FORMS = [
    ([[0, 255]], TypeError, "trimap must be a torch.Tensor or a numpy.ndarray, got list"),
    (torch.zeros(4, 4, dtype=torch.uint8), ValueError, "trimap must have shape (N, 1, H, W), got (4, 4)"),
    (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), ValueError, "trimap must have shape (N, 1, H, W), got (1, 3, 4, 4)"),
    (torch.zeros(1, 1, 4, 4), TypeError, "trimap must be uint8, got torch.float32"),
    (np.zeros(4, np.uint8), ValueError, "trimap must have shape (H, W) or (N, H, W) as an array, got (4,)"),
    (np.zeros((1, 1, 4, 4), np.uint8), ValueError, "as an array, got (1, 1, 4, 4)"),
    (np.zeros((4, 4), np.float32), TypeError, "trimap must be uint8, got float32"),
]


@pytest.mark.parametrize(("trimap", "error", "message"), BAD_FORMS)
@pytest.mark.parametrize(
    "function", [tm.validate, tm.unknown_mask, tm.to_classes, tm.to_one_hot, tm.distance_maps, lambda t: tm.apply(t, t)]
)
def test_form_is_checked(function, trimap, error, message):
    with pytest.raises(error, match=re.escape(message)):
        function(trimap)


# ---- validate


@given(trimaps())
def test_validate_hands_back_a_good_trimap(trimap):
    assert tm.validate(trimap) is trimap
    assert tm.validate(trimap, round=True).equal(trimap)


def test_validate_counts_and_locates():
    trimap = np.zeros((20, 40), np.uint8)
    trimap[10, 4:] = 127
    trimap[11:, :31] = 127
    with pytest.raises(
        ValueError, match=r"^trimap must hold only 0, 128 and 255, got 127 in 315 pixels, first at \(10, 4\)$"
    ):
        tm.validate(trimap)


def test_validate_names_the_commonest_value_and_counts_the_others():
    trimap = torch.zeros(3, 1, 2, 3, dtype=torch.uint8)
    trimap[0, 0, 0, 0] = 7
    trimap[2, 0, 1, 1:] = 129
    with pytest.raises(ValueError, match=r"got 129 in 2 pixels, first at \(1, 1\) of image 2, and 1 other value$"):
        tm.validate(trimap)


def test_validate_names_the_image_of_two():
    with pytest.raises(ValueError, match=r"got 1 in 12 pixels, first at \(0, 0\) of image 0$"):
        tm.validate(torch.ones(2, 1, 2, 3, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"got 3 in 2 pixels, first at \(0, 0\), and 2 other values$"):
        tm.validate(np.array([[3, 3, 4, 5]], np.uint8))


def test_validate_does_not_count_images_where_there_is_one():
    with pytest.raises(ValueError, match=r"got 1 in 6 pixels, first at \(0, 0\)$"):
        tm.validate(torch.ones(1, 1, 2, 3, dtype=torch.uint8))


def test_rounding_takes_the_nearest_value_and_a_tie_to_unknown():
    every = np.arange(256, dtype=np.uint8)[None]
    targets = np.array([128, 0, 255])  # argmin takes the first of equals
    expected = targets[np.abs(every.T.astype(int) - targets).argmin(1)]
    assert np.array_equal(tm.validate(every, round=True)[0], expected)
    assert tm.validate(torch.from_numpy(every)[None, None], round=True).flatten().tolist() == expected.tolist()


def test_rounding_does_not_write_into_its_input():
    trimap = np.array([[3, 130]], np.uint8)
    tm.validate(trimap, round=True)
    assert trimap.tolist() == [[3, 130]]


# ---- unknown_mask


@given(trimaps())
def test_unknown_mask(trimap):
    mask = tm.unknown_mask(trimap)
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[[[v == 128 for v in row] for row in rows] for rows in image] for image in trimap.tolist()]
    assert np.array_equal(tm.unknown_mask(trimap[:, 0].numpy()), mask[:, 0].numpy())


def test_an_unknown_of_another_number_is_no_empty_mask():
    """A loss over an empty mask is 0, which looks like a perfect one."""
    for trimap in np.array([[0, 102, 255]], np.uint8), torch.full((1, 1, 2, 2), 127, dtype=torch.uint8):
        with pytest.raises(ValueError, match="trimap must hold only 0, 128 and 255, got 1"):
            tm.unknown_mask(trimap)


# ---- apply

FLOATS = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])


@given(st.data(), shapes(), FLOATS)
def test_apply(data, shape, dtype):
    pred, trimap = data.draw(alphas(shape=shape, dtype=dtype)), data.draw(trimaps(shape=shape))
    before = pred.clone()
    result = tm.apply(pred, trimap)
    assert result.dtype == dtype
    assert (result[trimap == 0] == 0).all()
    assert (result[trimap == 255] == 1).all()
    assert result[trimap == 128].equal(pred[trimap == 128])
    assert tm.apply(result, trimap).equal(result)
    assert pred.equal(before)


@given(matte_triples())
def test_apply_does_the_same_to_arrays(case):
    pred, _, trimap = case
    expected = tm.apply(pred, trimap)[:, 0].numpy()
    assert np.array_equal(tm.apply(pred[:, 0].numpy(), trimap[:, 0].numpy()), expected)
    assert np.array_equal(tm.apply(pred[0, 0].numpy(), trimap[0, 0].numpy()), expected[0])


def test_apply_to_bytes():
    pred, trimap = np.full((1, 3), 77, np.uint8), np.array([[0, 128, 255]], np.uint8)
    assert tm.apply(pred, trimap).tolist() == [[0, 77, 255]]
    assert pred.tolist() == [[77, 77, 77]]
    assert tm.apply(torch.from_numpy(pred)[None, None], torch.from_numpy(trimap)[None, None]).flatten().tolist() == [
        0,
        77,
        255,
    ]


def test_apply_lets_gradients_through_the_unknown_region_only():
    pred = torch.full((1, 1, 1, 3), 0.5, requires_grad=True)
    tm.apply(pred, torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)).sum().backward()
    assert pred.grad is not None
    assert pred.grad.flatten().tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("pred", "error", "message"),
    [
        (
            torch.zeros(1, 1, 2, 2, dtype=torch.int64),
            TypeError,
            "pred must be floating-point or uint8, got torch.int64",
        ),
        (torch.zeros(1, 1, 2, 3), ValueError, "pred must have the shape of trimap, (1, 1, 2, 2), got (1, 1, 2, 3)"),
        (np.zeros((1, 2, 2)), TypeError, "pred and trimap must be of one kind, got ndarray and Tensor"),
    ],
)
def test_apply_checks_the_matte(pred, error, message):
    with pytest.raises(error, match=re.escape(message)):
        tm.apply(pred, torch.zeros(1, 1, 2, 2, dtype=torch.uint8))


def test_arrays_are_not_copied_on_the_way_in():
    array = np.zeros((4, 4), np.uint8)
    assert np.shares_memory(wrap(array).numpy(), array)
    for turned in (array.T[::-1], np.broadcast_to(array[:1], (4, 4))):
        assert np.array_equal(wrap(turned).numpy(), turned)

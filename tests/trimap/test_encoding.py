import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mattekit import trimap as tm
from mattekit.testing import shapes, trimaps
from mattekit.trimap._distance import distances, distances_torch

# ---- to_classes, to_one_hot, from_semantic


@given(trimaps())
def test_to_classes(trimap):
    classes = tm.to_classes(trimap)
    assert classes.dtype == torch.int64
    assert classes.shape == trimap.shape
    assert classes.flatten().tolist() == [{255: 0, 128: 1, 0: 2}[value] for value in trimap.flatten().tolist()]
    assert np.array_equal(tm.to_classes(trimap[:, 0].numpy()), classes[:, 0].numpy())
    assert tm.to_classes(trimap[0, 0].numpy()).dtype == np.int64


@given(trimaps())
def test_to_one_hot(trimap):
    one_hot = tm.to_one_hot(trimap)
    assert one_hot.dtype == torch.float32
    for channel, value in enumerate((255, 128, 0)):
        assert one_hot[:, channel].equal((trimap[:, 0] == value).float())
    assert np.array_equal(tm.to_one_hot(trimap[:, 0].numpy()), one_hot.numpy())
    assert np.array_equal(tm.to_one_hot(trimap[0, 0].numpy()), one_hot[0].numpy())


@given(trimaps())
def test_round_trips(trimap):
    assert tm.from_semantic(tm.to_classes(trimap)).equal(trimap)
    assert tm.from_semantic(tm.to_one_hot(trimap)).equal(trimap)
    for array in (trimap[:, 0].numpy(), trimap[0, 0].numpy()):
        assert np.array_equal(tm.from_semantic(tm.to_classes(array)), array)
        assert np.array_equal(tm.from_semantic(tm.to_one_hot(array)), array)


@given(shapes(), st.integers(0, 99), st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
def test_scores_and_probabilities_give_the_likeliest_class(shape, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape[0], 3, *shape[2:], generator=generator).to(dtype)
    trimap = tm.from_semantic(logits)
    assert trimap.dtype == torch.uint8
    assert trimap.shape == shape
    best = {0: 255, 1: 128, 2: 0}
    expected = [best[int(np.argmax(scores))] for scores in logits.double().permute(0, 2, 3, 1).reshape(-1, 3).numpy()]
    assert trimap.flatten().tolist() == expected
    if dtype == torch.float64:
        assert tm.from_semantic(logits.softmax(1)).equal(trimap)


def test_scores_that_need_gradients():
    assert tm.from_semantic(torch.rand(1, 3, 2, 2, requires_grad=True)).dtype == torch.uint8


@pytest.mark.parametrize(
    ("semantic", "error", "message"),
    [
        (torch.rand(1, 1, 4, 4), ValueError, "semantic must have shape (N, 3, H, W), got (1, 1, 4, 4)"),
        (np.zeros((4, 4)), ValueError, "semantic must have shape (3, H, W) or (N, 3, H, W) as an array, got (4, 4)"),
        (np.zeros((4, 4, 3)), ValueError, "as an array, got (4, 4, 3)"),
        (np.zeros((1, 1, 3, 4, 4)), ValueError, "as an array, got (1, 1, 3, 4, 4)"),
        (torch.zeros(1, 3, 4, 4).long(), ValueError, "semantic must have shape (N, 1, H, W), got (1, 3, 4, 4)"),
        ([[0, 1]], TypeError, "semantic must be a torch.Tensor or a numpy.ndarray, got list"),
        (np.zeros((4, 4), bool), TypeError, "semantic must hold scores or classes, got bool; from_mask takes masks"),
        (
            np.array([[0, 1], [3, 2]]),
            ValueError,
            "semantic must hold only 0, 1 and 2, got 3 in 1 pixel, first at (1, 0)",
        ),
    ],
)
def test_semantic_is_checked(semantic, error, message):
    with pytest.raises(error, match=re.escape(message)):
        tm.from_semantic(semantic)


# ---- distance_maps


def scipy_distances(region):
    if not region.any():
        return np.full(region.shape, np.inf)
    return ndimage.distance_transform_edt(~region)


# float32: squares of distances here are integers below 2^24 and so exact, and the root rounds once; OpenCV's own root
# is good to a few of float32's steps of 6e-8
RTOL = 1e-6


@given(trimaps())
def test_euclidean_is_scipys(trimap):
    maps = tm.distance_maps(trimap, encoding="euclidean")
    assert maps.dtype == torch.float32
    assert maps.shape == (len(trimap), 2, *trimap.shape[2:])
    for found, image in zip(maps.numpy(), trimap[:, 0].numpy(), strict=True):
        for channel, value in enumerate((0, 255)):
            np.testing.assert_allclose(found[channel], scipy_distances(image == value), rtol=RTOL)


@given(trimaps())
def test_fba_is_the_published_encoding(trimap):
    """exp(-d² / 2(rL)²) for L = 320 and r = 0.02, 0.08 and 0.16; background first; zeros where a region is missing."""
    maps = tm.distance_maps(trimap)
    assert maps.dtype == torch.float32
    for found, image in zip(maps.numpy(), trimap[:, 0].numpy(), strict=True):
        expected = np.zeros((6, *image.shape))
        for side, value in enumerate((0, 255)):
            if (image == value).any():
                d = scipy_distances(image == value)
                for i, r in enumerate((0.02, 0.08, 0.16)):
                    expected[3 * side + i] = np.exp(-(d**2) / (2 * (r * 320) ** 2))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)  # d² is off by 2e-6 of itself, times 1/2σ²


@given(trimaps(), st.sampled_from(["fba", "euclidean"]))
def test_forms_agree(trimap, encoding):
    expected = tm.distance_maps(trimap, encoding=encoding).numpy()
    arrays = trimap[:, 0].numpy()
    assert np.array_equal(tm.distance_maps(arrays, encoding=encoding), expected)
    arrays.flags.writeable = False
    assert np.array_equal(tm.distance_maps(arrays[0], encoding=encoding), expected[0])


def test_fba_is_the_default_and_the_sigmas_are_in_pixels():
    trimap = np.zeros((1, 200), np.uint8)
    trimap[0, 1:] = 128
    maps = tm.distance_maps(trimap)
    assert maps.shape == (6, 1, 200)
    for channel, sigma in enumerate((6.4, 25.6, 51.2)):
        assert maps[channel, 0, 100] == pytest.approx(np.exp(-(100**2) / (2 * sigma**2)), rel=1e-4, abs=1e-30)
    assert not maps[3:].any()


@given(st.data(), shapes(max_side=20))
def test_torchs_distances_are_opencvs(data, shape):
    """What runs on a GPU, run here."""
    region = data.draw(trimaps(shape=shape)) == 255
    np.testing.assert_allclose(distances_torch(region), distances(region), rtol=RTOL)


@pytest.mark.parametrize("measure", [distances, distances_torch])
def test_no_regions_are_no_distances(measure):
    assert measure(torch.zeros(0, 2, 4, 5, dtype=torch.bool)).shape == (0, 2, 4, 5)


@pytest.mark.parametrize("step", [1, 500, 10**9])
def test_torchs_distances_in_pieces(step, monkeypatch):
    monkeypatch.setattr("mattekit.trimap._distance._LARGEST_STEP", step)
    region = torch.rand(2, 2, 17, 11) > 0.97
    np.testing.assert_allclose(distances_torch(region), distances(region), rtol=RTOL)


@pytest.mark.cuda
@pytest.mark.parametrize("encoding", ["fba", "euclidean"])
def test_distance_maps_on_cuda(encoding):
    trimap = torch.tensor([0, 128, 255], dtype=torch.uint8)[torch.randint(3, (2, 1, 300, 200))]
    trimap[0, 0, 50:250, 50:150] = 128
    found = tm.distance_maps(trimap.cuda(), encoding=encoding)
    torch.testing.assert_close(found.cpu(), tm.distance_maps(trimap, encoding=encoding), rtol=1e-5, atol=1e-7)


def test_the_encoding_is_checked():
    with pytest.raises(ValueError, match="encoding must be one of 'fba', 'euclidean', got 'gaussian'"):
        tm.distance_maps(np.zeros((2, 2), np.uint8), encoding="gaussian")  # pyright: ignore[reportArgumentType]


def test_scores_of_nan_are_refused():
    """To argmax NaN is the largest, so that all would be foreground."""
    scores = torch.zeros(2, 3, 4, 5)
    scores[1, 2, 3, 4] = torch.nan
    for semantic in (scores, scores.numpy(), scores[1].numpy()):
        with pytest.raises(ValueError, match=r"^semantic must not be NaN, got NaN in 1 pixel$"):
            tm.from_semantic(semantic)


def test_masks_of_scores_are_not_ignored():
    with pytest.raises(TypeError, match="semantic must not be a masked array"):
        tm.from_semantic(np.ma.masked_array(np.zeros((3, 2, 2))))

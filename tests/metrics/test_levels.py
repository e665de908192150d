import importlib

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import ndimage

from oracles import metrics as oracle

levels = importlib.import_module("mattekit.metrics._levels")


def by_labelling(reached: np.ndarray, *, skip_empty: bool) -> np.ndarray:
    """Every level labelled in full, by another library."""
    result, alive = np.zeros(reached.shape, int), np.ones(reached.shape, bool)
    for level in range(1, 11):
        labels, number = ndimage.label((reached >= level).T)  # 4-connected, numbered row by row of the transpose
        if number == 0 and skip_empty:
            result[alive] = 10
            break
        areas = np.bincount(labels.ravel(), minlength=2)
        alive &= 1 + areas[1:].argmax() == labels.T
        result[alive] = level
    return result


def all_levels(reached, *, skip_empty=False):
    return levels.connected_levels(reached, np.full_like(reached, 10), skip_empty=skip_empty)


def noise(seed: int, height: int, width: int, grain: float, contrast: float) -> np.ndarray:
    """Levels of smoothed noise: a few large components or many small ones, of different shapes at each level."""
    field = np.random.default_rng(seed).normal(size=(height, width))
    field = cv2.GaussianBlur(field, (0, 0), grain) if grain else field
    field = field / (field.std() or 1)
    return np.clip(np.round(5 + contrast * field), 0, 10).astype(np.uint8)


noises = st.builds(
    noise,
    seed=st.integers(0, 10**6),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    grain=st.sampled_from([0, 0.8, 2, 5]),
    contrast=st.sampled_from([0.5, 2, 4, 12]),
)


def test_thresholds_by_value():
    """p >= t_k in the reference's single precision and 10 v >= 255 k are the same, for all values and levels."""
    assert levels.THRESHOLDS == (26, 51, 77, 102, 128, 153, 179, 204, 230, 255)  # SPEC.md, section 4.6
    values = np.arange(256, dtype=np.uint8)[None]
    expected = [sum(v / np.float32(255) >= np.float32(k * 0.1) for k in range(1, 11)) for v in np.float32(values[0])]
    assert levels.reached_levels(values, values)[0].tolist() == expected
    assert levels.reached_levels(values / 255, values / 255)[0].tolist() == expected


def test_the_lower_matte_decides_what_is_reached():
    low, high = np.full((2, 3), 60, np.uint8), np.full((2, 3), 250, np.uint8)
    assert (levels.reached_levels(low, high) == 2).all()
    assert (levels.reached_levels(high / 255, low / 255) == 2).all()


@pytest.mark.parametrize("scale", [1, 255])
def test_deciding_levels_are_those_that_change_the_excess(scale):
    """For each value, the highest k for which level k-1 or k makes a difference to what exceeds it by 0.15."""
    values = np.arange(256, dtype=np.uint8)[None] if scale == 1 else np.arange(256)[None] / 255
    excess = 2 * np.arange(256)[:, None] - 51 * np.arange(11)
    excess = np.where(excess >= 77, excess, 0)
    differs = excess[:, 1:] != excess[:, :-1]
    expected = np.where(differs.any(1), 10 - differs[:, ::-1].argmax(1), 0)
    expected[0] = 0
    found = levels.deciding_levels(values, np.zeros_like(values), None)
    assert found[0].tolist() == expected.tolist()
    assert found.max() == 9  # level 10 never matters


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_tolerance_itself_decides(dtype):
    """In single precision, whatever the mattes come in."""
    assert levels.deciding_levels(np.array([[0.15, 0.1499]], dtype), np.zeros((1, 2), dtype), None).tolist() == [[1, 0]]


def test_deciding_levels_where_nothing_counts():
    pred, alpha = np.full((1, 4), 255, np.uint8), np.array([[255, 0, 0, 255]], np.uint8)
    region = np.array([[True, True, False, False]])
    assert levels.deciding_levels(pred, alpha, region).tolist() == [[0, 9, 0, 0]]
    assert levels.deciding_levels(pred / 255, alpha / 255, None).tolist() == [[0, 9, 9, 0]]


@given(noises, st.booleans())
@example(np.zeros((3, 4), np.uint8), True)
@example(np.zeros((3, 4), np.uint8), False)
@example(np.full((3, 4), 10, np.uint8), False)
@example(np.full((1, 1), 4, np.uint8), True)
def test_as_by_labelling(reached, skip_empty):
    assert (all_levels(reached, skip_empty=skip_empty) == by_labelling(reached, skip_empty=skip_empty)).all()


@given(noises, st.booleans())
def test_as_by_labelling_when_flood_fills_never_tell(reached, skip_empty):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "_SEEDS", 0)
        found = all_levels(reached, skip_empty=skip_empty)
    assert (found == by_labelling(reached, skip_empty=skip_empty)).all()


def test_one_large_component_is_found_without_labelling(monkeypatch):
    """Which is what makes it fast: as long as one component is larger than the rest, nothing is labelled."""
    monkeypatch.setattr(levels, "_largest", None)
    y, x = np.mgrid[:300, :400]
    reached = np.clip(12 - np.hypot(y - 120, x - 180) / 12, 0, 10).astype(np.uint8)
    reached[250:260, 350:360] = 4
    assert (all_levels(reached) == np.where(x < 345, reached, 0)).all()


def test_dominant():
    mask = np.zeros((12, 20), bool)
    mask[3:8, 4:12] = True
    mask[4, 5] = False
    assert levels._dominant(mask, 39, 39) is None
    body, corner, area, rival = levels._dominant(mask, 39, 38)
    assert (corner, area, rival) == ((3, 4), 39, 38)
    assert (body == mask[3:8, 4:12]).all()
    assert levels._dominant(mask, 39, 0)[3] == 0  # everything has been seen
    mask[9:, 18:] = True
    assert levels._dominant(mask, 45, 0)[2:] == (39, 6)
    mask[:, 14:16] = True
    mask[:2, 0] = True
    assert levels._dominant(mask, 71, 0)[1:3] == ((3, 4), 39)
    assert levels._dominant(np.eye(2, dtype=bool), 2, 0) is None  # equally large


def test_seeds_are_spread_over_the_mask():
    assert levels._seeds(np.ones((640, 640), bool)) == [[90 * i, 90 * i] for i in range(1, 7)]  # of every 10th pixel
    assert levels._seeds(np.zeros((5, 5), bool)) == []
    odd = np.zeros((3, 3), bool)
    odd[1, 1] = True
    assert levels._seeds(odd) == [[1, 1]] * 6


@given(noises)
def test_as_by_breadth_first_search(reached):
    small = reached[:9, :9]
    matte = (small / 10).astype(np.float32)
    assert (levels.reached_levels(matte, matte) == small).all()
    assert (all_levels(small) == oracle.levels(matte, matte)).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("grain", "contrast"), [(3, 4), (12, 3), (40, 3)])
def test_as_by_labelling_at_the_size_of_photos(seed, grain, contrast):
    """Where seeds are sampled, boxes shrink and most levels are found by flood fill."""
    reached = noise(seed, 500, 700, grain, contrast)
    assert (all_levels(reached) == by_labelling(reached, skip_empty=False)).all()


@given(noises, st.integers(0, 10**6))
def test_deciding_levels_change_nothing_that_they_decide(reached, seed):
    deciding = np.random.default_rng(seed).integers(0, 11, reached.shape, dtype=np.uint8)
    deciding[np.random.default_rng(seed + 1).random(reached.shape) < 0.9] = 0
    found = levels.connected_levels(reached, deciding, skip_empty=False)
    full = by_labelling(reached, skip_empty=False)
    assert (np.minimum(found, deciding) == np.minimum(full, deciding)).all()


@pytest.mark.parametrize("first", ["top", "left"])
def test_of_equal_components_the_first_column_by_column(first):
    """The reference's rule, and not that of cv2, scikit-image and SciPy, which number row by row."""
    reached = np.zeros((6, 6), np.uint8)
    reached[0:2, 4:6] = 10  # first row by row
    reached[4:6, 0:2] = 10  # first column by column
    if first == "top":
        reached = reached[::-1].copy()
    found = all_levels(reached)
    winner = np.s_[4:6, 0:2] if first == "left" else np.s_[0:2, 0:2]
    assert (found[winner] == 10).all()
    assert found.sum() == 40
    assert (found == by_labelling(reached, skip_empty=False)).all()

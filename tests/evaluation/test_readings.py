import math

import numpy as np
import pytest

from mattekit.evaluation import Reading, consistent_readings

BOTH = [Reading("all", 1), Reading("all", 1000)]


@pytest.mark.parametrize("scale", [1, 1000])
def test_what_is_true_is_never_left_out(scale):
    """Means of any errors, printed with any digits, are possible on the pixels that they are of."""
    rng = np.random.default_rng(scale)
    for _ in range(150):
        kinds = rng.uniform, lambda *size: rng.integers(0, 2, size[-1]), lambda *size: np.full(size[-1], rng.uniform())
        images = [kinds[rng.integers(3)](0, 1, rng.integers(1, 9)) for _ in range(rng.integers(1, 5))]
        sad = np.mean([image.sum() for image in images]) / 1000
        mse, mad = (np.mean([(image**power).mean() for image in images]) * scale for power in (2, 1))
        digits = rng.integers(1, 7)
        pixels = {"all": [len(image) for image in images]}
        for row in [f"{sad:.6f}", f"{mse:.{digits}f}", f"{mad:.{digits}f}"], [float(sad), float(mse), float(mad)]:
            assert Reading("all", scale) in consistent_readings(row[0], row[1], pixels), (row, images)
            assert Reading("all", scale) in consistent_readings(row[0], row[1], pixels, mad=row[2]), (row, images)


@pytest.mark.parametrize(
    ("sad", "mse", "mad", "counts", "expected"),
    [
        # each limit, met and passed by a little: one image of 1000 pixels, whose MAD is its SAD
        (0.5, 0.5, None, [1000], BOTH[:1]),
        (0.5, 0.501, None, [1000], []),
        (0.5, 0.25, None, [1000], BOTH[:1]),
        (0.5, 0.249, None, [1000], []),
        (1.0, 1.0, None, [1000], BOTH[:1]),
        (1.001, 1.0, None, [1000], []),
        (0.5, 300, None, [1000], BOTH[1:]),
        # of two images either may hold the error: MSE at most where it all lies in the small one
        (0.05, 0.5, None, [100, 1000], BOTH[:1]),
        (0.05, 0.501, None, [100, 1000], []),
        # and at least where it is spread as n is: sqrt(MSE) = 0.1, 1 and SAD (0.01 + 1) / 2
        (0.505, 0.505, None, [100, 1000], BOTH[:1]),
        (0.505, 0.504, None, [100, 1000], []),
        # MAD tells what MSE leaves open
        (0.5, 0.3, 0.5, [1000], BOTH[:1]),
        (0.5, 0.3, 0.499, [1000], []),
        (0.5, 0.3, 0.501, [1000], []),
        (0.1, 0.25, 0.2, [100, 1000], []),  # MSE above MAD
        (0.1, 0.03, 0.2, [100, 1000], []),  # MAD above its root
        ("0.5", "0.5", "0.50", [1000], BOTH[:1]),
        ("0.5", "0.55", None, [1000], BOTH[:1]),  # 0.5 may be 0.549
        ("0.50", "0.51", None, [1000], BOTH[:1]),  # 0.505 and 0.505
        ("0.50", "0.52", None, [1000], []),
        ("0.5", "5e1", None, [1000], []),
        ("0", "0", "0", [1000], BOTH),
    ],
)
def test_the_limits(sad, mse, mad, counts, expected):
    assert consistent_readings(sad, mse, {"all": counts}, mad=mad) == expected


def test_published_rows():
    """AimNet on AIM-500, of the README of JizhiziLi/AIM: of the whole image; 43.92 / 0.0262 thousand pixels."""
    pixels = {"whole": [1_676_336], "unknown": [400_000]}
    assert consistent_readings("43.92", "0.0161", pixels, mad="0.0262") == [Reading("whole", 1)]
    # ViTMatte-S on Composition-1k prints MSE in thousandths, as 3.3 is no mean of squares of at most 1
    assert consistent_readings("21.46", "3.3", {"whole": [1_700_000]}) == [Reading("whole", 1000)]


def test_numbers_of_numpy():
    """The square of two million does not fit into int32: nothing was possible then, and nothing said so."""
    counts = np.array([2_000_000, 1_000_000], np.int32)
    for given in (counts, list(counts)):
        found = consistent_readings(np.float32(46.25), np.float32(5), {"whole": given})
        assert found == consistent_readings(46.25, 5, {"whole": counts.tolist()}) == [Reading("whole", 1000)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("-1", "0.1", {"all": [9]}), "sad must be at least 0 and finite, got '-1'"),
        (("1", "nan", {"all": [9]}), "mse must be at least 0 and finite, got 'nan'"),
        (("1", math.inf, {"all": [9]}), "mse must be at least 0 and finite, got inf"),
        (("much", "0.1", {"all": [9]}), "sad must be a number, got 'much'"),
        (("1", "0.1", {"all": []}), r"at least one pixel, got \[\] for 'all'"),
        (("1", "0.1", {"all": [9, 0]}), r"at least one pixel, got \[9, 0\] for 'all'"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        consistent_readings(*given)

import re
import subprocess
import sys

import pytest
import torch
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from mattekit import testing
from mattekit.trimap import BACKGROUND, FOREGROUND, UNKNOWN

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def is_unit(x):
    return bool(((x >= 0) & (x <= 1)).all())


@given(st.data(), st.sampled_from(DTYPES))
def test_everything_has_the_form_it_promises(data, dtype):
    n, c, h, w = shape = data.draw(testing.shapes())
    assert c == 1
    alpha = data.draw(testing.alphas(shape=shape, dtype=dtype))
    pred, other, trimap = data.draw(testing.matte_triples(shape=shape, dtype=dtype))
    image = data.draw(testing.images(shape=shape, dtype=dtype))
    for matte in (alpha, pred, other):
        assert matte.shape == shape
        assert matte.dtype == dtype
        assert is_unit(matte)
    assert image.shape == (n, 3, h, w)
    assert image.dtype == dtype
    assert is_unit(image)
    assert trimap.shape == shape
    assert trimap.dtype == torch.uint8
    assert set(trimap.unique().tolist()) <= {BACKGROUND, UNKNOWN, FOREGROUND}


@given(testing.shapes(max_batch=3, min_side=4, max_side=5))
def test_shapes_keep_to_their_limits(shape):
    assert 1 <= shape[0] <= 3
    assert shape[1] == 1
    assert {shape[2], shape[3]} <= {4, 5}


# The awkward cases must turn up within a thousand examples, not merely be possible.
@pytest.mark.parametrize(
    ("strategy", "is_awkward"),
    [
        (testing.alphas(), lambda a: a.numel() > 4 and (a == 0).all()),
        (testing.alphas(), lambda a: a.numel() > 4 and (a == 1).all()),
        (testing.alphas(), lambda a: a.numel() == 1),
        (testing.alphas(), lambda a: a.shape[2] == 1 and a.shape[3] > 4),
        (testing.alphas(), lambda a: a.shape[3] == 1 and a.shape[2] > 4),
        (testing.alphas(), lambda a: ((a > 0) & (a < torch.finfo(a.dtype).tiny)).any()),
        (testing.alphas(), lambda a: (a == 128 / 255).any()),
        (testing.alphas(), lambda a: (a == 0.1).any()),
        (testing.alphas(), lambda a: a.numel() > 4 and ((a > 0) & (a < 1)).sum() == 1),
        (testing.alphas(), lambda a: a.numel() > 4 and a.unique().numel() > 2),
        (testing.trimaps(), lambda t: t.numel() > 4 and not (t == UNKNOWN).any()),
        (testing.trimaps(), lambda t: t.numel() > 4 and (t == UNKNOWN).all()),
        (testing.trimaps(), lambda t: t.numel() > 4 and (t == UNKNOWN).sum() == 1),
        (testing.trimaps(), lambda t: t.unique().numel() == 3),
        (testing.matte_pairs(), lambda p: p[0].numel() > 4 and (p[0] == p[1]).all()),
        (testing.matte_pairs(), lambda p: p[0].numel() > 4 and ((p[0] == 1) & (p[1] == 0)).all()),
        (testing.matte_pairs(), lambda p: p[0].numel() > 4 and (p[0] != p[1]).sum() == 1),
        (testing.matte_triples(), lambda p: (p[0] != p[1])[p[2] == UNKNOWN].any()),
        (testing.images(), lambda i: i.unique().numel() > 2),
        (testing.alphas(), lambda a: min(a.shape[2:]) > 4 and a.unique().numel() > 20),
        (testing.matte_pairs(), lambda p: min(p[0].shape[2:]) > 4 and (p[0] != p[1]).float().mean() > 0.9),
    ],
)
def test_awkward_cases_turn_up(strategy, is_awkward):
    limits = settings(max_examples=1000, phases=[Phase.generate])
    assert is_awkward(find(strategy, lambda x: bool(is_awkward(x)), settings=limits))  # raises where there is none


def test_pairs_do_not_share_memory():
    @given(testing.matte_pairs())
    def check(pair):
        assert pair[0].data_ptr() != pair[1].data_ptr()

    check()


@given(testing.alphas())
def test_drawn_tensors_may_be_written_to(alpha):
    alpha.zero_()


def test_failures_shrink_to_something_readable():
    pred, alpha = find(testing.matte_pairs(), lambda pair: (pair[0] - pair[1]).abs().sum() > 1.5)
    assert pred.tolist() == [[[[1.0, 1.0]]]]
    assert alpha.tolist() == [[[[0.0, 0.0]]]]
    trimap = find(testing.trimaps(), lambda t: t.unique().numel() == 3)
    assert (trimap == 0).sum() == trimap.numel() - 2  # three pixels would do; the rest is zeros at least
    assert trimap.numel() <= 16
    trimap = find(testing.trimaps(), lambda t: (t == UNKNOWN).sum() >= 5 and min(t.shape[2:]) > 1)
    assert trimap.numel() <= 9
    alpha = find(testing.alphas(shape=(1, 1, 2, 4)), lambda a: ((a > 0.25) & (a < 0.5)).any())
    assert alpha.unique().numel() <= 2  # noise, too, shrinks to one pixel that matters


# Hypothesis draws floats from the constants of all modules that are loaded, too: over seeds, with this module alone and
# with all of them, the shares of alphas were 0.25 to 0.36 and those of images 0.27 to 0.44. No other is near its bound.
@pytest.mark.parametrize(
    ("strategy", "is_ordinary", "share"),
    [
        (testing.shapes(), lambda s: min(s[2:]) >= 3, 0.4),
        (testing.alphas(), lambda a: a.unique().numel() > 3, 0.2),
        (testing.trimaps(), lambda t: t.unique().numel() == 3, 0.3),
        (testing.images(), lambda i: i.unique().numel() > 3, 0.2),
        (testing.matte_pairs(), lambda p: (p[0] != p[1]).any(), 0.3),
        (testing.matte_pairs(), lambda p: (p[0] != p[1]).any() and min(x.unique().numel() for x in p) > 3, 0.06),
    ],
)
def test_ordinary_cases_are_no_exceptions(strategy, is_ordinary, share):
    seen = []

    @settings(max_examples=300, phases=[Phase.generate], derandomize=True, database=None)
    @given(strategy)
    def look(case):
        seen.append(bool(is_ordinary(case)))

    look()
    assert sum(seen) >= share * len(seen)


@pytest.mark.parametrize("strategy", [testing.alphas, testing.trimaps, testing.matte_pairs, testing.images])
@pytest.mark.parametrize("shape", [(2, 2), (1, 1, 0, 4)])
def test_shapes_are_checked(strategy, shape):
    with pytest.raises(ValueError, match=re.escape(f"shape must be four positive numbers, (N, C, H, W), got {shape}")):
        strategy(shape=shape)


def test_limits_and_types_are_checked():
    with pytest.raises(ValueError, match="min_side must be from 1 to max_side, 12, got 0"):
        testing.shapes(min_side=0)
    with pytest.raises(ValueError, match="min_side must be from 1 to max_side, 3, got 5"):
        testing.shapes(min_side=5, max_side=3)
    with pytest.raises(ValueError, match="max_batch must be positive, got 0"):
        testing.shapes(max_batch=0)
    with pytest.raises(TypeError, match=r"dtype must be floating-point, got torch\.uint8"):
        testing.alphas(shape=(1, 1, 2, 2), dtype=torch.uint8)


def test_without_hypothesis_it_says_what_to_install_and_the_rest_works():
    script = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from mattekit import trimap; print(trimap.UNKNOWN)\n"
        "try: import mattekit.testing\n"
        "except ImportError as error: print(error)"
    )
    said = subprocess.check_output([sys.executable, "-c", script], text=True).splitlines()
    assert said == ["128", "mattekit.testing needs hypothesis: pip install hypothesis"]


@pytest.mark.cuda
def test_devices():
    assert find(testing.alphas(device="cuda"), lambda a: True).is_cuda
    assert find(testing.trimaps(device="cuda"), lambda a: True).is_cuda

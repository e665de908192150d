"""What runs on a CUDA device, run here: every metric on tensors that stay where they are."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mattekit.evaluation import PROTOCOLS
from mattekit.metrics import evaluate, inputs
from mattekit.testing import matte_pairs, shapes, trimaps


def on_tensors(function, *arguments, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "_is_computed_there", lambda x: True)
        return function(*arguments, **options)


def assert_equal(found, expected):
    """Of float64 sums in another order, and of amplitudes divided by ranges of 1/255 at least; NaN where NaN is."""
    for values, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(values, wanted, rtol=1e-10, atol=1e-16, equal_nan=True)


def as_bytes(x):
    x = (x * 255).round().byte()
    return x.where(x != 1, 2)  # a matte of 0 and 1 alone is refused


KINDS = {
    "bytes": (as_bytes, as_bytes),
    "floats": (lambda x: as_bytes(x) / 255, lambda x: as_bytes(x).double() / 255),
    "half and bytes": (lambda x: as_bytes(x).bfloat16() / 256, as_bytes),
}
several = shapes(max_batch=3).flatmap(lambda shape: st.tuples(matte_pairs(shape=shape), trimaps(shape=shape)))


@pytest.mark.parametrize("kind", KINDS)
@given(several, st.sampled_from([None, "whole", "foreground"]), st.booleans(), st.sampled_from(["exclude", "skip"]))
def test_evaluate(kind, case, region, apply_trimap, empty):
    mattes, trimap = case
    arguments = *(to(x) for to, x in zip(KINDS[kind], mattes, strict=True)), trimap
    options = {"region": region, "apply_trimap": apply_trimap, "empty": empty}
    found = on_tensors(evaluate, *arguments, **options)
    assert_equal(found, evaluate(*arguments, **options))
    assert all(values.dtype == torch.float64 and values.shape == (len(trimap),) for values in found)


@given(matte_pairs())
def test_without_a_trimap(pair):
    pair = [as_bytes(x) / 255 for x in pair]
    assert_equal(on_tensors(evaluate, *pair), evaluate(*pair))


@pytest.mark.parametrize("name", ["composition-1k", "aim-500"])
@given(several)
def test_protocols_round_alike(name, case):
    (pred, alpha), trimap = case
    pred = (as_bytes(pred).double() + 0.3).clamp(max=255) / 255
    arguments = pred, as_bytes(alpha), trimap
    found = on_tensors(PROTOCOLS[name].evaluate, *arguments)
    for region, expected in PROTOCOLS[name].evaluate(*arguments).items():
        assert_equal(found[region], expected)


def test_a_batch_of_no_image():
    none = torch.zeros(0, 1, 4, 5)
    assert [tuple(x.shape) for x in on_tensors(evaluate, none, none)] == [(0,)] * 5


def test_range_is_checked():
    with pytest.raises(ValueError, match=r"^pred must lie in \[0, 1\] if it holds floats, got 1.5 to 1.5"):
        on_tensors(evaluate, torch.full((1, 1, 2, 2), 1.5), torch.zeros(1, 1, 2, 2))

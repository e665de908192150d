"""What all metrics share: kinds, dtypes, shapes, regions, trimaps, batches."""

import math
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mattekit import trimap as tm
from mattekit.metrics import _bands, connectivity_error, evaluate, gradient_error, inputs, mad, mse, sad
from mattekit.testing import matte_pairs, matte_triples, shapes, trimaps
from oracles import golden

FUNCTIONS = [sad, mse, mad, gradient_error, connectivity_error]
SUMS = [sad, gradient_error, connectivity_error]
PHOTO = "lemur_crop0_noise12"
each = pytest.mark.parametrize("metric", FUNCTIONS)


def photo():
    return golden.load(PHOTO)


def tensor(x):
    return torch.from_numpy(x.copy())[None, None]


def test_constants_are_those_of_the_trimap_room():
    assert (inputs.BACKGROUND, inputs.UNKNOWN, inputs.FOREGROUND) == (tm.BACKGROUND, tm.UNKNOWN, tm.FOREGROUND)


def test_numpy_callers_pay_for_no_torch():
    script = (
        "import sys, numpy as np; from mattekit import metrics\n"
        "x = np.zeros((4, 4), np.uint8); metrics.evaluate(x, x, x + np.uint8(128))\n"
        "assert not {'torch', 'torchmetrics', 'scipy', 'skimage', 'tqdm'} & set(sys.modules)\n"
        "import torch; metrics.evaluate(*[torch.zeros(1, 1, 4, 4)] * 2); assert 'torchmetrics' not in sys.modules\n"
        "from mattekit.metrics import SAD; assert 'torchmetrics' in sys.modules and SAD().compute().isnan()\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


# ---- kinds and dtypes


@each
def test_tensors_and_arrays_agree(metric):
    pred, alpha, trimap = photo()
    value, values = metric(pred, alpha, trimap), metric(tensor(pred), tensor(alpha), tensor(trimap))
    assert isinstance(value, float)
    assert values.tolist() == [value]
    assert values.dtype == torch.float64


@each
@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint16, ">u2"])
def test_other_integers_are_read_as_bytes(metric, dtype):
    pred, alpha, trimap = photo()
    assert metric(pred.astype(dtype), alpha, trimap) == metric(pred, alpha, trimap)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f8"])
def test_floats_of_bytes_score_as_bytes(metric, dtype):
    """k/255 in single precision is off by 3e-8 at most, either way: over an image that is less than 1e-6 of the sum."""
    pred, alpha, trimap = photo()
    floats = [(x / 255).astype(dtype) for x in (pred, alpha)]
    expected = pytest.approx(metric(pred, alpha, trimap), rel=1e-6)
    assert metric(*floats, trimap) == expected
    assert metric(floats[0], alpha, trimap) == expected
    assert metric(pred, floats[1], trimap) == expected


@each
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floating_tensors_are_taken_at_their_value(metric, dtype):
    pred, alpha, trimap = photo()
    pred, alpha = (tensor(x / 255).to(dtype) for x in (pred, alpha))
    assert (
        metric(pred, alpha, tensor(trimap)).tolist() == metric(pred.double(), alpha.double(), tensor(trimap)).tolist()
    )


@each
def test_gradients_are_let_go(metric):
    pred = torch.full((1, 1, 4, 4), 0.5, requires_grad=True)
    assert not metric(pred, torch.ones(1, 1, 4, 4)).requires_grad


@each
def test_arguments_are_not_written_to(metric):
    """The golden cases are read-only, so NumPy would complain; tensors cannot be, so they are compared."""
    pred, alpha, trimap = photo()
    assert math.isfinite(metric(pred, alpha, trimap, apply_trimap=True))
    tensors = [tensor(x) for x in (pred, alpha, trimap)]
    metric(*tensors, apply_trimap=True)
    assert all(after.equal(tensor(before)) for after, before in zip(tensors, (pred, alpha, trimap), strict=True))


@each
@pytest.mark.parametrize("view", [lambda x: x.T, lambda x: x[::-1, ::-1], lambda x: x[::2, 1::3]])
@pytest.mark.parametrize("scale", [1, 255])
def test_strides_do_not_matter(metric, view, scale):
    pred, alpha, trimap = photo()
    if scale != 1:
        pred, alpha = pred / 255, alpha / 255
    views = [view(x) for x in (pred, alpha, trimap)]
    assert metric(*views) == metric(*(x.copy(order="C") for x in views))
    strided = [tensor(x).transpose(2, 3) for x in (pred, alpha, trimap)]
    assert metric(*strided).tolist() == metric(*(x.contiguous() for x in strided)).tolist()


# ---- bad input

ZEROS = np.zeros((4, 5))
BAD = [
    (([[0.5]], ZEROS), TypeError, "pred must be a torch.Tensor or a numpy.ndarray, got list"),
    ((ZEROS, None), TypeError, "alpha must be a torch.Tensor or a numpy.ndarray, got NoneType"),
    ((ZEROS, torch.zeros(1, 1, 4, 5)), TypeError, "alpha must be what pred is, a ndarray, got a Tensor"),
    ((ZEROS, np.zeros((5, 4))), ValueError, "alpha must have the shape of pred, (4, 5), got (5, 4)"),
    ((ZEROS, ZEROS, np.zeros((5, 4), np.uint8)), ValueError, "trimap must have the shape of pred, (4, 5), got (5, 4)"),
    ((ZEROS[None], ZEROS), ValueError, "pred must have shape (H, W) as a NumPy array, with at least one pixel"),
    ((ZEROS[:0], ZEROS), ValueError, "at least one pixel, got (0, 5)"),
    ((torch.zeros(4, 5),) * 2, ValueError, "pred must have shape (N, 1, H, W) as a tensor, with at least one pixel"),
    ((torch.zeros(1, 3, 4, 5),) * 2, ValueError, "pred must have shape (N, 1, H, W)"),
    ((ZEROS.astype(bool), ZEROS), TypeError, "pred must be floating-point in [0, 1] or uint8, got bool"),
    ((ZEROS, ZEROS.astype(complex)), TypeError, "alpha must be floating-point in [0, 1] or uint8, got complex128"),
    ((torch.zeros(1, 1, 4, 5), torch.zeros(1, 1, 4, 5).bool()), TypeError, "alpha must be floating-point in [0, 1]"),
    (
        (ZEROS + 255, ZEROS),
        ValueError,
        "pred must lie in [0, 1] if it holds floats, got 255 to 255: did you pass 0..255?",
    ),
    ((ZEROS + 1.5, ZEROS), ValueError, "got 1.5 to 1.5: did you pass 0..255?"),
    ((ZEROS + 1.25, ZEROS), ValueError, "got 1.25 to 1.25: clamp it first"),
    ((ZEROS + 1.00001, ZEROS), ValueError, "got 1.00001 to 1.00001: clamp it first"),
    (
        (np.linspace(-0.5, 1, 4)[None],) * 2,
        ValueError,
        "pred must lie in [0, 1] if it holds floats, got -0.5 to 1: clamp",
    ),
    ((ZEROS, ZEROS - 0.5), ValueError, "alpha must lie in [0, 1] if it holds floats, got -0.5 to -0.5: clamp it first"),
    ((ZEROS * np.nan, ZEROS), ValueError, "pred must lie in [0, 1] if it holds floats, got NaN"),
    ((ZEROS + np.inf, ZEROS), ValueError, "pred must lie in [0, 1] if it holds floats, got inf to inf"),
    ((ZEROS.astype(int) + 256, ZEROS), ValueError, "pred must lie in 0..255 if it holds integers, got 256 to 256"),
    (
        (np.eye(4, 5, dtype=np.uint8), ZEROS),
        ValueError,
        "pred must not hold 0 and 1 and nothing else if it holds integers",
    ),
    ((ZEROS, np.eye(4, 5, dtype=int)), ValueError, "alpha must not hold 0 and 1 and nothing else if it holds integers"),
    ((np.ma.masked_equal(ZEROS, 0), ZEROS), TypeError, "pred must not be a masked array, whose mask would be ignored"),
    ((ZEROS, ZEROS, np.ma.masked_equal(ZEROS.astype(np.uint8), 0)), TypeError, "trimap must not be a masked array"),
    ((ZEROS, ZEROS, ZEROS), TypeError, "trimap must be uint8, of 0, 128 and 255, got float64"),
    ((ZEROS, ZEROS, ZEROS.astype(np.int64)), TypeError, "trimap must be uint8, of 0, 128 and 255, got int64"),
]


@each
@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_bad_input(metric, arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        metric(*arguments)


@each
def test_bad_regions(metric):
    with pytest.raises(ValueError, match=r"^region 'unknown' needs a trimap, got None"):
        metric(ZEROS, ZEROS, region="unknown")
    with pytest.raises(
        ValueError, match=r"^region must be one of 'unknown', 'whole', 'foreground', 'background', got 'fg'"
    ):
        metric(ZEROS, ZEROS, region="fg")
    with pytest.raises(ValueError, match=r"^apply_trimap=True needs a trimap"):
        metric(ZEROS, ZEROS, apply_trimap=True)


@each
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_few_ulp_beyond_are_0_and_1(metric, dtype):
    """As blurring leaves them."""
    pred, alpha, trimap = photo()
    pred, alpha = ((x / 255).astype(dtype) for x in (pred, alpha))
    eps = np.finfo(dtype).eps
    beyond = np.where(pred == 1, dtype(1 + 2 * eps), np.where(pred == 0, dtype(-eps), pred)).astype(dtype)
    assert beyond.max() > 1
    assert metric(beyond, alpha, trimap) == metric(pred, alpha, trimap)
    assert metric(tensor(beyond), tensor(alpha), tensor(trimap)) == metric(pred, alpha, trimap)


@each
def test_a_few_ulp_of_bfloat16_beyond_are_0_and_1(metric):
    """On the CPU it is computed in another dtype, by whose ulp 1 + 1/128 was refused."""
    pred, alpha, trimap = map(tensor, photo())
    pred, alpha = (pred / 255).bfloat16(), alpha / 255
    beyond = pred.where(pred < 1, 1 + 1 / 128)
    assert beyond.max() > 1
    assert metric(beyond, alpha, trimap) == metric(pred, alpha, trimap)


@each
@pytest.mark.parametrize("scale", [1, 255])
def test_bands_change_nothing(metric, scale, monkeypatch):
    """But for the last bits of sums of floats, which are added up in another order: a relative 1e-13."""
    pred, alpha, trimap = photo()
    pairs = [(pred, alpha)] if scale == 1 else [(pred / 255, alpha / 255), (pred / 255, alpha), (pred, alpha / 255)]
    for pair in pairs:
        for options in {}, {"apply_trimap": True}, {"region": "whole"}:
            monkeypatch.setattr(_bands, "PIXELS", 2**30)
            whole = metric(*pair, trimap, **options)
            monkeypatch.setattr(_bands, "PIXELS", 1000)
            assert metric(*pair, trimap, **options) == pytest.approx(whole, rel=1e-13)


@pytest.mark.skipif(sys.platform != "linux", reason="what ru_maxrss counts is known of Linux")
@pytest.mark.parametrize(("dtype", "bytes_a_pixel"), [("uint8", 12), ("float32", 16)])
def test_memory_of_all_five_is_bounded(dtype, bytes_a_pixel):
    """Beyond two mattes and a trimap, on 16 megapixels: 5 GB and 6.4 GB at 20,000², where it had been up to 17.

    A gradient with noise, so that no level is settled by flood fills alone.
    """
    script = f"""
import resource, sys, cv2, numpy as np
from mattekit import metrics
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
small = np.zeros((64, 64), np.{dtype})
metrics.evaluate(small, small, np.full((64, 64), 128, np.uint8))
side = 4000
alpha = np.tile(np.linspace(0, 255, side, dtype=np.uint8), (side, 1))
pred = cv2.add(alpha, np.random.default_rng(0).integers(0, 9, (side, side), dtype=np.uint8))
if "{dtype}" == "float32":
    alpha, pred = (np.divide(x, 255, dtype=np.float32) for x in (alpha, pred))
trimap = np.full((side, side), 128, np.uint8)
before = peak()
metrics.evaluate(pred, alpha, trimap)
print((peak() - before) / side**2)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < bytes_a_pixel


def test_one_bad_pixel_in_a_batch_is_enough():
    pred, alpha = torch.zeros(3, 1, 4, 5), torch.zeros(3, 1, 4, 5)
    pred[2, 0, 3, 4] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        sad(pred, alpha)


def test_an_empty_batch_has_no_values():
    assert evaluate(*[torch.zeros(0, 1, 4, 5)] * 2).sad.shape == (0,)


@each
def test_a_batch_of_few_columns_is_no_image_of_channels(metric):
    """(8, 1, 5, 4) without its channel, (8, 5, 4), looks like an image (H, W, 4): nothing may look at it so."""
    pred, trimap = torch.rand(8, 1, 5, 4), torch.full((8, 1, 5, 4), 128, dtype=torch.uint8)
    found = metric(pred, torch.zeros_like(pred), trimap, apply_trimap=True)
    expected = torch.stack(
        [metric(p, torch.zeros_like(p), t)[0] for p, t in zip(pred.split(1), trimap.split(1), strict=True)]
    )
    torch.testing.assert_close(found, expected)


# ---- regions


@each
def test_default_region(metric):
    pred, alpha, trimap = photo()
    assert metric(pred, alpha, trimap) == metric(pred, alpha, trimap, region="unknown")
    assert metric(pred, alpha) == metric(pred, alpha, trimap, region="whole")
    assert metric(pred, alpha) != metric(pred, alpha, trimap)


@pytest.mark.parametrize("metric", SUMS)
@given(case=matte_triples())
def test_sums_add_up_over_regions(metric, case):
    parts = sum(metric(*case, region=region) for region in ("unknown", "foreground", "background"))
    # float64 sums of a few hundred terms, in another order
    assert parts.tolist() == pytest.approx(metric(*case, region="whole").tolist(), rel=1e-13, abs=1e-18)


@pytest.mark.parametrize("metric", [mse, mad])
def test_means_add_up_over_regions_by_their_sizes(metric):
    pred, alpha, trimap = photo()
    sizes = {"unknown": trimap == 128, "foreground": trimap == 255, "background": trimap == 0}
    total = sum(metric(pred, alpha, trimap, region=region) * mask.sum() for region, mask in sizes.items())
    assert total == pytest.approx(metric(pred, alpha) * pred.size, rel=1e-14)


@each
def test_other_values_are_known_where_the_reference_asks_for_128_only(metric):
    pred, alpha, trimap = golden.load("lemur_full_trimap102")
    assert 102 in trimap
    value = metric(pred, alpha, trimap, check_trimap=False)
    assert math.isnan(value) if metric in (mse, mad) else value == 0


@each
@pytest.mark.parametrize("options", [{}, {"region": "foreground"}, {"region": "whole"}, {"apply_trimap": True}])
def test_other_values_are_refused(metric, options):
    """PyMatting's own lemur has 102: SAD 0 and MSE NaN, for a trimap that anybody would call right."""
    pred, alpha, trimap = golden.load("lemur_full_trimap102")
    message = r"^trimap must hold only 0, 128 and 255, got 102 in 24891 pixels.* trimap.validate\(trimap, round=True\)"
    with pytest.raises(ValueError, match=message):
        metric(pred, alpha, trimap, **options)
    with pytest.raises(ValueError, match=message):
        metric(tensor(pred), tensor(alpha), tensor(trimap), **options)
    assert metric(pred, alpha, tm.validate(trimap, round=True), **options) > 0


@each
def test_apply_trimap_is_what_applying_it_does(metric):
    pred, alpha, trimap = photo()
    applied = metric(pred, alpha, trimap, apply_trimap=True)
    assert applied == metric(tm.apply(pred, trimap), alpha, trimap)
    floats = [x / 255 for x in (pred, alpha)]
    assert metric(*floats, trimap, apply_trimap=True) == pytest.approx(applied, rel=1e-6)  # see above
    assert metric(tensor(pred), tensor(alpha), tensor(trimap), apply_trimap=True).tolist() == [applied]


def test_the_known_region_of_an_applied_prediction_is_right():
    _, alpha, trimap = photo()
    pred = np.random.default_rng(0).integers(0, 256, alpha.shape, dtype=np.uint8)
    agreeing = np.where(trimap == 255, np.uint8(255), np.where(trimap == 0, np.uint8(0), alpha))
    for region in ("foreground", "background"):
        assert sad(pred, agreeing, trimap, region=region) > 0
        assert sad(pred, agreeing, trimap, region=region, apply_trimap=True) == 0


# ---- laws of all metrics


@each
@given(data=st.data())
def test_images_of_a_batch_do_not_meet(metric, data):
    shape = data.draw(shapes(max_batch=3))
    pred, alpha = data.draw(matte_pairs(shape=shape))
    trimap = data.draw(trimaps(shape=shape))
    order = data.draw(st.permutations(range(shape[0])))
    values = metric(pred, alpha, trimap)
    assert values.shape == (shape[0],)
    assert metric(pred[order], alpha[order], trimap[order]).equal(values[order]) or values.isnan().any()
    for i in range(shape[0]):
        alone = metric(pred[i : i + 1], alpha[i : i + 1], trimap[i : i + 1])
        assert alone.item() == values[i].item() or alone.isnan().item()
        assert alone.isnan().item() == values[i].isnan().item()


@each
@given(pair=matte_pairs())
def test_zero_on_equal_mattes_and_never_below(metric, pair):
    pred, alpha = pair
    assert (metric(alpha, alpha) == 0).all()
    assert (metric(pred, alpha) >= 0).all()


@pytest.mark.parametrize("metric", [sad, mse, mad])
@given(pair=matte_pairs(), near=st.floats(0, 1), far=st.floats(0, 1))
def test_grows_with_the_error(metric, pair, near, far):
    near, far = sorted((near, far))
    pred, alpha = (x.double() for x in pair)
    values = [metric((alpha + t * (pred - alpha)).clamp(0, 1), alpha) for t in (near, far)]
    assert (values[0] <= values[1] * (1 + 1e-13)).all()  # rounding of sums of at most 144 terms


@each
@pytest.mark.parametrize("move", [lambda x: x[::-1], lambda x: x[:, ::-1], lambda x: x.T])
def test_a_photo_may_be_flipped(metric, move):
    """Of a photo, no two components are equally large; where they are, see test_connectivity_error.py."""
    pred, alpha, trimap = photo()
    assert metric(*map(move, (pred, alpha, trimap))) == pytest.approx(metric(pred, alpha, trimap), rel=1e-13)


@each
@pytest.mark.cuda
def test_cuda_agrees_with_the_cpu(metric):
    for name in golden.IN_RANGE:
        pred, alpha, trimap = (tensor(x) for x in golden.load(name))
        result = metric(pred.cuda(), alpha.cuda(), trimap.cuda())
        assert result.device.type == "cuda"
        expected = metric(pred, alpha, trimap).item()
        tolerance = 0 if pred.dtype == torch.uint8 and metric is not gradient_error else 1e-9
        assert result.item() == pytest.approx(expected, rel=tolerance, abs=1e-15, nan_ok=True), name


@pytest.mark.cuda
def test_devices_must_agree():
    with pytest.raises(ValueError, match="alpha must be on the device of pred, cuda:0, got cpu"):
        sad(torch.zeros(1, 1, 4, 5).cuda(), torch.zeros(1, 1, 4, 5))


@pytest.mark.parametrize("metric", SUMS)
def test_raw_is_a_thousand_times_as_much(metric):
    pred, alpha, trimap = photo()
    assert metric(pred, alpha, trimap, raw=True) / 1000 == metric(pred, alpha, trimap)

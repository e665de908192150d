import copy
import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from mattekit import metrics
from mattekit.metrics import MAD, MSE, SAD, ConnectivityError, GradientError
from oracles import golden
from oracles.processes import output_of

CLASSES = {
    SAD: metrics.sad,
    MSE: metrics.mse,
    MAD: metrics.mad,
    GradientError: metrics.gradient_error,
    ConnectivityError: metrics.connectivity_error,
}
each = pytest.mark.parametrize("cls", CLASSES)


def batch(*names):
    """Cases of one size as one batch."""
    return [torch.from_numpy(np.stack(x))[:, None] for x in zip(*map(golden.load, names), strict=True)]


BATCHES = [batch("pred_half", "pred_max_200", "gt_zero"), batch("pred_one")]


@each
def test_the_mean_over_images_not_over_batches(cls):
    metric, function = cls(), CLASSES[cls]
    for arguments in BATCHES:
        metric.update(*arguments)
    values = torch.cat([function(*arguments) for arguments in BATCHES])
    assert metric.compute().item() == pytest.approx(values.mean().item(), rel=1e-15)
    each_image = cls(reduction="none")
    for arguments in BATCHES:
        each_image.update(*arguments)
    assert each_image.compute().equal(values)


@each
def test_found_by_name(cls):
    assert getattr(metrics, cls.__name__) is cls
    with pytest.raises(AttributeError, match=r"^module 'mattekit.metrics' has no attribute 'PSNR'$"):
        metrics.PSNR  # noqa: B018


@each
def test_defaults_are_the_functions(cls):
    photo = batch("lemur_crop0_noise12")
    metric = cls(region="whole")
    metric.update(*photo)
    assert metric.compute() == CLASSES[cls](*photo, region="whole")
    assert metric.compute() != CLASSES[cls](*photo, region="whole", apply_trimap=True)


@each
def test_forward_returns_the_batch_and_keeps_the_rest(cls):
    metric, function = cls(), CLASSES[cls]
    values = [function(*arguments) for arguments in BATCHES]
    assert [metric(*arguments).item() for arguments in BATCHES] == [value.mean().item() for value in values]
    assert metric.compute().item() == pytest.approx(torch.cat(values).mean().item(), rel=1e-15)


@each
def test_no_mean_of_two_regions(cls):
    """The score of what is unknown, and that of the whole image, are no scores of one kind."""
    photo = batch("lemur_crop0_noise12")[:2]
    trimap = torch.full_like(photo[1], 128)
    for unlike in (photo, [*photo, trimap]), ([*photo, trimap], photo):
        metric, other = cls(), cls()
        metric(*unlike[0])
        other.update(*unlike[1])
        metric.merge_state(other)
        message = "region must be given where some images have a trimap and others none: .* with 1 of 2 images"
        with pytest.raises(ValueError, match=message):
            metric.compute()
    whole = cls(region="whole")
    whole.update(*photo)
    whole.update(*photo, trimap)
    assert whole.compute() == CLASSES[cls](*photo)


@each
def test_a_batch_that_forward_refuses_costs_no_other(cls):
    metric, function = cls(reduction="none"), CLASSES[cls]
    metric(*BATCHES[0])
    pred, alpha, trimap = BATCHES[1]
    with pytest.raises(ValueError, match="trimap must hold only"):
        metric(pred, alpha, torch.full_like(trimap, 7))
    assert metric.compute().equal(function(*BATCHES[0]))
    metric(*BATCHES[1])
    assert metric.compute().equal(torch.cat([function(*arguments) for arguments in BATCHES]))


@each
def test_reset_pickle_and_copy(cls):
    metric = cls(region="whole")
    metric.update(*BATCHES[0])
    expected = metric.compute()
    for other in (pickle.loads(pickle.dumps(metric)), copy.deepcopy(metric)):
        assert other.compute().equal(expected)
        other.update(*BATCHES[1])
        assert not other.compute().equal(expected)
    metric.reset()
    metric.update(*BATCHES[1])
    assert metric.compute().item() == CLASSES[cls](*BATCHES[1], region="whole").item()


def test_numpy_images():
    pred, alpha, trimap = golden.load("17x23")
    metric = SAD()
    metric.update(pred, alpha, trimap)
    assert metric.compute().item() == metrics.sad(pred, alpha, trimap)


def test_options_reach_the_function():
    pred, alpha, trimap = BATCHES[0]
    options = [
        (SAD(raw=True), partial(metrics.sad, raw=True)),
        (MSE(region="whole"), partial(metrics.mse, region="whole")),
        (MAD(apply_trimap=True), partial(metrics.mad, apply_trimap=True)),
        (GradientError(apply_trimap=True, raw=True), partial(metrics.gradient_error, apply_trimap=True, raw=True)),
        (ConnectivityError(empty="skip"), partial(metrics.connectivity_error, empty="skip")),
    ]
    for metric, function in options:
        metric.update(pred, alpha, trimap)
        assert metric.compute().item() == pytest.approx(function(pred, alpha, trimap).mean().item(), rel=1e-15)


@pytest.mark.parametrize("option", [{"region": "fg"}, {"reduction": "sum"}, {"empty": "no"}])
def test_bad_options(option):
    with pytest.raises(ValueError, match=f"^{next(iter(option))} must be one of "):
        ConnectivityError(**option)


def test_a_collection_keeps_apart_what_starts_out_equal():
    """torchmetrics merges metrics with equal states; after a perfect batch all states of these are zero."""
    collection = MetricCollection(
        {
            "sad": SAD(),
            "whole": SAD(region="whole"),
            "raw": SAD(raw=True),
            "mse": MSE(),
            "mad": MAD(),
            "grad": GradientError(),
            "conn": ConnectivityError(),
            "conn skip": ConnectivityError(empty="skip"),
        }
    )
    pred, alpha, trimap = batch("17x23")
    collection.update(alpha, alpha, trimap)
    collection.update(pred, alpha, trimap)
    expected = {
        "sad": metrics.sad(pred, alpha, trimap),
        "whole": metrics.sad(pred, alpha),
        "raw": metrics.sad(pred, alpha, trimap, raw=True),
        "mse": metrics.mse(pred, alpha, trimap),
        "mad": metrics.mad(pred, alpha, trimap),
        "grad": metrics.gradient_error(pred, alpha, trimap),
        "conn": metrics.connectivity_error(pred, alpha, trimap),
        "conn skip": metrics.connectivity_error(pred, alpha, trimap, empty="skip"),
    }
    assert {k: v.item() for k, v in collection.compute().items()} == {k: v.item() / 2 for k, v in expected.items()}


def test_forward_of_a_collection():
    collection = MetricCollection([SAD(), MSE(), ConnectivityError()])
    values = collection(*BATCHES[0])
    assert values["MSE"].item() == pytest.approx(metrics.mse(*BATCHES[0]).mean().item(), rel=1e-15)
    assert set(values) == {"SAD", "MSE", "ConnectivityError"}


def test_an_image_without_unknown_pixels_makes_the_mean_nan():
    metric, sums = MSE(), SAD(reduction="none")
    for arguments in (BATCHES[0], batch("no_unknown")):
        metric.update(*arguments)
        sums.update(*arguments)
    assert math.isnan(metric.compute())
    assert sums.compute()[-1] == 0


@each
def test_a_set_without_unknown_pixels_is_no_perfect_one(cls):
    """SAD 0 and MSE NaN were the answer, for predictions that have nothing in common with the truth."""
    none = batch("no_unknown")
    metric = cls()
    for _ in range(3):
        metric(*none)  # a batch may well be without; its own value is what the function gives
    with pytest.raises(
        ValueError, match=r"^trimap must have unknown pixels in at least one image, got none in all 3; "
    ):
        metric.compute()
    metric.update(*BATCHES[0])
    metric.compute()
    unchecked = cls(check_trimap=False)
    unchecked.update(*none)
    assert math.isnan(unchecked.compute()) if cls in (MSE, MAD) else unchecked.compute() == 0


@each
def test_other_values_than_the_three_are_refused(cls):
    arguments = batch("lemur_full_trimap102")
    with pytest.raises(ValueError, match=r"^trimap must hold only 0, 128 and 255, got 102 in 24891 pixels"):
        cls().update(*arguments)
    unchecked = cls(check_trimap=False)
    unchecked.update(*arguments)
    assert math.isnan(unchecked.compute()) if cls in (MSE, MAD) else unchecked.compute() == 0


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric:UserWarning")
def test_before_any_image():
    assert SAD().compute().isnan()
    values = SAD(reduction="none").compute()
    assert (values.shape, values.dtype) == ((0,), torch.float64)


@pytest.mark.parametrize(
    "move",
    [lambda x: x.to("cpu"), lambda x: x.cpu(), lambda x: x.to("cpu", torch.bfloat16), lambda x: x.half()],
    ids=["to", "cpu", "bfloat16", "half"],
)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: torch.nn.Sequential(x)], ids=["alone", "within"])
def test_precision_stays_where_the_metric_or_its_network_is_moved(wrap, move):
    """Lightning moves a module with its metrics; SAD was rounded to float32 then, or to bfloat16 with the weights."""
    metric = SAD(reduction="none")
    metric.update(*BATCHES[0])
    move(wrap(metric))
    metric.update(*BATCHES[1])
    assert metric.compute().equal(torch.cat([metrics.sad(*arguments) for arguments in BATCHES]))


def test_a_network_with_metrics_leaves_the_meta_device():
    with torch.device("meta"):
        network = torch.nn.Sequential(SAD())
    metric = network.to_empty(device="cpu")[0]
    metric.update(*BATCHES[0])
    assert metric.compute().equal(metrics.sad(*BATCHES[0]).mean())


def test_set_dtype_sets_the_precision():
    metric = SAD().set_dtype(torch.float32).to("cpu")
    metric.update(*BATCHES[0])
    assert metric.compute().dtype == torch.float32


def test_states_merge():
    parts = [ConnectivityError(reduction="none") for _ in range(2)]
    for part, arguments in zip(parts, BATCHES, strict=True):
        part.update(*arguments)
    parts[1].merge_state(parts[0])
    expected = torch.cat([metrics.connectivity_error(*arguments) for arguments in BATCHES])
    assert sorted(parts[1].compute().tolist()) == sorted(expected.tolist())


def test_what_was_computed_before_a_merge_is_not_returned_after_it():
    parts = [SAD() for _ in range(2)]
    for part, arguments in zip(parts, BATCHES, strict=True):
        part.update(*arguments)
        part.compute()
    parts[0].merge_state(parts[1])
    expected = torch.cat([metrics.sad(*arguments) for arguments in BATCHES])
    assert parts[0].compute().item() == pytest.approx(expected.mean().item(), rel=1e-12)


@each
def test_one_image_has_one_value_in_a_tensor(cls):
    metric, arguments = cls(reduction="none"), [x[:1] for x in BATCHES[0]]
    assert metric(*arguments).shape == (1,)
    assert metric.compute().shape == (1,)
    assert metric.clone().compute().shape == (1,)
    assert cls()(*arguments).shape == ()


WORKER = """
import sys, torch
from mattekit.metrics import MSE, SAD
from oracles.processes import fork
rank = fork(sys.argv[1])
sad, mse = SAD(reduction="none"), MSE()
for k in range(1 + rank):  # one batch here, two there
    pred = torch.full((2 - k, 1, 10, 10), 0.25 * (1 + rank + k))
    sad.update(pred, torch.zeros_like(pred)), mse.update(pred, torch.zeros_like(pred))
print(sorted(sad.compute().tolist()), mse.compute().item(), flush=True)
sad.reset(), mse.reset()
if rank:  # and now no image here: the other's state is float64, and so must be what stands in for this one's
    sad.update(pred, torch.zeros_like(pred)), mse.update(pred, torch.zeros_like(pred))
print(sad.compute().tolist(), mse.compute().item(), flush=True)
"""


def test_two_processes_reduce_to_the_same_result(tmp_path):
    # two images of 0.25, two of 0.5 and one of 0.75; then that one alone
    mean = (2 * 0.25**2 + 2 * 0.5**2 + 0.75**2) / 5
    first, second = f"[0.025, 0.025, 0.05, 0.05, 0.075] {mean}", f"[0.075] {0.75**2}"
    assert output_of(WORKER, tmp_path / "store") == sorted([first, second] * 2)


@pytest.mark.cuda
def test_cuda():
    metric = SAD().cuda()
    metric.update(*(x.cuda() for x in BATCHES[0]))
    assert metric.compute().device.type == "cuda"
    assert metric.compute().item() == pytest.approx(metrics.sad(*BATCHES[0]).mean().item(), rel=1e-15)

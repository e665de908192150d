import contextlib
import math
import threading
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils._python_dispatch import TorchDispatchMode

from mattekit.inference import predict, prepare
from mattekit.inference.folding import check_weights
from mattekit.models import PPMattingOutput, Preprocessing, pp_matting
from oracles.networks import small, trained_looking


class Output(NamedTuple):
    alpha: Tensor


class Brightness(nn.Module):
    """A network whose matte is the photo's green channel; it remembers what it was given."""

    def __init__(self, max_short_side=None):
        super().__init__()
        self.bn = nn.BatchNorm2d(1)
        self.max_short_side = max_short_side
        self.seen = None

    def forward(self, image):
        assert not self.training
        self.seen = image
        return Output(image[:, 1:2])


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_follows_the_reference_policy():
    """Step by step as PaddleSeg does it, with OpenCV alone."""
    image = photo(300, 501)
    model = Brightness()
    alpha = predict(model, image, max_short_side=100)
    limited = cv2.resize(image, (167, 100), interpolation=cv2.INTER_LINEAR)
    given_to_network = cv2.resize(limited, (160, 96), interpolation=cv2.INTER_LINEAR)
    expected = torch.from_numpy(given_to_network).permute(2, 0, 1)[None].float() / 255
    torch.testing.assert_close(model.seen, expected)
    back = cv2.resize(expected[0, 1].numpy(), (501, 300), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(alpha, back)


def test_mattes_stay_in_the_unit_range():
    class Steep(Brightness):
        def forward(self, image):
            return Output(3 * super().forward(image).alpha - 1)

    image = photo(32, 64)
    expected = (3 * (image[..., 1] / 255) - 1).clip(0, 1)
    np.testing.assert_allclose(predict(Steep(), image), expected, rtol=0, atol=1e-6)  # float32


@given(height=st.integers(1, 200), width=st.integers(1, 200), limit=st.none() | st.integers(32, 150))
def test_any_size(height, width, limit):
    model = Brightness()
    alpha = predict(model, photo(height, width), max_short_side=limit)
    assert alpha.shape == (height, width)
    assert alpha.dtype == np.float32
    assert 0 <= alpha.min() <= alpha.max() <= 1
    seen = model.seen.shape[-2:]
    assert all(side % 32 == 0 and side >= 32 for side in seen)
    assert min(seen) <= max(limit or 200, 32)
    if min(height, width) >= 32:
        assert seen[0] <= height  # never enlarged
        assert seen[1] <= width


def test_multiples_of_32_pass_untouched():
    image = photo(64, 96)
    np.testing.assert_array_equal(predict(Brightness(), image), image[..., 1].astype(np.float32) / 255)


def test_limit_comes_from_the_models_weights():
    model = Brightness(max_short_side=64)
    predict(model, photo(128, 256))
    assert model.seen.shape == (1, 3, 64, 128)
    predict(model, photo(128, 256), max_short_side=96)
    assert model.seen.shape == (1, 3, 96, 192)


def test_limit_is_found_within_a_wrapper():
    model = Brightness(max_short_side=64)
    predict(nn.DataParallel(model), photo(128, 256))
    assert model.seen.shape == (1, 3, 64, 128)
    model.max_short_side = None
    predict(nn.DataParallel(model), photo(128, 256))
    assert model.seen.shape == (1, 3, 128, 256)


def test_limit_and_averaging_are_found_within_wrappers_of_wrappers():
    model = Brightness(max_short_side=64)
    model.preprocessing = Preprocessing(antialias=True)
    image, wrapped = photo(256, 384), AveragedModel(nn.DataParallel(model))  # which copies the model
    predict(model, image)
    predict(wrapped, image)
    np.testing.assert_array_equal(wrapped.module.module.seen, model.seen)


@pytest.mark.filterwarnings("ignore:this CPU has no instructions for bfloat16:UserWarning")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_prepared_network_is_found_within_a_wrapper(precision):
    """In bfloat16 too it is given the photo in full, which the wrapper's parameters do not tell."""
    ready, image = prepare(trained_looking(small()), precision=precision), photo(64, 96)
    whole = predict(ready, image, return_maps=True).detail
    wrapped = nn.DataParallel(ready)
    np.testing.assert_array_equal(predict(wrapped, image, return_maps=True).detail, whole)
    limited = predict(ready, image, return_maps=True, max_memory=10**8).detail
    np.testing.assert_array_equal(predict(wrapped, image, return_maps=True, max_memory=10**8).detail, limited)


def test_weights_of_integers_do_not_tell_the_precision():
    """A quantised part's come first here; the photo is given in the type of those that are no integers."""

    class Quantised(Brightness):
        def __init__(self):
            super().__init__()
            del self.bn
            self.packed = nn.Parameter(torch.zeros(4, dtype=torch.int8), requires_grad=False)
            self.scale = nn.Parameter(torch.zeros(4, dtype=torch.float64))

    model = Quantised()
    predict(model, photo(32, 64))
    assert model.seen.dtype == torch.float64


@pytest.mark.parametrize("antialias", [False, True])
def test_photos_are_shrunk_as_the_weights_know(antialias):
    """By means over squares of four pixels, or by a sample of the square's middle."""
    model = Brightness(max_short_side=64)
    model.preprocessing = Preprocessing(antialias=antialias)
    image = photo(256, 384)
    predict(model, image)
    squares = image.reshape(64, 4, 96, 4, 3).transpose(0, 2, 1, 3, 4) / 255
    expected = (squares if antialias else squares[:, :, 1:3, 1:3]).mean((2, 3))
    np.testing.assert_allclose(model.seen[0].permute(1, 2, 0), expected, rtol=0, atol=0.51 / 255)


def test_a_prepared_network_has_photos_shrunk_alike():
    model = trained_looking(small(preprocessing=Preprocessing(max_short_side=64, antialias=True)))
    image = photo(256, 384)
    expected, seen = (predict(network, image, return_maps=True).detail for network in (model, prepare(model)))
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-4)
    model.preprocessing = Preprocessing(max_short_side=64)
    assert abs(predict(model, image, return_maps=True).detail - expected).max() > 1e-3  # a sample is another photo


@pytest.mark.parametrize(
    "to_tensor", [lambda t: t, lambda t: t[None], lambda t: t.float() / 255, lambda t: t.double() / 255]
)
def test_tensors_give_what_arrays_give(to_tensor):
    image = photo(64, 96)
    tensor = to_tensor(torch.from_numpy(image).permute(2, 0, 1))
    np.testing.assert_allclose(predict(Brightness(), tensor), predict(Brightness(), image), rtol=0, atol=1e-7)


def test_leaves_model_and_photo_as_they_were():
    image, model = photo(70, 101), Brightness().train()
    before = image.copy()
    predict(model, image)
    assert model.training
    np.testing.assert_array_equal(image, before)
    with pytest.raises(RuntimeError, match="deliberate"):
        predict(Failing().train(), image)


class Failing(Brightness):
    def forward(self, image):
        raise RuntimeError("deliberate")


def test_mode_is_restored_after_an_error():
    model = Failing().train()
    with pytest.raises(RuntimeError, match="deliberate"):
        predict(model, photo(64, 64))
    assert model.training


@pytest.mark.parametrize("network", [Brightness, Failing])
def test_every_module_keeps_its_own_mode(network):
    """A batch norm frozen for training stays frozen."""
    model = network().train()
    model.bn.eval()
    with contextlib.suppress(RuntimeError):
        predict(model, photo(64, 64))
    assert model.training
    assert not model.bn.training


def test_threads_wait_for_a_model_in_training_mode_and_for_no_other():
    class Slow(Brightness):
        def forward(self, image):
            entered.set()
            assert leave.wait(20)
            assert not self.bn.training
            return super().forward(image)

    entered, leave = threading.Event(), threading.Event()
    slow, image, done = Slow().train(), photo(32, 32), []
    sharing = Brightness()
    sharing.bn = slow.bn
    threads = [threading.Thread(target=lambda: done.append(predict(slow, image)))]
    threads[0].start()
    assert entered.wait(20)
    try:
        threads += [threading.Thread(target=predict, args=(model, image)) for model in (Brightness().train(), sharing)]
        for thread in threads[1:]:
            thread.start()
        threads[1].join(20)
        assert not threads[1].is_alive()
        threads[2].join(0.1)
        assert threads[2].is_alive()  # as it shares a module
    finally:
        leave.set()
    for thread in threads:
        thread.join(20)
    assert len(done) == 1
    assert slow.training
    assert slow.bn.training


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda x: x[:, :1], TypeError, "model must return an object with alpha, got a Tensor without"),
        (lambda x: {"alpha": x[:, :1]}, TypeError, "model must return an object with alpha, got a dict without"),
        (lambda x: Output(x[0, :1]), ValueError, r"return alpha in shape \(1, 1, 64, 96\), got \(1, 64, 96\)"),
        (lambda x: Output(x[:, :1, :1]), ValueError, r"return alpha in shape \(1, 1, 64, 96\), got \(1, 1, 1, 96\)"),
        (lambda x: Output(x[:, :1, ::2, ::2]), ValueError, r"in shape \(1, 1, 64, 96\), got \(1, 1, 32, 48\)"),
        (lambda x: Output(x), ValueError, r"return alpha in shape \(1, 1, 64, 96\), got \(1, 3, 64, 96\)"),
        (
            lambda x: SimpleNamespace(alpha=x[:, :1], detail=x[:, :1], semantic_logits=x[:, :2]),
            ValueError,
            r"model must return semantic_logits in shape \(1, 3, 64, 96\), got \(1, 2, 64, 96\)",
        ),
    ],
)
def test_what_a_model_must_return(answer, error, message):
    class Foreign(nn.Module):
        def forward(self, image):
            return answer(image)

    with pytest.raises(error, match=message):
        predict(Foreign(), photo(64, 96), return_maps="semantic" in message)


class Broken(nn.Module):
    """A network one of whose outputs holds a value that is not finite, in one pixel."""

    def __init__(self, field, value):
        super().__init__()
        self.field, self.value = field, value

    def forward(self, image):
        output = PPMattingOutput(image[:, :1].clone(), image[:, :1].clone(), image.clone())
        getattr(output, self.field)[0, 0, 5, 7] = self.value
        return output


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["detail", "semantic_logits", "alpha"])
def test_what_is_not_finite_makes_no_matte(field, value):
    name = {"detail": "detail map", "semantic_logits": "semantic logits", "alpha": "alpha"}[field]
    message = f"the model's {name} must be finite, got 1 of {64 * 96 * (3 if field == 'semantic_logits' else 1)} values"
    with pytest.raises(RuntimeError, match=message):
        predict(Broken(field, value), photo(64, 96))


@pytest.mark.parametrize("prepared", [False, True])
def test_damaged_weights_make_no_matte(prepared):
    """Their matte is all white: NaN is what argmax takes first, and class 0 is the foreground."""
    model = pp_matting("hrnet_w18_small_v1").eval()
    with torch.no_grad():
        next(model.context.parameters()).fill_(math.nan)
    network = prepare(model) if prepared else model
    assert (network(torch.rand(1, 3, 64, 96)).alpha == 1).all()
    with pytest.raises(RuntimeError, match=r"the model's detail map must be finite, .*: are its weights damaged"):
        predict(network, photo(64, 96))


def test_variances_beyond_float16_make_no_matte():
    """float16 makes infinity of a variance past 65504, and the batch norm its bias of every input: finite but wrong."""
    model = small()
    model.encoder.bn1.running_var.fill_(1e5)
    assert predict(model.eval(), photo(64, 96)).shape == (64, 96)
    model.half()
    assert all(x.isfinite().all() for x in model(torch.rand(1, 3, 64, 96).half()))
    for use in (prepare, lambda model: predict(model, photo(64, 96))):
        with pytest.raises(RuntimeError, match=r"^the model's encoder\.bn1\.running_var must be finite, got infinity"):
            use(model)


def test_a_model_without_weights_makes_no_matte():
    with torch.device("meta"):
        model = small().eval()
    for use in (prepare, lambda model: predict(model, photo(64, 96))):
        with pytest.raises(RuntimeError, match=r"^the model's encoder\.\S+ must hold values, got none on the meta"):
            use(model)


def test_variances_are_read_once():
    """Each read waits for a GPU, and HRNet-W48 has 336 batch norms."""

    class Reads(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            reads.extend([func] if func is torch.ops.aten._local_scalar_dense.default else [])
            return func(*args, **(kwargs or {}))

    reads = []
    with Reads():
        check_weights(small())
    assert len(reads) == 1


def test_runs_in_the_models_precision():
    model = Brightness().double()
    predict(model, photo(64, 64))
    assert model.seen.dtype == torch.double


def test_non_contiguous_arrays():
    image = photo(96, 128)
    np.testing.assert_array_equal(predict(Brightness(), image[:, ::-1]), predict(Brightness(), image)[:, ::-1])


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        ("photo.jpg", TypeError, "image must be a numpy.ndarray or a torch.Tensor, got str"),
        (np.zeros((64, 64, 3)), TypeError, "image must be uint8 or uint16 where it is an array, got float64"),
        (np.ma.zeros((64, 64, 3), np.uint8), TypeError, "image must not be a masked array"),
        (np.zeros((64, 64), np.uint8), ValueError, r"image must be an array \(H, W, 3\), got \(64, 64\)"),
        (np.zeros((64, 64, 4), np.uint8), ValueError, r"image must be an array \(H, W, 3\), got \(64, 64, 4\)"),
        (np.zeros((0, 64, 3), np.uint8), ValueError, r"image must not be empty, got \(0, 64, 3\)"),
        (torch.zeros(2, 3, 64, 64), ValueError, r"image must be a tensor \(3, H, W\) or \(1, 3, H, W\), got \(2, 3"),
        (
            torch.zeros(3, 64, 64, dtype=torch.int64),
            TypeError,
            "image must be floating-point or uint8, got torch.int64",
        ),
        (
            torch.full((3, 64, 64), 255.0),
            ValueError,
            r"image must lie in \[0, 1\] .* got 255 to 255: did you pass 0..255",
        ),
        (torch.full((3, 64, 64), 1 + 2**-12), ValueError, r"got 1\.00024\d* to 1\.00024\d*: clamp it first$"),
        (torch.full((3, 64, 64), math.nan), ValueError, "got NaN$"),
    ],
)
def test_bad_images(image, error, message):
    with pytest.raises(error, match=message):
        predict(Brightness(), image)


@pytest.mark.parametrize("model", ["small", lambda image: image])
def test_what_is_no_model(model):
    with pytest.raises(TypeError, match=f"model must be a torch.nn.Module, got {type(model).__name__}"):
        predict(model, photo(64, 64))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_short_side": 31}, ValueError, "max_short_side must be at least 32, got 31"),
        ({"max_short_side": "512"}, TypeError, "max_short_side must be an integer, got '512'"),
        ({"max_short_side": math.nan}, TypeError, "max_short_side must be an integer, got nan"),
        ({"max_short_side": 512.5}, TypeError, "max_short_side must be an integer, got 512.5"),
        ({"max_memory": "2G"}, TypeError, "max_memory must be an integer, got '2G'"),
        ({"augment": True}, TypeError, "augment must be an Augmentation or None, got True"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        predict(Brightness(), photo(64, 64), **options)


@pytest.mark.cuda
def test_cuda_agrees_with_cpu():
    image = photo(70, 101)
    np.testing.assert_allclose(predict(Brightness().cuda(), image), predict(Brightness(), image), rtol=0, atol=1e-6)

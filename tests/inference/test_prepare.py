import contextlib
import copy
import functools
import gc
import sys
import threading
import time
import warnings
import weakref
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from torch import nn

from mattekit.encoders import HRNet, hrnet_w18_small_v1
from mattekit.inference import PreparedMatting, predict, prepare
from mattekit.inference.activations import fuse_activations
from mattekit.inference.folding import fold_batch_norms
from mattekit.inference.prepare import _of_float64
from mattekit.inference.running import prepared
from mattekit.inference.shapes import CudaGraph, ShapeCache, compiled
from mattekit.inference.windows import windows_of
from mattekit.models import PPMatting, Preprocessing, pp_matting
from mattekit.models.pp_matting import Encoded
from mattekit.windows import Level, levels, spans, tiling
from oracles import seeded
from oracles.networks import Convolutions, of_convolutions, small, small_pyramid, trained_looking

pytestmark = pytest.mark.filterwarnings("ignore:this CPU has no instructions for bfloat16:UserWarning")


def folded_state(model):
    """A small network whose running statistics and every other number are not at their start."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return trained_looking(model)


def assert_equal(actual, expected, *, atol=1e-4):
    for name in ("alpha", "detail", "semantic_logits"):
        torch.testing.assert_close(
            getattr(actual, name), getattr(expected, name), rtol=0, atol=atol, msg=lambda m, name=name: f"{name}: {m}"
        )


@torch.inference_mode()
def test_gives_the_references_mattes(tmp_path):
    model = pp_matting("hrnet_w18", weights=seeded.write_pdparams(tmp_path / "w18.pdparams", "hrnet_w18")).eval()
    reference = np.load(seeded.PADDLESEG / "hrnet_w18_64x96.npz")
    image = torch.from_numpy(reference["input"]) * 0.5 + 0.5
    expected, actual = model(image), prepare(model)(image)
    torch.testing.assert_close(actual.alpha, expected.alpha, rtol=0, atol=1e-4)
    torch.testing.assert_close(actual.detail, expected.detail, rtol=0, atol=1e-4)
    # up to 30.7 large, so that 2e-4 is 7e-6 of them; it was 1.1e-4
    torch.testing.assert_close(actual.semantic_logits, expected.semantic_logits, rtol=0, atol=2e-4)
    np.testing.assert_allclose(actual.detail.numpy(), reference["detail"], rtol=0, atol=1e-4)
    # bfloat16 rounds each of some 150 layers to 2^-9 of its size; measured 0.014
    rough = prepare(model, precision="bfloat16")(image)
    torch.testing.assert_close(rough.detail, expected.detail, rtol=0, atol=0.05)
    sad = (rough.alpha - expected.alpha).abs().sum()
    assert sad < 0.05 * expected.alpha.sum()


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (256, 64), (70, 101)])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("network", [small, small_pyramid])
@torch.inference_mode()
def test_gives_the_models_numbers(size, batch, memory_format, network):
    model = folded_state(network(preprocessing=Preprocessing(context_short_side=None if network is small else 40)))
    image = torch.rand(batch, 3, *size)
    expected = model(image)
    assert_equal(prepare(model)(image.contiguous(memory_format=memory_format)), expected, atol=2e-5)


def with_tiles_of(tile_bytes, prepared):
    """Tiles of another size, in all modules that compute in tiles."""
    for module in prepared.modules():
        if hasattr(module, "tile_bytes"):
            module.tile_bytes = tile_bytes
    return prepared


@pytest.mark.parametrize("guidance", [(), (5,), (2, 4), (1, 2, 3, 4, 5)])
@torch.inference_mode()
def test_every_kind_of_guidance(guidance):
    model = folded_state(small(guidance=guidance))
    image = torch.rand(1, 3, 128, 64)
    assert_equal(with_tiles_of(1 << 12, prepare(model))(image), model(image), atol=2e-5)


@pytest.mark.parametrize("size", [(128, 64), (32, 192), (132, 132), (126, 64), (33, 95)])
@torch.inference_mode()
def test_tiles_are_seamless(size, monkeypatch):
    """Random weights everywhere, so that a missing pixel would show; there are tiles along both sides."""
    model = folded_state(small())
    image = torch.rand(2, 3, *size)
    prepared = prepare(model)
    whole = prepared(image)
    cut, seen = spans.tiles_of, set()

    def spy(*args, **options):
        tiles = cut(*args, **options)
        seen.add((len({rows for rows, _ in tiles}) > 1, len({columns for _, columns in tiles}) > 1))
        return tiles

    for module in (levels, tiling):
        monkeypatch.setattr(module, "tiles_of", spy)
    assert_equal(with_tiles_of(1 << 12, prepared)(image), whole, atol=1e-6)
    assert (True, True) in seen


def test_the_model_is_left_alone():
    model = folded_state(small())
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append("hook"))
    before = copy.deepcopy(model.state_dict())
    names = [name for name, _ in model.named_modules()]
    types = [type(module) for module in model.modules()]
    prepared = prepare(model, precision="bfloat16")
    with torch.no_grad():
        for parameter in prepared.parameters():
            parameter.fill_(torch.nan)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    assert [name for name, _ in model.named_modules()] == names
    assert [type(module) for module in model.modules()] == types
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(module.training for module in model.modules())
    assert model.encoder.conv1.weight.is_contiguous()
    calls.clear()
    model(torch.rand(1, 3, 32, 32))
    assert calls == ["hook"]


def test_only_what_is_known_and_unwatched_is_folded():
    class Own(nn.Sequential):
        def forward(self, x):
            return self[1](self[0](x) + 1)

    def pair():
        return [nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)]

    watched = nn.Sequential(*pair())
    watched[1].register_forward_hook(lambda *_: None)
    batch_statistics = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3, track_running_stats=False))
    padded = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1, padding=1))
    replaced = nn.Sequential(*pair())
    replaced[1].forward = lambda x: x + 1
    for module in (Own(*pair()), watched, batch_statistics, padded, replaced):
        module.eval()
        before = [type(child) for child in module]
        assert fold_batch_norms(module) == 0
        assert [type(child) for child in module] == before


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_folds_before_and_after_a_convolution(affine, bias):
    block = nn.Sequential(
        nn.BatchNorm2d(3, affine=affine),
        nn.Conv2d(3, 4, 1, stride=2, bias=bias),
        nn.Conv2d(4, 4, 3, padding=1, bias=bias),
        nn.BatchNorm2d(4, affine=affine),
    )
    x = torch.rand(2, 3, 9, 9)
    block(x)  # running statistics
    expected = block.eval()(x)
    assert fold_batch_norms(block) == 2
    torch.testing.assert_close(block(x), expected)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in block.modules())


@pytest.mark.parametrize("fusion", ["replace", "conv", "detail"])
@torch.inference_mode()
def test_no_batch_norm_is_left(fusion):
    model = trained_looking(pp_matting("hrnet_w18_small_v1", fusion=fusion))
    prepared = prepare(model, precision="bfloat16")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in prepared.modules())
    assert {part.dtype for part in prepared(torch.rand(1, 3, 32, 32))} == {torch.float32}


class PlainEncoder(nn.Module):
    channels, strides = (4, 5, 6), (2, 4, 32)

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 2, 2), nn.Conv2d(4, 5, 2, 2), nn.Conv2d(5, 6, 8, 8)])
        self.norm = nn.BatchNorm2d(6)

    def forward(self, image):
        features = []
        for layer in self.layers:
            features.append(layer(features[-1] if features else image))
        return [*features[:2], self.norm(features[2])]


class PlainContext(nn.Module):
    guidance_channels = (3,) * 5

    def forward(self, x, size):
        logits = nn.functional.interpolate(x[:, :3], size=size)
        return logits, [logits] * 5


class PlainDetail(nn.Module):
    def forward(self, features, guidance, size):
        return nn.functional.interpolate(features[0][:, :1], size=size) + guidance[0][:, :1]


class PlainFusion(nn.Module):
    def forward(self, semantic_logits, detail):
        return detail.clamp(0, 1) * semantic_logits.softmax(1)[:, 1:2]


@torch.inference_mode()
def test_parts_of_another_kind_stay_as_they_are():
    model = PPMatting(PlainEncoder(), PlainContext(), PlainDetail(), PlainFusion()).eval()
    image = torch.rand(2, 3, 64, 64)
    prepared = prepare(model)
    assert_equal(prepared(image), model(image), atol=1e-6)
    assert "0 batch norms folded into convolutions; 1 stay, encoder.norm the first" in repr(prepared)
    assert "computed whole, since it is not known how far they see: context, detail, fusion\n" in f"{prepared!r}\n"


@torch.inference_mode()
def test_hooks_in_a_branch_still_run():
    model = folded_state(small())
    calls = []
    model.context.head.register_forward_hook(lambda *_: calls.append("hook"))
    image = torch.rand(1, 3, 64, 64)
    expected = model(image)
    prepared = prepare(model)  # which tries itself on an image
    calls.clear()
    assert_equal(prepared(image), expected, atol=2e-5)
    assert len(calls) == 1


class Tapped(nn.Module):
    """A detail branch that uses its Sequential as a list."""

    def __init__(self, channels):
        super().__init__()
        layers = nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 1), nn.ReLU()
        self.body, self.head = nn.Sequential(*layers), nn.Conv2d(6, 1, 1)

    def forward(self, features, guidance, size):
        x = torch.cat([nn.functional.interpolate(feature, size=tuple(size)) for feature in features], 1)
        out = 0
        for layer in self.body:
            x = layer(x)
            out = out + x if x.shape[1] == 6 else out
        return self.head(out)


@torch.inference_mode()
def test_a_sequential_in_use_as_a_list_is_left_alone():
    parts = small()
    model = folded_state(PPMatting(parts.encoder, parts.context, Tapped(68), parts.fusion))
    image = torch.rand(1, 3, 64, 64)
    prepared = prepare(model)
    assert "nothing folded within nn.Sequential" in repr(prepared)
    assert_equal(prepared(image), model(image), atol=2e-5)


class OfOneSize(Convolutions):
    def forward(self, image):
        if image.shape[-2:] != (96, 96):
            raise ValueError("only 96×96, as some transformers")
        return super().forward(image)


@torch.inference_mode()
def test_what_cannot_be_tried_is_folded_as_declared_alone():
    parts = of_convolutions()
    model = folded_state(PPMatting(OfOneSize(), parts.context, parts.detail, parts.fusion))
    image = torch.rand(1, 3, 96, 96)
    prepared = prepare(model)
    assert any(isinstance(module, nn.BatchNorm2d) for module in prepared.network.encoder.modules())
    assert_equal(prepared(image), model(image), atol=2e-5)


class Misdeclared(Tapped):
    folds = (("first", "bn"),)

    def __init__(self, channels):
        super().__init__(channels)
        self.first, self.bn = nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6)

    def forward(self, features, guidance, size):
        x = self.body(torch.cat([nn.functional.interpolate(feature, size=tuple(size)) for feature in features], 1))
        return self.head(self.bn(self.first(x).sigmoid()))


def test_a_wrong_declaration_is_refused():
    parts = small()
    model = folded_state(PPMatting(parts.encoder, parts.context, Misdeclared(68), parts.fusion))
    with pytest.raises(RuntimeError, match=r"^a module's folds must name what follows each other, got some"):
        prepare(model)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
def test_not_a_number_stays_visible(activation):
    layer = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), activation())
    found = copy.deepcopy(layer)
    fuse_activations(found)
    image = torch.rand(1, 3, 8, 8)
    image[0, 1, 2, 3] = torch.nan
    with torch.no_grad():
        torch.testing.assert_close(found(image), layer(image), equal_nan=True)
        torch.testing.assert_close(found(image[0]), layer(image[0]), equal_nan=True)  # (C, H, W) as torch takes it


@torch.inference_mode()
def test_synchronised_batch_norms_are_folded_too():
    """In evaluation they are as others: a network trained on several GPUs has them."""
    model = folded_state(small())
    expected = prepare(model)
    found = prepare(nn.SyncBatchNorm.convert_sync_batchnorm(model).eval())
    assert found.report == expected.report
    image = torch.rand(1, 3, 64, 96)
    assert_equal(found(image), expected(image))


class Standardised(nn.Conv2d):
    def forward(self, x):
        spread = self.weight.view(len(self.weight), -1).std(1)[:, None, None, None]
        return nn.functional.conv2d(x, self.weight / spread, self.bias, padding=self.padding)


@torch.inference_mode()
def test_what_else_convolutions_may_be():
    model = small()
    model.detail.residuals[1].conv1.conv = Standardised(6, 6, 3, padding=1)
    model.fusion.unread = nn.Conv3d(1, 1, 1)
    nn.utils.parametrizations.weight_norm(model.encoder.conv2)
    model = folded_state(model)
    image = torch.rand(1, 3, 64, 64)
    assert_equal(prepare(model)(image), model(image), atol=2e-5)


class OwnContrast(PPMatting):
    def normalise(self, image):
        return super().normalise((image - image.mean()) / image.std() * 0.2 + 0.5)


class OtherFeature(PPMatting):
    def encode(self, image):
        context = self.encoder(self.normalise(image))[1]
        logits, guidance = self.context(nn.functional.conv2d(context, torch.ones(10, 4, 1, 1)), image.shape[-2:])
        detail = self.detail(self.encoder(self.normalise(image))[:2], guidance, image.shape[-2:])
        size = image.shape[-2:]
        alpha = Level([logits, detail.sigmoid()], size, self.fusion, stride=1)
        return Encoded(alpha, Level([detail.sigmoid()], size, stride=1), Level([logits], size, stride=1))


@torch.inference_mode()
@pytest.mark.parametrize("kind", [OwnContrast, OtherFeature])
def test_overridden_methods_are_followed(kind):
    parts = small()
    model = folded_state(kind(parts.encoder, parts.context, parts.detail, parts.fusion))
    image = torch.rand(1, 3, 70, 100)
    assert_equal(with_tiles_of(6000, prepare(model))(image), model(image), atol=2e-5)


@torch.inference_mode()
def test_a_model_with_a_forward_of_its_own_keeps_it():
    class Inverted(PPMatting):
        def forward(self, image):
            output = super().forward(image)
            return output._replace(alpha=1 - output.alpha)

    parts = folded_state(small())
    model = Inverted(parts.encoder, parts.context, parts.detail, parts.fusion).eval()
    image = torch.rand(1, 3, 64, 64)
    assert_equal(prepare(model)(image), model(image), atol=2e-5)


def test_float64_is_computed_where_there_is_some(monkeypatch):
    """A device's stand-in: as on Apple's GPUs, what was not brought to the CPU before cannot be doubled."""
    assert _of_float64(torch.device("mps")) == torch.device("cpu")
    assert _of_float64(torch.device("cuda", 1)) == torch.device("cuda", 1)
    moved, to, double = [], nn.Module.to, nn.Module.double

    def moving(module, *args, **options):
        moved.extend((type(module), device) for device in args if isinstance(device, torch.device))
        return to(module, *args, **options)

    def doubling(module):
        assert moved[-1:] == [(PPMatting, torch.device("cpu"))]
        moved.append("doubled")
        return double(module)

    monkeypatch.setattr(nn.Module, "to", moving)
    monkeypatch.setattr(nn.Module, "double", doubling)
    prepare(folded_state(of_convolutions()))
    assert moved == [(PPMatting, torch.device("cpu")), "doubled", (PPMatting, torch.device("cpu"))]


@torch.inference_mode()
def test_features_that_nothing_reads_are_not_computed():
    parts = small()
    encoder = HRNet((4, 6, 8, 10), modules=(1, 1, 1, 1), blocks=(1, 1, 1, 1), stage1_width=4)
    model = prepared(PPMatting(encoder, parts.context, parts.detail, parts.fusion).eval())
    assert "features of the encoder that nothing reads are not computed" in model.report
    assert (model.network.encoder.outputs, encoder.outputs) == ((0, 1, 4), (0, 1, 2, 3, 4))
    assert prepared(model) is model


@torch.inference_mode()
def test_large_images_are_computed_in_windows(monkeypatch):
    model = prepare(folded_state(small()))
    image, photo = torch.rand(1, 3, 130, 70), np.random.default_rng(0).integers(0, 256, (64, 160, 3), np.uint8)
    expected, matte = model(image), predict(model, photo)
    sizes = []

    def noted(size, pixels):
        for window in windows_of(size, pixels):
            sizes.append(window[2:])
            yield window

    for module in "windows", "running":
        monkeypatch.setattr(sys.modules[f"mattekit.inference.{module}"], "windows_of", noted)
    for module in "prepare", "running":
        monkeypatch.setattr(sys.modules[f"mattekit.inference.{module}"], "WINDOW_PIXELS", 64 * 64)
    assert_equal(model(image), expected, atol=1e-5)
    np.testing.assert_allclose(predict(model, photo), matte, rtol=0, atol=1e-5)
    assert sizes == [(65, 35)] * 4 + [(64, 54), (64, 54), (64, 52)]


@torch.inference_mode()
def test_a_batch_of_no_image():
    model = folded_state(small())
    for network in (model, prepare(model)):
        assert [tuple(x.shape) for x in network(torch.rand(0, 3, 64, 96))] == [
            (0, 1, 64, 96),
            (0, 1, 64, 96),
            (0, 3, 64, 96),
        ]


def test_bfloat16_without_its_instructions_is_warned_of(monkeypatch):
    found = sys.modules["mattekit.inference.prepare"]
    model = small().eval()
    monkeypatch.setattr(found, "cpu_has_bfloat16", lambda: False)
    with pytest.warns(UserWarning, match="this CPU has no instructions for bfloat16"):
        prepare(model, precision="bfloat16")
    monkeypatch.setattr(found, "cpu_has_bfloat16", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(model, precision="bfloat16")
        prepare(model)


def test_predict_takes_it_in_the_models_place():
    model = folded_state(small())
    model.max_short_side = 64
    photo = np.random.default_rng(0).integers(0, 256, (130, 150, 3), dtype=np.uint8)
    prepared = prepare(model)
    assert prepared.max_short_side == 64
    np.testing.assert_allclose(predict(prepared, photo), predict(model, photo), rtol=0, atol=1e-4)


def test_predict_gives_the_photo_in_full_precision():
    prepared = prepare(folded_state(small()), precision="bfloat16")
    seen = []
    prepared.register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype))
    assert predict(prepared, np.zeros((64, 64, 3), np.uint8)).dtype == np.float32
    assert seen == [torch.float32]


def test_no_gradients_and_no_training():
    prepared = prepare(folded_state(small()))
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    assert not any(part.requires_grad for part in prepared(image))
    assert not prepared.eval().training
    with pytest.raises(ValueError, match="a prepared network cannot train"):
        prepared.train()
    assert not any(module.training for module in prepared.modules())


@torch.no_grad()
def test_autocast_and_other_precisions_of_the_image_change_nothing():
    prepared = prepare(folded_state(small()))
    image = torch.rand(1, 3, 64, 64).bfloat16().float()
    expected = prepared(image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_equal(prepared(image.bfloat16()), expected, atol=0)
    assert_equal(prepared(image.double()), expected, atol=0)


@torch.no_grad()
def test_double_precision_models():
    model = folded_state(small())
    image = torch.rand(1, 3, 64, 64)
    assert_equal(prepare(copy.deepcopy(model).double())(image), model(image), atol=2e-5)


def test_torchs_default_device_changes_nothing():
    model, image = folded_state(small()), torch.rand(1, 3, 64, 96)
    with torch.device("meta"):
        ready = prepare(model)
    assert ready.report == prepare(model).report
    assert_equal(ready(image), prepare(model)(image), atol=0)


@pytest.mark.parametrize("part", ["model", "encoder.bn1"])
def test_a_model_in_training_is_refused_with_the_reason(part):
    model = small().eval()
    (model if part == "model" else model.get_submodule(part)).train()
    with pytest.raises(ValueError, match=r"model must be in evaluation mode, .* cannot be folded; call model.eval\(\)"):
        prepare(model)


def test_bad_arguments(monkeypatch):
    encoder = hrnet_w18_small_v1()
    with pytest.raises(TypeError, match="model must be a PPMatting, got HRNet"):
        prepare(encoder)
    with pytest.raises(ValueError, match="precision must be one of 'float32', 'bfloat16', 'float16', got 'half'"):
        prepare(small().eval(), precision="half")
    with pytest.raises(ValueError, match="precision must be 'float32' or 'bfloat16' for a model on the CPU"):
        prepare(small().eval(), precision="float16")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(RuntimeError, match=r"compile=True needs a C\+\+ compiler"):
        prepare(small().eval(), compile=True)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.rand(1, 4, 64, 64), ValueError, r"image must have shape \(N, 3, H, W\), got \(1, 4, 64, 64\)"),
        (torch.rand(1, 3, 64, 31), ValueError, r"image must have sides from 32 up, got \(1, 3, 64, 31\)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), TypeError, "image must be floating-point, got torch.uint8"),
    ],
)
def test_bad_images(image, error, message):
    with pytest.raises(error, match=message):
        prepare(small().eval())(image)


def test_says_what_it_did():
    model = small().eval()
    prepared = prepare(model, precision="bfloat16")
    assert isinstance(prepared, PreparedMatting)
    count = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert prepared.report[:2] == ("bfloat16, channels_last, on cpu", f"{count} batch norms folded into convolutions")
    assert all(line in str(prepared) for line in prepared.report)


class Made:
    """What belongs to a shape."""

    def __init__(self, image):
        self.shape = image.shape

    def __call__(self, image):
        assert image.shape == self.shape
        return (image + 1,)


def test_the_shape_cache_is_bounded():
    made = []

    def make(image):
        run = Made(image)
        made.append(weakref.ref(run))
        return run

    cache = ShapeCache(lambda image: (image + 1,), make, size=3)
    for side in range(1, 21):
        image = torch.zeros(1, 1, side, 1)
        assert cache(image)[0].equal(image + 1)
        assert len(made) == side - 1  # the first of a shape runs as it is
        assert cache(image)[0].equal(image + 1)
        assert len(made) == side
        assert len(cache.shapes) <= 3
    gc.collect()
    assert [ref() is not None for ref in made] == [False] * 17 + [True] * 3


def test_the_shape_used_longest_ago_makes_room():
    cache = ShapeCache(lambda image: (image,), Made, size=2)
    a, b, c = (torch.zeros(1, 1, side, 1) for side in (1, 2, 3))
    for image in (a, b, a, c):
        cache.get(image)
    assert cache.shapes == [tuple(a.shape), tuple(c.shape)]


def test_a_shape_that_came_once_and_long_ago_is_new_again():
    cache = ShapeCache(lambda image: (image,), lambda image: lambda image: (image + 1,), size=1)
    images = [torch.zeros(1, 1, side, 1) for side in range(1, 6)]
    for image in images:
        assert cache(image)[0].equal(image)
    assert cache(images[1])[0].equal(images[1] + 1)  # of the last four shapes, four times the size
    assert cache(images[0])[0].equal(images[0])


def test_warm_up_on_the_cpu_needs_no_cache():
    prepared = prepare(folded_state(small()))
    prepared.warm_up((1, 3, 64, 64))
    with pytest.raises(ValueError, match=r"image must have shape \(N, 3, H, W\), got \(3, 64, 64\)"):
        prepared.warm_up((3, 64, 64))


class RecordedGraph:
    """In the place of `torch.cuda.CUDAGraph`: replaying calls the function once more, on the same buffers."""

    def replay(self):
        pass


def test_a_graph_made_in_inference_mode_runs_outside_it(monkeypatch):
    """What `predict` records is replayed by a plain call."""
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **_: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "Stream", MagicMock)
    monkeypatch.setattr(torch.cuda, "current_stream", MagicMock)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", RecordedGraph)
    image = torch.rand(1, 3, 4, 4)
    with torch.inference_mode():
        graph = CudaGraph(lambda image: (image.view(1, 3, 4, 4),), image.clone())
    assert not graph._image.is_inference()
    (result,) = graph(image)
    assert result.equal(image)
    assert not result.is_inference()


def test_threads_that_share_a_graph_get_each_its_own_results():
    """A graph that takes its time over the buffers that it was recorded with."""

    class Slow(CudaGraph):
        def __init__(self, image):
            self._image, self._graph, self._results = image.clone(), self, (image.clone(),)

        def replay(self):
            time.sleep(0.005)
            self._results[0].copy_(self._image)
            time.sleep(0.005)

    cache = ShapeCache(lambda image: (image,), Slow)
    wrong, start = [], threading.Barrier(4)

    def work(number):
        start.wait()
        for step in range(8):
            image = torch.full((1, 1, 2, 2), 10.0 * step + number)
            wrong.extend([number] * (not cache(image)[0].equal(image)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not wrong
    assert copy.deepcopy(cache).shapes == cache.shapes == [(1, 1, 2, 2)]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, on importing its compiler
@torch.no_grad()
def test_compiles_what_it_is_given():
    """A tiny network; a whole one takes a C++ compiler more than a minute."""
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()).eval()
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(compiled(network, image)(image), network(image))


def test_compiles_once_whether_or_not_in_inference_mode(monkeypatch):
    """What warm_up compiled, ahead and outside of it, is what `predict` runs, inside."""
    graphs = []
    backend = lambda graph, _: graphs.append(graph) or graph.forward  # noqa: E731
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    monkeypatch.setenv("CXX", sys.executable)  # nothing is compiled: whatever is there will do
    model = trained_looking(small()).eval()
    prepared = prepare(model, compile=True)
    prepared.warm_up((1, 3, 64, 96))
    photo = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    np.testing.assert_allclose(predict(prepared, photo), predict(model, photo), rtol=0, atol=1e-4)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert_equal(prepared(image), model(image))
    assert not prepared(image).alpha.is_inference()
    assert len(graphs) == 1


@torch.no_grad()
def test_exports_in_one_graph():
    """What compile=True compiles, short of the compiling."""
    model = folded_state(of_convolutions())
    image = torch.rand(2, 3, 128, 64)
    network = prepare(model).network
    exported = torch.export.export(network, (image,), strict=False).module()
    assert_equal(torch.compile(exported, backend="eager", fullgraph=True, dynamic=False)(image), model(image))


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:.*TF32:UserWarning")  # later versions of torch have a second way to say it
@pytest.mark.filterwarnings("ignore:.*TensorFloat32:UserWarning")  # its compiler's advice
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize(("precision", "atol"), [("float32", 1e-4), ("bfloat16", 0.05), ("float16", 0.01)])
@torch.no_grad()
def test_cuda(precision, atol, compile, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model = folded_state(small()).cuda()
    prepared = prepare(model, precision=precision, compile=compile)
    shapes = [(1, 3, 64, 96), (2, 3, 64, 64)]
    for shape in [*shapes, *shapes, *shapes]:  # plain, recorded, replayed
        image = torch.rand(shape, device="cuda")
        expected, first = model(image), prepared(image)
        torch.testing.assert_close(first.detail, expected.detail, rtol=0, atol=atol)
        kept = first.detail.clone()
        prepared(torch.rand(shape, device="cuda"))
        assert first.detail.equal(kept)  # a later call does not write over an earlier result
    assert prepared._cache.shapes == shapes


@pytest.mark.cuda
@torch.no_grad()
def test_cuda_leaves_global_switches_alone():
    before = torch.backends.cudnn.benchmark
    prepare(folded_state(small()).cuda()).warm_up((1, 3, 64, 64))
    assert torch.backends.cudnn.benchmark == before

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mattekit import checkpoints
from mattekit.blocks import (
    ConvBNReLU,
    ConvFusion,
    DetailFusion,
    GatedConv,
    HighResolutionDetailBranch,
    PyramidPooling,
    ReplaceFusion,
    SemanticContextBranch,
    SoftFusion,
)
from mattekit.checkpoints.description import check_data
from mattekit.encoders import EfficientNetLite, FeaturePyramid, HRNet
from mattekit.models import PPMatting, Preprocessing, build, describe, pp_matting
from mattekit.models.description import PARTS, outline
from oracles.networks import small, trained_looking

SIZES = {"modules": (1, 2, 1, 1), "blocks": (2, 1, 1, 2), "stage1_width": 4}
WIDTHS = ((8, 6), (6, 5), (5, 4), (4, 4), (4, 4))

# every part, with arguments that are not its defaults
MAKERS = {
    "HRNet": lambda: HRNet((4, 6, 8, 10), **SIZES, padding="symmetric", upsampling="nearest", outputs=(0, 1, 4)),
    "EfficientNetLite": lambda: EfficientNetLite(width=0.25, depth=0.5),
    "FeaturePyramid": lambda: FeaturePyramid(
        EfficientNetLite(width=0.25, depth=0.25), (4, 5, 6, 7, 8), keep=(0, 1, 3), plain=2, channels=(3, 5, 7)
    ),
    "ConvBNReLU": lambda: ConvBNReLU(3, 5, 1, dilation=2, bias=True),
    "GatedConv": lambda: GatedConv(4, 6),
    "PyramidPooling": lambda: PyramidPooling(4, 6, bins=(1, 2, 7)),
    "SemanticContextBranch": lambda: SemanticContextBranch(10, pooling=PyramidPooling(10, 9, bins=(2,)), widths=WIDTHS),
    "HighResolutionDetailBranch": lambda: HighResolutionDetailBranch(
        (3, 5, 7), (6, 5, 4, 4, 4), guidance=(2, 5), widths=(8, 6, 5, 4)
    ),
    "ReplaceFusion": ReplaceFusion,
    "ConvFusion": ConvFusion,
    "DetailFusion": DetailFusion,
    "SoftFusion": SoftFusion,
    "PPMatting": lambda: small(guidance=(), preprocessing=Preprocessing((0.1, 0.2, 0.3), (1, 2, 3), 640, 64, True)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_part_comes_back(name):
    part = MAKERS[name]()
    description = json.loads(json.dumps(describe(part)))
    assert description["class"] == name
    again = build(description)
    assert type(again) is type(part)
    assert describe(again) == description
    assert repr(again) == repr(part)
    again.load_state_dict(part.state_dict())


def test_numbers_of_numpy_are_numbers():
    """As widths and factors are that came out of an array; a part that had one was taken for made by hand."""
    part = HighResolutionDetailBranch(
        np.array([3, 5]),
        (6, 5, 4, 4, 4),
        guidance=tuple(np.array([2, 5])),
        widths=np.array([8, 6, 5, 4]),
        upscale_factor=np.int64(3),
    )
    assert describe(build(json.loads(json.dumps(describe(part))))) == describe(part)
    lite = EfficientNetLite(width=np.float32(0.25), depth=np.float32(0.5))
    assert describe(lite) == describe(EfficientNetLite(width=0.25, depth=0.5))


def test_every_public_part_is_tried():
    assert MAKERS.keys() >= PARTS.keys() - {"TimmEncoder", "Preprocessing"}  # tested on their own


def swapped(model):
    model.fusion = DetailFusion()


def narrowed(model):
    model.detail = HighResolutionDetailBranch((64, 4), (6, 5, 4, 4, 4), guidance=(5,), widths=(4, 4, 4, 4))


def nearest(model):
    model.encoder = HRNet(
        (4, 6, 8, 10), modules=(1, 1, 1, 1), blocks=(1, 1, 1, 1), stage1_width=4, upsampling="nearest"
    )


@pytest.mark.parametrize("change", [swapped, narrowed, nearest])
def test_a_network_with_a_part_exchanged_is_rebuilt(tmp_path, change):
    model = small()
    change(model)
    trained_looking(model)
    checkpoints.save(model, tmp_path / "model.safetensors")
    again = pp_matting(weights=tmp_path / "model.safetensors")
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert [part.equal(other) for part, other in zip(again(image), model(image), strict=True)] == [True] * 3


class MyGate(GatedConv):
    pass


class MyFusion(nn.Module):
    def forward(self, semantic_logits, detail):
        return detail


def by_subclass(model):
    model.fusion = type("Mine", (ReplaceFusion,), {})()


def by_foreign_class(model):
    model.fusion = MyFusion()


def by_inner_module(model):
    model.detail.gates["5"] = MyGate(5, 4)


def by_inner_setting(model):
    model.encoder.stage2[0].upsampling = "nearest"


def by_inner_layer(model):
    model.context.head[0].relu = nn.SiLU()


def by_addition(model):
    model.fusion.extra = nn.Conv2d(1, 1, 1)


def by_forward(model):
    model.fusion.forward = lambda logits, detail: detail


def by_method(model):
    model.normalise = lambda image: image


def by_inner_method(model):
    model.detail.gates["5"].blend = lambda detail, projected: detail


def by_hook(model):
    model.detail.head.register_forward_hook(lambda _module, _inputs, out: 2 * out)


def by_width(model):
    model.context.head[2] = nn.Conv2d(4, 3, 1)


def by_buffer(model):
    model.mean.fill_(0.25)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (by_subclass, "fusion was made by hand, a .*test_description.Mine .it is no class of mattekit"),
        (by_foreign_class, "fusion was made by hand, a .*test_description.MyFusion"),
        (by_inner_module, "detail was made by hand, a HighResolutionDetailBranch .gates.5 is a MyGate"),
        (by_inner_setting, "encoder was made by hand, a HRNet .stage2.0.upsampling is 'nearest', not 'bilinear'"),
        (by_inner_layer, "context was made by hand, a SemanticContextBranch .head.0.relu is a SiLU"),
        (by_addition, "fusion was made by hand, a ReplaceFusion .extra is added"),
        (by_forward, "fusion was made by hand, a ReplaceFusion .forward is replaced"),
        (by_method, "the network was made by hand, a PPMatting .normalise is replaced"),
        (by_inner_method, "detail was made by hand, a HighResolutionDetailBranch .gates.5.blend is replaced"),
        (by_hook, "detail was made by hand, a HighResolutionDetailBranch .head has a hook"),
        (by_width, "context was made by hand, a SemanticContextBranch .head.2.kernel_size is "),
        (by_buffer, "the network was made by hand, a PPMatting .mean was changed in place: assign preprocessing"),
    ],
)
def test_what_was_made_by_hand_is_named_and_refused(tmp_path, change, where):
    model = small()
    change(model)
    path = tmp_path / "model.safetensors"
    checkpoints.save(model, path)
    with pytest.raises(RuntimeError, match=f"model.safetensors: {where}"):
        pp_matting(weights=path)
    same = copy.deepcopy(model)
    nn.init.zeros_(same.detail.head.weight)
    assert checkpoints.load(same, path).complete
    torch.testing.assert_close(same.state_dict(), model.state_dict())


def test_tensors_that_share_memory_are_saved_each(tmp_path):
    """As tied weights do, and as part of another tensor does."""
    model = small().eval()
    model.context.sides[2].conv.weight = model.context.sides[3].conv.weight
    model.detail.head.weight = nn.Parameter(torch.ones(4, *model.detail.head.weight.shape)[2])
    checkpoints.save(model, tmp_path / "model.safetensors")
    again = pp_matting(weights=tmp_path / "model.safetensors")
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_a_part_made_by_hand_can_be_given():
    model = small()
    model.fusion = MyFusion()
    description = describe(model)
    description["arguments"]["fusion"] = MyFusion()
    assert isinstance(build(description).fusion, MyFusion)


def test_sync_batch_norms_are_described_as_what_they_stand_for():
    model = small()
    assert describe(nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))) == describe(model)


def compiled(model):
    return torch.compile(model, backend="eager")


@pytest.mark.parametrize("wrap", [nn.DataParallel, compiled, lambda m: compiled(nn.DataParallel(m))])
def test_wrappers_are_looked_through(tmp_path, wrap):
    model = small()
    wrapped = wrap(copy.deepcopy(model))
    assert describe(wrapped) == describe(model)
    checkpoints.save(wrapped, tmp_path / "wrapped.safetensors")
    again = pp_matting(weights=tmp_path / "wrapped.safetensors")
    torch.testing.assert_close(again.state_dict(), model.state_dict())
    checkpoints.save(small(), tmp_path / "other.safetensors")
    assert checkpoints.load(wrapped, tmp_path / "other.safetensors").complete


def test_a_network_compiled_in_place_is_its_own():
    model = small()
    plain = describe(model)
    model.compile(backend="eager")
    assert describe(model) == plain


def test_what_is_no_tensor_is_not_lost(tmp_path):
    model = small()
    model.fusion = type("Mine", (ReplaceFusion,), {"get_extra_state": lambda self: {"a": 1}})()
    with pytest.raises(TypeError, match=r"tensors alone in its state dict, got fusion\._extra_state"):
        checkpoints.save(model, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_compiled_part_is_looked_through(tmp_path):
    model = small()
    plain = describe(model)
    model.encoder = compiled(model.encoder)
    assert describe(model) == plain
    checkpoints.save(model, tmp_path / "model.safetensors")
    assert checkpoints.load(small(), tmp_path / "model.safetensors").complete
    assert checkpoints.load(model, tmp_path / "model.safetensors").complete


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "the network must be one of .*, got None"),
        ({"class": "os.system", "arguments": {"command": "true"}}, "the network must be one of .*, got 'os.system'"),
        ({"class": "Linear", "arguments": {}}, "the network must be one of .*, got 'Linear'"),
        ({"class": ["HRNet"], "arguments": {}}, "the network must be one of"),
        ({str(n): n for n in range(5000)}, "^the description has 5000 items, more than any part takes"),
        ({"class": "GatedConv"}, "the network must have its arguments by name, got None"),
        ({"class": "GatedConv", "arguments": [4, 6]}, r"the network must have its arguments by name, got \[4, 6\]"),
        ({"class": "GatedConv", "arguments": {"channels": 4}}, "the network cannot be made, a GatedConv: .*guidance"),
        (
            {"class": "GatedConv", "arguments": {"forward": 4}},
            "must have the arguments channels, guidance_channels, got",
        ),
        ({"class": "GatedConv", "arguments": {"channels": "4", "guidance_channels": 6}}, "cannot be made, a GatedConv"),
        ({"class": "GatedConv", "arguments": {"channels": -4, "guidance_channels": 6}}, "cannot be made, a GatedConv"),
        ({"class": "GatedConv", "arguments": {"channels": 10**9, "guidance_channels": 6}}, "channels must be within"),
        ({"class": "GatedConv", "arguments": {"channels": float("nan")}}, "channels must be within"),
        (
            {"class": "TimmEncoder", "arguments": {"name": "hf-hub:me/mine"}},
            "name must be a word, got 'hf-hub:me/mine'",
        ),
        ({"class": "TimmEncoder", "arguments": {"pretrained": True}}, "must have the arguments name, got 'pretrained'"),
        ({"class": "PyramidPooling", "arguments": {"in_channels": 4, "bins": [1] * 100}}, "bins has 100 items"),
        ({"class": "PyramidPooling", "arguments": {"in_channels": {"class": "eval"}}}, "in_channels must be one of"),
        ({"class": "HRNet", "arguments": {"padding": "circular"}}, "padding must be one of"),
        ({"class": "Preprocessing", "arguments": {}}, "the description must be that of a module"),
        ({"class": "HRNet", "arguments": {}, "handmade": "why"}, r"the network was made by hand, a HRNet \(why\)"),
    ],
)
def test_descriptions_from_strangers(description, message):
    with pytest.raises(ValueError, match=message):
        build(description)


def test_the_number_of_modules_is_bounded(monkeypatch):
    monkeypatch.setattr("mattekit.checkpoints.description._MOST_CALLS", 2000)
    with pytest.raises(ValueError, match="a HRNet: it asks for more modules than any network has"):
        build({"class": "HRNet", "arguments": {"modules": [1, 1, 1 << 20, 1]}})


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("largest", "too_large", "message"),
    [
        ([0] * 64, [0] * 65, "^a has 65 items, more than any part takes$"),
        (nested(11), nested(12), r"^a(\.0){12} is nested too deeply$"),
        (-(2**20), 2**20 + 1, "^a must be within ±1048576, got 1048577$"),
        ("x" * 2000, "x" * 2001, "^a must be a plain value, got 'x"),
        (None, {1}, r"^a must be a plain value, got \{1\}$"),
    ],
)
def test_how_large_values_may_be(largest, too_large, message):
    check_data({"a": largest})
    with pytest.raises(ValueError, match=message):
        check_data({"a": too_large})


def test_nested_descriptions_are_bounded():
    description = {"class": "SemanticContextBranch", "arguments": {}}
    for _ in range(100):
        description = {"class": "SemanticContextBranch", "arguments": {"in_channels": 4, "pooling": description}}
    with pytest.raises(ValueError, match="is nested too deeply"):
        build(description)


def test_an_outline_takes_no_memory():
    model = outline(describe(small()))
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    assert {name: x.shape for name, x in model.state_dict().items()} == {
        name: x.shape for name, x in small().state_dict().items()
    }


def test_preprocessing_is_one_frozen_value():
    model = small()
    assert model.preprocessing == Preprocessing()
    model.max_short_side = 768
    model.preprocessing = Preprocessing((0.1, 0.2, 0.3), (1, 2, 3), model.max_short_side)
    assert model.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert model.std.flatten().tolist() == [1, 2, 3]
    with pytest.raises(AttributeError):
        model.preprocessing.mean = (0, 0, 0)
    with pytest.raises(TypeError, match="preprocessing must be a Preprocessing, got dict"):
        model.preprocessing = {}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_short_side": 31}, ValueError, "max_short_side must be at least 32, got 31"),
        ({"max_short_side": 0}, ValueError, "max_short_side must be at least 32, got 0"),
        ({"max_short_side": -5}, ValueError, "max_short_side must be at least 32, got -5"),
        ({"max_short_side": "abc"}, TypeError, "max_short_side must be an integer or None, got 'abc'"),
        ({"max_short_side": True}, TypeError, "max_short_side must be an integer or None, got True"),
        ({"max_short_side": float("nan")}, TypeError, "max_short_side must be an integer or None, got nan"),
        ({"context_short_side": 31}, ValueError, "context_short_side must be at least 32, got 31"),
        ({"context_short_side": 64.0}, TypeError, "context_short_side must be an integer or None, got 64.0"),
        ({"antialias": 1}, TypeError, "antialias must be True or False, got 1"),
        ({"guided": None}, TypeError, "guided must be True or False, got None"),
        ({"mean": (0.5, 0.5)}, ValueError, "mean must be three finite numbers"),
        ({"mean": "abc"}, ValueError, "mean must be three finite numbers"),
        ({"mean": (0.5, float("inf"), 0)}, ValueError, "mean must be three finite numbers"),
        ({"std": (0.5, 0, 0.5)}, ValueError, "std must be positive"),
        ({"std": (0.5, "1", 0.5)}, TypeError, "std must be three numbers"),
    ],
)
def test_preprocessing_is_checked(tmp_path, arguments, error, message):
    with pytest.raises(error, match=message):
        Preprocessing(**arguments)
    model = small()
    description = describe(model)
    description["arguments"]["preprocessing"]["arguments"].update(arguments)
    path = tmp_path / "model.safetensors"
    save_file(model.state_dict(), path, {"description": json.dumps(description)})
    with pytest.raises(RuntimeError, match=r"model.safetensors"):
        pp_matting(weights=path)
    with pytest.raises(RuntimeError, match=r"model.safetensors"):
        checkpoints.load(model, path)


def test_the_whole_is_the_network_of_the_defaults():
    with torch.device("meta"):
        assert isinstance(outline(describe(pp_matting("hrnet_w18"))), PPMatting)

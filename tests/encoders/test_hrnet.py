import gzip
import itertools
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from mattekit import encoders
from mattekit.encoders import Encoder, HRNet
from mattekit.encoders.same_conv import SameConv2d

OFFICIAL = json.loads(
    gzip.decompress((Path(__file__).parent.parent / "data/hrnet/official_names.json.gz").read_bytes())
)
FAMILY = [name for name in encoders.__all__ if name.startswith("hrnet_")]


def tiny(**options):
    return HRNet((4, 8, 12, 16), modules=(1, 1, 2, 1), blocks=(1, 1, 1, 1), stage1_width=4, **options)


def shapes(module):
    return {name: list(t.shape) for name, t in module.state_dict().items() if not name.endswith("num_batches_tracked")}


def test_the_family_is_whole():
    assert sorted(OFFICIAL) == sorted(FAMILY)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_official_names_and_shapes(name, padding):
    with torch.device("meta"):
        encoder = getattr(encoders, name)(padding=padding)
    assert shapes(encoder) == OFFICIAL[name]


@pytest.mark.parametrize("name", FAMILY)
def test_the_family_passes_on_what_it_is_given(name, monkeypatch):
    monkeypatch.setattr("mattekit.encoders.hrnet.HRNet", lambda *_, **options: options)
    given = {"padding": "symmetric", "upsampling": "nearest", "outputs": (0,)}
    assert given.items() <= getattr(encoders, name)(**given).items()


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("upsampling", ["nearest"])
def test_agrees_with_timm(name, upsampling):
    timm = pytest.importorskip(
        "timm", reason="timm, and a torchvision that fits torch, are not installed", exc_type=Exception
    )
    theirs = timm.create_model("hrnet_w18_small" if name == "hrnet_w18_small_v1" else name).eval()
    for buffer_name, buffer in theirs.named_buffers():
        if buffer_name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif buffer_name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    ours = getattr(encoders, name)(padding="symmetric", upsampling=upsampling).eval()
    ours.load_state_dict({key: value for key, value in theirs.state_dict().items() if key in ours.state_dict()})
    image = torch.rand(1, 3, 96, 128) * 2 - 1
    with torch.inference_mode():
        stem = theirs.act1(theirs.bn1(theirs.conv1(image)))
        expected = [stem, *theirs.stages(theirs.act2(theirs.bn2(theirs.conv2(stem))))]
        for feature, reference in zip(ours(image), expected, strict=True):
            # other orders of the sums in the exchange: a few float32 roundings over some 100 layers
            torch.testing.assert_close(feature, reference, rtol=0, atol=1e-5 * float(reference.abs().max()))


def test_is_an_encoder():
    encoder = tiny()
    assert isinstance(encoder, Encoder)
    assert encoder.channels == (64, 4, 8, 12, 16)
    assert encoder.strides == (2, 4, 8, 16, 32)


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("size", [(64, 96), (32, 32), (33, 47), (45, 100)])
def test_sides_are_rounded_up(padding, size):
    features = tiny(padding=padding).eval()(torch.rand(1, 3, *size))
    for feature, channels, stride in zip(features, (64, 4, 8, 12, 16), (2, 4, 8, 16, 32), strict=True):
        assert feature.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))


def strided_convolution(padding, x):
    """The stem's first convolution with all weights one: it counts the pixels that each tap sum sees."""
    conv = tiny(padding=padding).conv1
    nn.init.ones_(conv.weight)
    return conv(x)[0, 0]


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (32, 47), (33, 48)])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_same_padding_of_each_channel_alone_needs_no_padded_image(kernel_size, size):
    """Depthwise convolutions on a CPU pad their kernel; values and gradients are those of a padded image."""
    torch.manual_seed(0)
    conv = SameConv2d(6, 6, kernel_size, 2, groups=6).double()
    image = torch.randn(2, 6, *size, dtype=torch.float64, requires_grad=True)
    half = kernel_size // 2
    before = [half - 1 + side % 2 for side in size]
    padded = torch.nn.functional.pad(image, (before[1], half, before[0], half))
    expected = torch.nn.functional.conv2d(padded, conv.weight, conv.bias, 2, groups=6)
    found = conv(image)
    torch.testing.assert_close(found, expected)
    wanted = (image, conv.weight, conv.bias)
    towards = torch.randn_like(found)
    for ours, theirs in zip(*(torch.autograd.grad(out, wanted, towards) for out in (found, expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_same_padding_of_one_size_is_compiled_without_a_padded_image():
    """Of many sizes it is: only a size that is known says which zeros a kernel begins with."""
    torch.manual_seed(0)
    conv = SameConv2d(6, 6, 3, 2, groups=6).eval()
    image = torch.randn(1, 6, 8, 9)

    def padded(**options):
        program = torch.export.export(conv, (image,), **options)
        for side in (9, 12) if options else ():
            other = torch.randn(1, 6, side, 9)
            torch.testing.assert_close(program.module()(other), conv(other))
        return [tuple(node.meta["val"].shape) for node in program.graph.nodes if "pad" in str(node.target)]

    assert padded() == [(6, 1, 4, 3)]  # the kernel, before even rows; 9 columns need no zeros
    ((*_, columns),) = padded(dynamic_shapes={"input": {2: torch.export.Dim("rows", min=4)}})
    assert columns == 11  # the image's


@pytest.mark.parametrize("strict", [False, True])
def test_same_padding_of_each_channel_alone_is_exported_for_all_sizes(strict):
    """Dynamo, which ``strict`` exports with, says of sizes of many that they are integers."""
    conv = SameConv2d(6, 6, 3, 2, groups=6)
    sides = {2: torch.export.Dim("height", min=4), 3: torch.export.Dim("width", min=4)}
    exported = torch.export.export(conv, (torch.rand(1, 6, 10, 13),), dynamic_shapes=(sides,), strict=strict).module()
    for height, width in [(8, 9), (9, 8), (32, 48), (33, 47)]:
        image = torch.rand(1, 6, height, width)
        torch.testing.assert_close(exported(image), conv(image))


def test_same_padding_is_tensorflows():
    # even side 4: windows start at 0 and 2, the second meets one row of padding; odd side 5: at -1, 1, 3
    seen = strided_convolution("same", torch.ones(1, 3, 4, 5)) / 3
    assert seen.tolist() == [[6, 9, 6], [4, 6, 4]]


def test_symmetric_padding_is_the_official():
    seen = strided_convolution("symmetric", torch.ones(1, 3, 4, 5)) / 3
    assert seen.tolist() == [[4, 6, 4], [6, 9, 6]]


@pytest.mark.parametrize("outputs", [c for n in range(1, 6) for c in itertools.combinations(range(5), n)])
def test_outputs_are_those_of_the_whole_network(outputs):
    """And what only the others need is not there, so that every parameter gets a gradient."""
    whole, some = tiny().eval(), tiny(outputs=outputs).eval()
    weights = whole.state_dict()
    unread = {name for name in weights if name.startswith(some.left_out)}
    assert unread == weights.keys() - some.state_dict().keys()
    some.load_state_dict({name: weights[name] for name in weights.keys() - unread})
    image = torch.rand(2, 3, 33, 64)
    features = some(image)
    for feature, index in zip(features, outputs, strict=True):
        assert feature.equal(whole(image)[index])
    assert some.channels == tuple(whole.channels[index] for index in outputs)
    assert some.strides == tuple(whole.strides[index] for index in outputs)
    sum(feature.square().sum() for feature in features).backward()
    without = {name for name, parameter in some.named_parameters() if parameter.grad is None}
    assert not without or outputs == (0,)


def test_outputs_can_be_kept_later():
    encoder = tiny(outputs=(0, 1, 3))
    assert encoder.left_out == ("stage4.0.fuse_layers.1.", "stage4.0.fuse_layers.3.")
    encoder.keep((1, 3))
    assert encoder.channels == (4, 12)
    with pytest.raises(ValueError, match=r"outputs must be some of \(1, 3\), each once and in order, got \(0,\)"):
        encoder.keep((0,))


def test_upsampling_changes_no_weights():
    assert shapes(tiny(upsampling="nearest")) == shapes(tiny())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "valid"}, "padding must be one of 'same', 'symmetric', got 'valid'"),
        ({"upsampling": "cubic"}, "upsampling must be one of 'bilinear', 'nearest', got 'cubic'"),
        ({"outputs": ()}, r"outputs must be some of \(0, 1, 2, 3, 4\), each once and in order, got \(\)"),
        ({"outputs": (1, 0)}, r"outputs must be some of \(0, 1, 2, 3, 4\), each once and in order, got \(1, 0\)"),
        ({"outputs": (5,)}, r"outputs must be some of \(0, 1, 2, 3, 4\), each once and in order, got \(5,\)"),
        ({"widths": (1, 2, 3)}, r"widths must have four numbers, got \(1, 2, 3\)"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        HRNet(**options)


def test_bad_image():
    with pytest.raises(ValueError, match=r"image must have shape \(N, 3, H, W\), got \(1, 4, 64, 64\)"):
        tiny()(torch.rand(1, 4, 64, 64))

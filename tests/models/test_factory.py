from pathlib import Path

import pytest
import torch

from mattekit import checkpoints
from mattekit.blocks import ConvFusion, DetailFusion, ReplaceFusion, SoftFusion
from mattekit.encoders import hrnet_w18_small_v1
from mattekit.models import Preprocessing, describe, pp_matting
from oracles import seeded


def meta(*args, **kwargs):
    with torch.device("meta"):
        return pp_matting(*args, **kwargs)


@pytest.fixture(scope="module")
def pdparams(tmp_path_factory):
    return seeded.write_pdparams(tmp_path_factory.mktemp("weights") / "w18.pdparams")


def test_defaults_are_the_papers():
    model = meta()
    assert model.encoder.channels == (64, 48, 384)  # of its five features those that are read
    assert model.detail.guidance == (1, 3, 5)
    assert isinstance(model.fusion, ReplaceFusion)
    assert model.encoder.padding == "same"
    assert model.max_short_side is None


@pytest.mark.parametrize("guidance", [(), (5,), (1, 3, 5), (1, 2, 3, 4, 5)])  # the rows of Table 3
def test_rows_of_table_3(guidance):
    model = pp_matting("hrnet_w18_small_v1", guidance=guidance).eval()
    assert model.detail.guidance == guidance
    assert model(torch.rand(1, 3, 32, 64)).alpha.shape == (1, 1, 32, 64)


@pytest.mark.parametrize(
    ("name", "kind"), [("replace", ReplaceFusion), ("conv", ConvFusion), ("detail", DetailFusion), ("soft", SoftFusion)]
)
def test_rows_of_table_4(name, kind):
    assert isinstance(meta("hrnet_w18", fusion=name).fusion, kind)


def test_takes_an_encoder_object():
    encoder = hrnet_w18_small_v1(padding="symmetric")
    assert pp_matting(encoder).encoder is encoder


def test_finds_the_encoder_that_weights_fit(pdparams):
    assert pp_matting(weights=pdparams).encoder.widths == (18, 36, 72, 144)


def test_weights_of_another_encoder_are_listed(pdparams):
    with pytest.raises(RuntimeError, match="does not fit PPMatting") as error:
        pp_matting("hrnet_w48", weights=pdparams)
    lines = str(error.value).splitlines()
    assert "  context.blocks.0.0.conv.weight: the model has (512, 896, 3, 3), the file (512, 656, 3, 3)" in lines
    assert lines[-1] == f"  and {int(lines[1].split('(')[1].split(')')[0]) - 20} more"


def test_official_encoder_weights_bring_their_padding_and_upsampling(tmp_path):
    source = hrnet_w18_small_v1(padding="symmetric", upsampling="nearest")
    torch.save({**source.state_dict(), "classifier.weight": torch.rand(3, 3)}, tmp_path / "hrnet.pth")
    model = pp_matting("hrnet_w18_small_v1", encoder_weights=tmp_path / "hrnet.pth")
    assert model.encoder.padding == "symmetric"
    assert model.encoder.upsampling == "nearest"
    image = torch.rand(1, 3, 64, 96)
    coarsest = [encoder.eval()(image)[-1] for encoder in (model.encoder, source)]
    torch.testing.assert_close(*coarsest)
    read = {name: x for name, x in source.state_dict().items() if not name.startswith(model.encoder.left_out)}
    torch.testing.assert_close(dict(model.encoder.state_dict()), read)


def test_paddles_encoder_weights_bring_theirs(tmp_path):
    shapes = seeded.paddle_shapes()
    names = [name for name in shapes if name.startswith("backbone.")]
    path = tmp_path / "hrnet_w18_ssld.pdparams"
    seeded.write(path, {name.removeprefix("backbone."): seeded.seeded(name, shapes[name]) for name in names})
    model = pp_matting("hrnet_w18", encoder_weights=path)
    assert model.encoder.padding == "same"
    expected = torch.from_numpy(seeded.seeded(names[0], shapes[names[0]]))
    torch.testing.assert_close(model.encoder.conv1.weight.detach(), expected)


@pytest.mark.parametrize(
    "options", [{}, {"guidance": ()}, {"guidance": (2, 5), "fusion": "conv"}, {"fusion": "detail"}]
)
def test_saved_models_are_rebuilt(tmp_path, options):
    model = pp_matting("hrnet_w18_small_v1", **options).eval()
    model.preprocessing = Preprocessing((0.25, 0.5, 0.5), (0.125, 1, 1), 768)
    checkpoints.save(model.to(memory_format=torch.channels_last), tmp_path / "model.safetensors")
    rebuilt = pp_matting(weights=tmp_path / "model.safetensors")
    assert describe(rebuilt) == describe(model)
    assert rebuilt.preprocessing == model.preprocessing
    assert not rebuilt.training
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(tuple(rebuilt(image)), tuple(model.to(memory_format=torch.contiguous_format)(image)))


def test_arguments_must_not_contradict_a_saved_file(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoints.save(pp_matting("hrnet_w18_small_v1", guidance=(5,)), path)
    with pytest.raises(
        ValueError, match=r"guidance must be \[5\], as .*model.safetensors was saved with, .*, got \(1, 3, 5\)"
    ):
        pp_matting(weights=path, guidance=(1, 3, 5))
    with pytest.raises(
        ValueError, match=r"fusion must be 'ReplaceFusion', as .* was saved with, or fusion left out, got 'conv'"
    ):
        pp_matting(weights=path, fusion="conv")
    with pytest.raises(
        ValueError, match=r"encoder's blocks must be \[1, 2, 2, 2\], as .*, got 'hrnet_w18' with \[4, 4, 4, 4\]"
    ):
        pp_matting("hrnet_w18", weights=path)
    assert pp_matting(weights=path, guidance=[5], fusion="replace").detail.guidance == (5,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "resnet50"}, "encoder must be one of .*'hrnet_w18', .*, got 'resnet50'"),
        ({"fusion": "add"}, "fusion must be one of 'replace', 'conv', 'detail', 'soft', got 'add'"),
        ({"guidance": (3, 1)}, r"guidance must name blocks 1 to 5, each once and in order, got \(3, 1\)"),
        ({"weights": "a", "encoder_weights": "b"}, "encoder_weights must be None where weights are given"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        pp_matting(**options)


def test_weights_are_a_file_or_a_name():
    with pytest.raises(FileNotFoundError, match="human512 is neither a file nor one of small, composition-1k, "):
        pp_matting(weights="human512")
    with pytest.raises(FileNotFoundError, match="human-512, given as a path, is no file: to name weights, pass a str"):
        pp_matting(weights=Path("human-512"))
    with pytest.raises(TypeError, match="guidance must be a sequence of blocks, such as"):
        pp_matting(weights="small", guidance=5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"got dict; a state dict goes into model\.load_state_dict"):
        pp_matting(weights={})  # pyright: ignore[reportArgumentType]


def test_an_encoder_is_checked_before_it_is_used():
    with pytest.raises(TypeError, match="encoder must have channels and strides, which Conv2d lacks"):
        pp_matting(torch.nn.Conv2d(3, 8, 3))
    with pytest.raises(TypeError, match=r"encoder must be a torch\.nn\.Module, got int"):
        pp_matting(18)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="guidance must be a sequence of blocks, such as"):
        pp_matting("hrnet_w18_small_v1", guidance=5)  # pyright: ignore[reportArgumentType]


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="human-513"):
        pp_matting(weights="human-513")

"""Beside torch, whose numbers are the oracle: a file must give them at sizes that were not traced."""

import json
import sys

import numpy as np
import pytest
import torch

from mattekit import export
from mattekit.blocks import ConvFusion, DetailFusion
from mattekit.models import PPMatting, Preprocessing, build
from oracles.networks import lively, small, small_pyramid

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
onnx = pytest.importorskip("onnx", reason="onnx is not installed")

SIZES = [(1, 3, 32, 32), (2, 3, 96, 160), (1, 3, 224, 96), (3, 3, 33, 47), (1, 3, 100, 131), (1, 3, 64, 63)]


def of(fusion, **options):
    network = small(**options)
    network.fusion = fusion
    return network


# beside the fixture's, each row of Tables 3 and 4, either padding and the other encoder once; an export takes seconds
NETWORKS = {
    "conv, no guidance, symmetric padding": lambda: of(ConvFusion(), guidance=(), padding="symmetric"),
    "detail, guidance of block 5": lambda: of(DetailFusion(), guidance=(5,)),
    "soft, guidance of all blocks, efficientnet with a pyramid, context at 48 pixels": lambda: small_pyramid(
        preprocessing=Preprocessing(context_short_side=48)
    ),
}


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def assert_alpha_close(actual, expected):
    """To 1e-4, but where rounding decides between the two likeliest classes, which is seldom."""
    first, second = expected.semantic_logits.topk(2, dim=1).values.split(1, dim=1)
    tied = (first - second < 1e-4 * expected.semantic_logits.abs().max()).numpy()
    differs = np.abs(actual - expected.alpha.numpy()) > 1e-4
    assert not (differs & ~tied).any()
    assert differs.mean() < 0.01


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    preprocessing = Preprocessing((0.4, 0.5, 0.6), (0.2, 0.3, 0.4), max_short_side=512, antialias=True, guided=True)
    model = lively(small(preprocessing=preprocessing))
    path = tmp_path_factory.mktemp("export") / "new" / "folder" / "a.onnx"
    return model, export.onnx(model, path, outputs=("semantic_logits", "alpha", "detail"))


@torch.no_grad()
def test_every_map_equals_torch_at_sizes_not_traced(exported):
    model, result = exported
    assert result.difference < 1e-4
    run = session(result.path)
    for size in SIZES:
        image = torch.rand(size)
        logits, alpha, detail = run.run(None, {"image": image.numpy()})
        expected = model(image)
        assert_alpha_close(alpha, expected)
        np.testing.assert_allclose(detail, expected.detail.numpy(), rtol=0, atol=1e-4)
        np.testing.assert_allclose(logits, expected.semantic_logits.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_alpha_equals_torch_whatever_the_parts(name, tmp_path):
    model = lively(NETWORKS[name]())
    run = session(export.onnx(model, tmp_path / "a.onnx").path)
    assert [output.name for output in run.get_outputs()] == ["alpha"]
    for size in SIZES:
        image = torch.rand(size)
        assert_alpha_close(*run.run(None, {"image": image.numpy()}), model(image))


@torch.no_grad()
def test_half_the_bits_of_weights(tmp_path):
    """A smaller file, which computes what torch does with weights rounded to float16; the model is left alone.

    The pyramid has batch norms that torch's exporter folds, and writes over the weights of what it is given.
    """
    model = lively(small_pyramid())
    before = {name: x.clone() for name, x in model.state_dict().items()}
    half = export.onnx(model, tmp_path / "half.onnx", outputs=["detail"], weights="float16")
    assert all(x.equal(before[name]) for name, x in model.state_dict().items())
    assert half.difference < 1e-4
    assert half.metadata["weights"] == "float16"
    stored = onnx.load(half.path).graph.initializer
    assert sum(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in stored) > 20
    image = torch.rand(1, 3, 96, 64)
    (detail,) = session(half.path).run(None, {"image": image.numpy()})
    # weights of 11 bits: off by more than float32's rounding, and by little
    assert 1e-5 < np.abs(detail - model(image).detail.numpy()).max() < 0.02


def test_says_what_it_is(exported):
    model, result = exported
    run = session(result.path)
    metadata = run.get_modelmeta().custom_metadata_map
    assert metadata == result.metadata
    again = build(json.loads(metadata["description"]))
    assert isinstance(again, PPMatting)
    assert again.preprocessing == model.preprocessing
    preprocessing = json.loads(metadata["preprocessing"])
    assert preprocessing["mean"] == [0.4, 0.5, 0.6]
    assert preprocessing["max_short_side"] == 512
    assert preprocessing["antialias"] is True
    assert preprocessing["guided"] is True
    assert (metadata["opset"], metadata["weights"]) == ("18", "float32")
    assert len(metadata["weights_sha256"]) == 64
    (given,) = run.get_inputs()
    assert (given.name, given.shape) == ("image", ["batch", 3, "height", "width"])
    assert [x.shape for x in run.get_outputs()] == [["batch", channels, "height", "width"] for channels in (3, 1, 1)]
    assert result.bytes == result.path.stat().st_size


def test_batch_norms_are_folded(exported):
    graph = onnx.load(exported[1].path).graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


@pytest.mark.parametrize("size", [(1, 3, 31, 64), (1, 3, 64, 8), (2, 3, 1, 1)])
def test_small_images_are_refused_by_name(exported, size):
    with pytest.raises(Exception, match="image_must_have_sides_from_32_up"):
        session(exported[1].path).run(None, {"image": np.zeros(size, np.float32)})


def test_a_file_that_differs_is_refused_with_the_figure_and_leaves_no_trace(tmp_path):
    """A tolerance that float32 cannot keep stands for a file that differs."""
    path = tmp_path / "a.onnx"
    path.write_bytes(b"before")
    with pytest.raises(RuntimeError, match=r"file's \w+ must equal the network's to 1e-09, got \S+e-0\d at \(1, 3, 96"):
        export.onnx(lively(small()), path, outputs=["detail"], tolerance=1e-9)
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.onnx"]


def test_a_size_that_was_fixed_by_tracing_is_found(tmp_path):
    """A part that takes the traced size for every size: the fault that exports are known for."""

    class Fixed(DetailFusion):
        def forward(self, semantic_logits, detail):
            height, width = (int(side) for side in detail.shape[-2:])
            rows = torch.linspace(0, 1, height).view(-1, 1).expand(height, width)
            return detail * rows

    with pytest.raises(RuntimeError, match="does not run at \\(1, 3, 96, 160\\)"):
        export.onnx(lively(of(Fixed())), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": "a.pt"}, ValueError, "path must end in .onnx, got 'a.pt'"),
        ({"outputs": "alpha"}, ValueError, "outputs must name maps, each once"),
        ({"outputs": ["alpha", "alpha"]}, ValueError, "outputs must name maps, each once"),
        (
            {"outputs": ["matte"]},
            ValueError,
            "outputs must be one of 'alpha', 'detail', 'semantic_logits', got 'matte'",
        ),
        ({"weights": "int4"}, ValueError, "weights must be one of 'float32', 'float16', got 'int4'"),
        ({"tolerance": 0}, ValueError, "tolerance must be positive, got 0"),
        ({"model": torch.nn.ReLU()}, TypeError, "model must be a PPMatting, got ReLU"),
        ({"model": small()}, ValueError, "model must be in evaluation mode"),
    ],
)
def test_says_what_is_wrong(arguments, error, message, tmp_path):
    with pytest.raises(error, match=message):
        export.onnx(**{"model": small().eval(), "path": tmp_path / "a.onnx", **arguments})


def test_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"export.onnx needs onnxruntime: pip install onnx onnxscript onnxruntime"):
        export.onnx(small().eval(), tmp_path / "a.onnx")

import pytest

from mattekit import checkpoints, cli
from oracles.networks import lively, small


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "mine.safetensors"
    checkpoints.save(lively(small()), path)
    return path


def test_writes_an_onnx_file(weights, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    file = tmp_path / "new" / "mine.onnx"
    assert cli.main(["export", str(weights), str(file), "--outputs", "detail", "alpha", "--half"]) == 0
    out, err = capsys.readouterr()
    size = f"{file.stat().st_size / 1e6:.1f} MB"
    assert out.startswith(f"wrote {file}, {size}, which returns detail, alpha; it differs from the network by ")
    assert not err
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["detail", "alpha"]
    assert session.get_modelmeta().custom_metadata_map["weights"] == "float16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mine.safetensors", "mine.pt"], "FILE must end in .onnx or .pt2, got mine.pt"),
        (["mine.safetensors", "mine.pt2", "--half"], "--outputs and --half are for ONNX files"),
        (["mine.safetensors", "mine.onnx", "--outputs", "matte"], "outputs must be one of 'alpha', 'detail'"),
        (["missing.safetensors", "mine.onnx"], "missing.safetensors"),
        (["mine.safetensors", "folder.onnx"], "folder.onnx"),
    ],
)
def test_says_what_is_wrong(arguments, message, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.onnx").mkdir()
    assert cli.main(["export", *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("mattekit export: ")
    assert message in err
    assert not (tmp_path / "mine.onnx").exists()

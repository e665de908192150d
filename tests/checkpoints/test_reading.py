import io
import pickle
import tarfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mattekit.checkpoints.reading import read_checkpoint

WEIGHTS = {"layer.weight": torch.arange(6.0).view(2, 3), "layer.bias": torch.zeros(2)}
ARRAYS = {name: tensor.numpy() for name, tensor in WEIGHTS.items()}


def archive(path, *names):
    with tarfile.open(path, "w:gz") as file:
        for name in names:
            data = pickle.dumps(ARRAYS, 4)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


WRITERS = {
    "safetensors": lambda path: save_file(WEIGHTS, path),
    "torch": lambda path: torch.save(WEIGHTS, path),
    "torch, before 1.6": lambda path: torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False),
    "torch, nested": lambda path: torch.save({"epoch": 3, "state_dict": WEIGHTS}, path),
    "paddle": lambda path: path.write_bytes(pickle.dumps(ARRAYS, 4)),
    "paddle, protocol 2": lambda path: path.write_bytes(pickle.dumps(ARRAYS, 2)),
    "paddle, nested": lambda path: path.write_bytes(pickle.dumps({"epoch": 3, "weights": ARRAYS}, 4)),
    "archive": lambda path: archive(path, "hrnet/model.pdparams", "hrnet/readme.txt"),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pdparams", ".tar.gz", ""])
def test_content_decides_not_the_suffix(tmp_path, kind, suffix):
    path = tmp_path / f"weights{suffix}"
    WRITERS[kind](path)
    torch.testing.assert_close(read_checkpoint(path).named().tensors, WEIGHTS)


@pytest.mark.parametrize("kind", WRITERS)
def test_truncated_files(tmp_path, kind):
    path = tmp_path / "weights"
    WRITERS[kind](path)
    data = path.read_bytes()
    for length in (0, 1, 9, 40, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        if kind == "archive" and length == len(data) - 1:
            continue  # gzip's last byte is part of a length that tar never reads
        with pytest.raises(RuntimeError, match="weights"):
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "weights is empty"),
        (b"\x89PNG\r\n\x1a\n", r"weights is no checkpoint: it is neither .* \(its first bytes are b'\\x89PNG"),
        (b"<html>Not found</html>", "weights is no checkpoint"),
        (pickle.dumps({"a": {"x": np.zeros(2)}, "b": {"y": np.zeros(2)}}, 4), "must hold one state dict .*, got 2"),
    ],
)
def test_foreign_files(tmp_path, content, message):
    path = tmp_path / "weights"
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=message):
        read_checkpoint(path)


def test_several_state_dicts_are_named(tmp_path):
    torch.save({"model": WEIGHTS, "ema": WEIGHTS, "epoch": 3}, tmp_path / "both.pth")
    with pytest.raises(RuntimeError, match=r"must hold one state dict .*, got 2: 'model', 'ema'; choose one with key$"):
        read_checkpoint(tmp_path / "both.pth")


def test_what_pth_may_not_hold_is_named(tmp_path):
    torch.save({"state_dict": WEIGHTS, "best": np.float64(0.5)}, tmp_path / "scalar.pth")
    with pytest.raises(RuntimeError) as error:
        read_checkpoint(tmp_path / "scalar.pth")
    assert "where only tensors and plain values are read" in str(error.value)
    assert "scalar" in str(error.value)
    assert "weights_only" not in str(error.value)


def test_archives_of_several_files(tmp_path):
    archive(tmp_path / "weights", "a.pdparams", "b.pdparams")
    with pytest.raises(RuntimeError, match=r"weights must hold one .pdparams file, got 2"):
        read_checkpoint(tmp_path / "weights")


class Evil:
    def __reduce__(self):
        return print, ("this must never run",)


def test_pth_runs_nothing(tmp_path, capsys):
    torch.save({"a": Evil()}, tmp_path / "weights")
    with pytest.raises(RuntimeError, match=r"weights cannot be read as .pth"):
        read_checkpoint(tmp_path / "weights")
    assert capsys.readouterr().out == ""

import hashlib
import json
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mattekit import checkpoints, cli
from mattekit.models import pp_matting


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    checkpoints.save(pp_matting("hrnet_w18_small_v1"), path)
    return path


def info(capsys, path):
    """What is said, by name; of a name that comes several times all values."""
    status = cli.main(["info", str(path)])
    out, err = capsys.readouterr()
    said = {}
    for line in out.splitlines():
        name, value = line.split(":", 1)
        said.setdefault(name, []).append(value.strip())
    return status, said, err


def test_what_a_file_of_ours_is(weights, capsys):
    status, said, _ = info(capsys, weights)
    assert status == 0
    assert said["file"] == [str(weights)]
    assert said["size"] == [f"{weights.stat().st_size:,} bytes"]
    assert said["sha256"] == [hashlib.sha256(weights.read_bytes()).hexdigest()]
    assert said["encoder"][0].startswith("HRNet (")
    assert "guidance 1/3/5" in said["detail"][0]
    assert said["fusion"] == ["ReplaceFusion"]
    count = sum(parameter.numel() for parameter in pp_matting("hrnet_w18_small_v1").parameters())
    assert said["parameters"] == [f"{count:,}"]
    assert said["preprocessing"] == ["mean 0.5/0.5/0.5, std 0.5/0.5/0.5, short side not limited"]
    assert said["training data"] == said["licence"] == ["not said"]


def test_what_comes_along_says_at_which_sizes_it_looks(capsys):
    sizes = pp_matting(weights="small").preprocessing
    status, said, _ = info(capsys, "small")
    assert status == 0
    assert said["preprocessing"][0].endswith(
        f"short side at most {sizes.max_short_side} pixels, for the context branch at most {sizes.context_short_side}, "
        "shrunk by means over pixels, the matte enlarged along the photo's edges"
    )


def test_what_a_file_says_of_its_origin(weights, tmp_path, capsys):
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    origin = {"training_data": json.dumps({"one": {"files": 3, "licence": "CC0"}, "two": "x"}), "licence": "MIT"}
    save_file(load_file(weights), tmp_path / "a.safetensors", metadata | origin)
    _, said, _ = info(capsys, tmp_path / "a.safetensors")
    assert said["training data"] == ["one: files 3, licence CC0", "two: x"]
    assert said["licence"] == ["MIT"]


def test_weights_of_another_network(tmp_path, capsys):
    torch.save({"a.weight": torch.zeros(3, 4), "a.bias": torch.zeros(3)}, tmp_path / "a.pth")
    status, said, _ = info(capsys, tmp_path / "a.pth")
    assert status == 0
    assert said["network"][0].startswith("no PP-Matting: ")
    assert said["tensors"] == ["2, of 15 numbers"]


def test_weights_whose_encoder_needs_what_is_not_there(weights, tmp_path, capsys, monkeypatch):
    """timm's encoders, said by the commands that build the network, in a line."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    description = json.loads(metadata["description"])
    description["arguments"]["encoder"] = {"class": "TimmEncoder", "arguments": {"name": "resnet34"}}
    path = tmp_path / "a.safetensors"
    save_file(load_file(weights), path, metadata | {"description": json.dumps(description)})
    (tmp_path / "photo.png").touch()
    for arguments in ["info", path], ["predict", tmp_path / "photo.png", "--weights", path, "--out", tmp_path / "out"]:
        assert cli.main([str(argument) for argument in arguments]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"mattekit {arguments[0]}: TimmEncoder needs timm and a torchvision")
        assert err.count("\n") == 1


def test_what_is_no_file_of_weights(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("hello")
    for path, message in (tmp_path / "a.txt", "is no checkpoint"), (tmp_path / "none", "is neither a file nor one of"):
        status, said, err = info(capsys, path)
        assert (status, said) == (2, {})
        assert err.startswith("mattekit info: ")
        assert message in err
        assert err.count("\n") == 1

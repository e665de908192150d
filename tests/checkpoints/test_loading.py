import json

import pytest
import torch
from safetensors import safe_open
from torch import nn

from mattekit import checkpoints
from mattekit.encoders import HRNet, hrnet_w18_small_v1
from mattekit.inference import prepare
from mattekit.models import pp_matting

OFFICIAL = {"padding": "symmetric", "upsampling": "nearest"}


def tiny(**options):
    return HRNet((4, 8, 12, 16), modules=(1, 1, 1, 1), blocks=(1, 1, 1, 1), stage1_width=4, **options)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "tiny.safetensors"
    source = tiny()
    checkpoints.save(source, path)
    return source, path


def test_load_restores_every_entry(saved):
    source, path = saved
    target = tiny()
    report = checkpoints.load(target, path)
    assert report.complete
    assert report.loaded == tuple(sorted(source.state_dict()))
    torch.testing.assert_close(target.state_dict(), source.state_dict())


def test_the_same_weights_make_the_same_bytes(saved, tmp_path):
    """So that two runs can be compared by their files, and a file found again by its hash."""
    source, path = saved
    for number in range(8):
        again = tmp_path / f"{number}.safetensors"
        checkpoints.save(source, again)
        assert again.read_bytes() == path.read_bytes()


def damaged(path, *, drop=(), add=(), reshape=()):
    tensors = tiny().state_dict()
    for name in drop:
        del tensors[name]
    for name in add:
        tensors[name] = torch.zeros(1)
    for name in reshape:
        tensors[name] = torch.zeros(7)
    torch.save(tensors, path)
    return path


def test_everything_wrong_is_listed_in_one_error(tmp_path):
    path = damaged(
        tmp_path / "bad.pth", drop=["conv1.weight", "bn1.bias"], add=["zebra", "aardvark"], reshape=["bn2.bias"]
    )
    model = tiny(**OFFICIAL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(RuntimeError) as error:
        checkpoints.load(model, path)
    assert str(error.value).splitlines() == [
        f"{path} (HRNet weights) does not fit HRNet",
        "missing from the file (2):",
        "  bn1.bias",
        "  conv1.weight",
        "unexpected in the file (2):",
        "  aardvark",
        "  zebra",
        "of another shape or sort (1):",
        "  bn2.bias: the model has (64,), the file (7,)",
    ]
    torch.testing.assert_close(model.state_dict(), before)


def test_not_strict_reports(tmp_path):
    path = damaged(tmp_path / "bad.pth", drop=["bn1.bias"], add=["zebra"], reshape=["bn2.bias"])
    model = tiny(**OFFICIAL)
    report = checkpoints.load(model, path, strict=False)
    assert report.kind == "HRNet"
    assert report.missing == ("bn1.bias",)
    assert report.unexpected == ("zebra",)
    assert report.mismatched == ("bn2.bias: the model has (64,), the file (7,)",)
    assert not report.complete
    assert set(report.loaded) == set(model.state_dict()) - {"bn1.bias", "bn2.bias"}


def test_not_strict_is_no_leave_to_load_nothing(tmp_path):
    torch.save({"a.weight": torch.rand(2)}, tmp_path / "foreign.pth")
    with pytest.raises(RuntimeError):
        checkpoints.load(tiny(**OFFICIAL), tmp_path / "foreign.pth", strict=False)
    wrapped = torch.nn.DataParallel(tiny(**OFFICIAL))
    checkpoints.save(wrapped, tmp_path / "mine.safetensors")
    report = checkpoints.load(wrapped, tmp_path / "mine.safetensors", strict=False)
    assert report.complete
    assert len(report.loaded) == len(wrapped.state_dict())


def test_classification_head_is_left_out_and_named(tmp_path):
    tensors = {
        **tiny().state_dict(),
        "classifier.bias": torch.zeros(3),
        "incre_modules.0.0.conv1.weight": torch.zeros(2),
    }
    torch.save({"state_dict": tensors}, tmp_path / "hrnet.pth")
    report = checkpoints.load(tiny(**OFFICIAL), tmp_path / "hrnet.pth")
    assert report.complete
    assert report.head == ("classifier.bias", "incre_modules.0.0.conv1.weight")


def test_files_without_batch_counters(tmp_path):
    tensors = {name: t for name, t in tiny().state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(tensors, tmp_path / "old.pth")
    assert checkpoints.load(tiny(**OFFICIAL), tmp_path / "old.pth").complete


def test_wrong_sort_of_number(tmp_path):
    tensors = {**tiny().state_dict(), "bn1.bias": torch.zeros(64, dtype=torch.int64)}
    torch.save(tensors, tmp_path / "ints.pth")
    with pytest.raises(RuntimeError, match=r"bn1.bias: the model has torch.float32, the file torch.int64"):
        checkpoints.load(tiny(**OFFICIAL), tmp_path / "ints.pth")


def test_says_where_an_encoder_belongs(tmp_path):
    checkpoints.save(hrnet_w18_small_v1(), tmp_path / "encoder.safetensors")
    checkpoints.save(pp_matting("hrnet_w18_small_v1"), tmp_path / "whole.safetensors")
    with pytest.raises(RuntimeError, match="it holds an encoder: load it into the network's `encoder`"):
        checkpoints.load(pp_matting("hrnet_w18_small_v1"), tmp_path / "encoder.safetensors")
    with pytest.raises(RuntimeError, match="it holds a whole PP-Matting, and the model is an encoder alone"):
        checkpoints.load(hrnet_w18_small_v1(), tmp_path / "whole.safetensors")


def test_other_settings_are_said(tmp_path):
    torch.save(tiny().state_dict(), tmp_path / "official.pth")
    trained = (
        "trained with padding='symmetric', upsampling='nearest', and the model has padding='same', upsampling='bil"
    )
    with pytest.warns(UserWarning, match=f"official.pth holds HRNet weights, {trained}"):
        checkpoints.load(tiny(), tmp_path / "official.pth")
    checkpoints.save(tiny(**OFFICIAL), tmp_path / "ours.safetensors")
    with pytest.warns(UserWarning, match=f"ours.safetensors holds mattekit weights, {trained}"):
        checkpoints.load(tiny(), tmp_path / "ours.safetensors")


def test_loads_into_other_devices_dtypes_and_formats(saved):
    source, path = saved
    target = tiny().double().to(memory_format=torch.channels_last)
    checkpoints.load(target, path)
    assert target.conv1.weight.dtype == torch.double
    assert target.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(target.conv2.weight, source.conv2.weight.double())


def test_save_takes_channels_last(tmp_path):
    model = tiny().to(memory_format=torch.channels_last)
    checkpoints.save(model, tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        torch.testing.assert_close(file.get_tensor("conv2.weight"), model.conv2.weight.detach())
        assert json.loads(file.metadata()["description"])["arguments"]["padding"] == "same"


def test_save_takes_networks_composed_by_hand(tmp_path):
    checkpoints.save(nn.Conv2d(3, 4, 1), tmp_path / "conv.safetensors")
    target = nn.Conv2d(3, 4, 1)
    assert checkpoints.load(target, tmp_path / "conv.safetensors").complete


def test_save_refuses_other_suffixes(tmp_path):
    with pytest.raises(ValueError, match=r"path must end in .safetensors, got '.*model.pth'"):
        checkpoints.save(tiny(), tmp_path / "model.pth")


def test_save_leaves_no_half_file(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"the file before")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(tiny(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
    assert path.read_bytes() == b"the file before"


def test_a_state_dict_cannot_be_saved(tmp_path):
    """It does not say which network it is of."""
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got OrderedDict"):
        checkpoints.save(tiny().state_dict(), tmp_path / "m.safetensors")


def test_a_prepared_copy_cannot_be_saved(tmp_path):
    prepared = prepare(pp_matting("hrnet_w18_small_v1").eval())
    with pytest.raises(TypeError, match="model must be a network, got a PreparedMatting: save the network"):
        checkpoints.save(prepared, tmp_path / "prepared.safetensors")
    assert not list(tmp_path.iterdir())

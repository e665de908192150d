import gzip
import io
import pickle
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mattekit.checkpoints.pickles import check_pickle
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
    with pytest.raises(
        RuntimeError,
        match=r"must hold one state dict .*, got 2: 'model', 'ema'; choose one with key, which checkpoints.load takes$",
    ):
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


def gzipped(path, blocks, block):
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(blocks):
            file.write(block)


def member(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def sparse(path):
    """A member of 16 GB without any data, in GNU's form for files with holes."""
    info = tarfile.TarInfo("a.pdparams")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:398] = header[398:410] = b"00000000000\0"  # a piece of length 0
    header[483:495] = tarfile.itn(16 << 30, 12, tarfile.GNU_FORMAT)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(bytes(header) + bytes(10_000))


def compressed_zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", bytes(1 << 20))


# a tuple of tuples as a key, whose hash takes 2^60 steps
KEY = b"\x80\x02}" + b")" + b"q\x07h\x07\x86" * 60 + b"Ns."


# 64 MB of zeros
ZEROS = b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x04\x85R."
# a text of 100 kB and the codec in the memo, and 1,000 calls of one with the other
CALLS = (
    b"\x80\x02c_codecs\nencode\nq\x01X\xa0\x86\x01\x00" + b"x" * 100_000 + b"q\x02X\x06\x00\x00\x00latin1q\x03",
    b"h\x01h\x02h\x03\x86R",
)
COPIES = CALLS[0] + b"](" + CALLS[1] * 1000 + b"e."


def zip_of(path, data):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/version", "3\n")
        file.writestr("archive/byteorder", "little")


def legacy(path, data):
    torch.save({}, path, _use_new_zipfile_serialization=False)
    head = path.read_bytes().partition(b"}q\x00.")[0][:-2]  # up to the content's protocol
    path.write_bytes(head + data)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_tuple_has_its_largest_size(protocol):
    check_pickle(io.BytesIO(pickle.dumps(("x",) * 99_999, protocol)))
    with pytest.raises(pickle.UnpicklingError, match="it holds tuples of tuples without end"):
        check_pickle(io.BytesIO(pickle.dumps(("x",) * 100_000, protocol)))


BOMBS = {
    "a key without end": (lambda path: zip_of(path, KEY), "cannot be read as .pth: it holds tuples of tuples without"),
    "the same, before 1.6": (
        lambda path: legacy(path, KEY),
        "cannot be read as .pth: it holds tuples of tuples without",
    ),
    "the same, doubled": (
        lambda path: zip_of(path, KEY.replace(b"q\x07h\x07", b"2")),
        "cannot be read as .pth: it holds tuples of tuples without",
    ),
    "bytes by their number": (lambda path: zip_of(path, ZEROS), "cannot be read as .pth: it names bytearray, which no"),
    "the same, before torch 1.6": (lambda path: legacy(path, ZEROS), "it names bytearray, which no network is made of"),
    "a text encoded a thousand times": (lambda path: zip_of(path, COPIES), "it encodes one text again and again"),
    "a sparse member": (sparse, "it claims to hold 17179869184 bytes that are not in it"),
    "a member longer than the file": (
        lambda path: path.write_bytes(member("a.pdparams", 8 << 30) + bytes(1024)),
        "it claims to hold 8589934592 bytes that are not in it",
    ),
    "zeros in the member": (
        lambda path: gzipped(path, 40, member("x", 1 << 40) + bytes(1 << 20)),
        "it inflates to more than [0-9]+ bytes",
    ),
    "many members": (lambda path: gzipped(path, 2000, member("x", 0)), "it has more than 1000 members"),
    "damaged xz": (lambda path: path.write_bytes(b"\xfd7zXZ\x00" + bytes(100)), "is no checkpoint"),
    "damaged gzip": (lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(100)), "cannot be read as an archive"),
    "a zip that inflates": (compressed_zip, "cannot be read as .pth: it claims to hold 1048576 bytes, and has"),
    "a damaged zip": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "cannot be read as .pth"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_inflates_is_refused(tmp_path, monkeypatch, name):
    """The bound is smaller here than in earnest, so that the test is quick."""
    monkeypatch.setattr("mattekit.checkpoints.reading._ROOM", 1 << 20)
    write, message = BOMBS[name]
    write(tmp_path / "weights")
    tracemalloc.start()
    try:
        with pytest.raises(RuntimeError, match=f"weights .*{message}"):
            read_checkpoint(tmp_path / "weights")
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_numbers_of_the_other_order(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(pickle.dumps({name: array.astype(">f4") for name, array in ARRAYS.items()}, 4))
    torch.testing.assert_close(read_checkpoint(path).tensors, WEIGHTS)


@pytest.mark.parametrize("dtype", ["u2", "u4", "u8", "f2", "c8", "c16", "b1"])
def test_every_number_becomes_a_tensor(tmp_path, dtype):
    path = tmp_path / "weights"
    path.write_bytes(pickle.dumps({"a": np.ones(3, dtype), "b": np.ones(())[()] * np.ones(1)}, 4))
    assert read_checkpoint(path).tensors["a"].numpy().dtype == dtype


def test_one_dict_under_many_names(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(pickle.dumps(dict.fromkeys(map(str, range(2000)), ARRAYS), 4))
    with pytest.raises(RuntimeError, match=r"got 2000: '0', '1', .*, '19', and 1980 more; choose one with key"):
        read_checkpoint(path)
    assert read_checkpoint(path, key="1999").tensors.keys() == ARRAYS.keys()


@pytest.mark.parametrize(
    "content", [{1: torch.zeros(2)}, {(1, 2): WEIGHTS, "a": 3}, {"a": {3: torch.zeros(2)}}, [WEIGHTS]]
)
def test_names_that_are_no_texts(tmp_path, content):
    torch.save(content, tmp_path / "weights")
    if (1, 2) in content:
        assert read_checkpoint(tmp_path / "weights").tensors.keys() == WEIGHTS.keys()
        return
    with pytest.raises(RuntimeError, match="weights must hold one state dict"):
        read_checkpoint(tmp_path / "weights")


def test_a_key_that_is_not_there_names_those_that_are(tmp_path):
    torch.save({"model": WEIGHTS, "ema": {"layer.bias": torch.ones(2)}}, tmp_path / "both.pth")
    assert read_checkpoint(tmp_path / "both.pth", key="ema").tensors["layer.bias"].tolist() == [1, 1]
    with pytest.raises(RuntimeError, match=r"both.pth holds no state dict 'EMA'; it holds 'model', 'ema'"):
        read_checkpoint(tmp_path / "both.pth", key="EMA")


def test_messages_are_bounded_and_show_no_escape_codes(tmp_path):
    names = {f"\x1b[31m{i}" + "x" * 10_000: WEIGHTS for i in range(50)}
    torch.save(names, tmp_path / "many.pth")
    with pytest.raises(RuntimeError) as error:
        read_checkpoint(tmp_path / "many.pth")
    assert len(str(error.value)) < 20 * 210 + 500
    assert str(error.value).isprintable()


class Evil:
    def __reduce__(self):
        return print, ("this must never run",)


def test_pth_runs_nothing(tmp_path, capsys):
    torch.save({"a": Evil()}, tmp_path / "weights")
    with pytest.raises(RuntimeError, match=r"weights cannot be read as .pth"):
        read_checkpoint(tmp_path / "weights")
    assert capsys.readouterr().out == ""


def test_bytes_that_are_encoded_once_are_read(tmp_path):
    """As protocol 2 writes bytes beside a state dict, such as the state of a generator."""
    torch.save({"state_dict": dict(WEIGHTS), "seed": b"\xff" * 5000, "again": b"\x00"}, tmp_path / "a.pth")
    torch.testing.assert_close(read_checkpoint(tmp_path / "a.pth").tensors, WEIGHTS)

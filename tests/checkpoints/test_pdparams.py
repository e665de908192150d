import collections
import contextlib
import os
import pickle
import pickletools

import numpy as np
import pytest

from mattekit.checkpoints import read_pdparams
from oracles.seeded import PADDLESEG

EXPECTED = dict(np.load(PADDLESEG / "mini_state_dict.npz"))


def written(tmp_path, content, protocol=4):
    path = tmp_path / "file.pdparams"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol))
    return path


def assert_same(actual, expected):
    assert list(actual) == list(expected)
    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name])
        assert actual[name].dtype == expected[name].dtype


@pytest.mark.parametrize("name", ["mini_state_dict.pdparams", "mini_state_dict_p2.pdparams"])
def test_files_as_paddle_writes_them(name):
    assert_same(read_pdparams(PADDLESEG / name), EXPECTED)


def test_nested_file():
    content = read_pdparams(PADDLESEG / "mini_nested.pdparams")
    assert content["epoch"] == 3
    assert_same(content["weights"], EXPECTED)


@pytest.mark.parametrize("name", ["mini_state_dict.pdparams", "mini_state_dict_p2.pdparams", "mini_nested.pdparams"])
def test_names_of_numpy_1(tmp_path, name):
    data = (PADDLESEG / name).read_bytes()
    if name.endswith("_p2.pdparams"):
        data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    else:  # a frame and a short string carry their lengths
        data = data.replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
        data = data[:3] + (len(data) - 11).to_bytes(8, "little") + data[11:]
    content = read_pdparams(written(tmp_path, data))
    assert_same(content.get("weights", content), EXPECTED)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "uint8", "bool", ">f4"])
def test_every_protocol_and_number(tmp_path, protocol, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    content = {
        "c": array,
        "fortran": np.asfortranarray(array),
        "scalar": array[0, 0, 1:2].reshape(()),
    }
    assert_same(read_pdparams(written(tmp_path, content, protocol)), content)


def test_arrays_can_be_written_to(tmp_path):
    array = read_pdparams(written(tmp_path, {"a": np.zeros(3)}))["a"]
    array += 1
    assert array.tolist() == [1, 1, 1]


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/mattekit_was_here",)


class EvilBuild:
    def __reduce__(self):
        return eval, ("__import__('os').getpid()",)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"a": np.zeros(3), "b": Evil()}, f"{os.system.__module__}.system"),
        ({"a": EvilBuild()}, "builtin.*eval"),
        (collections.OrderedDict(a=np.zeros(3)), "collections.OrderedDict"),
        ({"a": np.float32(3)}, "multiarray.scalar"),
        ({"a": np.zeros(3).view(np.recarray)}, "numpy.*recarray"),
        ({"a": np.ma.zeros(3)}, "numpy.ma.core._mareconstruct"),
        (b"\x80\x02cnumpy.core.multiarray\nfrombuffer\n.", "numpy.core.multiarray.frombuffer"),
        (b"\x80\x02cnumpy\nload\n.", "numpy.load"),
        (b"\x80\x04\x8c\x08builtins\x8c\x0dtuple.__new__\x93.", "tuple.__new__"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_refuses_every_other_name(tmp_path, content, name, protocol):
    with pytest.raises(RuntimeError, match=f"it names .*{name}, which no .pdparams file holds; refused"):
        read_pdparams(written(tmp_path, content, protocol))


def test_refuses_arrays_of_objects(tmp_path):
    with pytest.raises(RuntimeError, match=r"file.pdparams cannot be read as .pdparams: an array has dtype 'O8'"):
        read_pdparams(written(tmp_path, {"a": np.array([None, {}])}))


def test_refuses_other_codecs(tmp_path):
    code = b"\x80\x02c_codecs\nencode\nX\x03\x00\x00\x00abcX\x05\x00\x00\x00rot13\x86R."
    with pytest.raises(RuntimeError, match="bytes must be encoded as latin1, got 'rot13'"):
        read_pdparams(written(tmp_path, code))


def test_refuses_a_call_of_ndarray(tmp_path):
    code = b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R."
    with pytest.raises(RuntimeError, match=r"numpy.ndarray is called, which Paddle's files never do"):
        read_pdparams(written(tmp_path, code))


def test_every_truncation_is_an_error(tmp_path):
    data = (PADDLESEG / "mini_nested.pdparams").read_bytes()
    for length in range(0, len(data), 7):
        with pytest.raises(RuntimeError, match=r"file.pdparams (is|cannot|holds)"):
            read_pdparams(written(tmp_path, data[:length]))


def test_truncation_is_named(tmp_path):
    data = (PADDLESEG / "mini_state_dict.pdparams").read_bytes()
    with pytest.raises(RuntimeError, match=r"file.pdparams is truncated"):
        read_pdparams(written(tmp_path, data[:500]))


def test_every_damaged_byte_is_an_error_or_data(tmp_path):
    """Whatever one byte becomes, the answer is arrays or a RuntimeError: never another error, never a call."""
    data = bytearray((PADDLESEG / "mini_nested.pdparams").read_bytes())
    positions = [position for _, _, position in pickletools.genops(bytes(data))]
    rng = np.random.default_rng(0)
    for position in positions:
        damaged = bytearray(data)
        damaged[position] = rng.integers(256)
        with contextlib.suppress(RuntimeError):
            read_pdparams(written(tmp_path, bytes(damaged)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "file.pdparams is empty"),
        (b"\x89PNG\r\n\x1a\n", "it does not begin as a pickle of protocol 2 to 4"),
        (b"PK\x03\x04", "it does not begin as a pickle of protocol 2 to 4"),
        (pickle.dumps([1, 2], 4), "it holds a list, not a dict"),
        (pickle.dumps({"epoch": 3}, 4), "file.pdparams holds no arrays"),
        (pickle.dumps({"a": 1}, 5), "it does not begin as a pickle of protocol 2 to 4"),
    ],
)
def test_foreign_files(tmp_path, content, message):
    with pytest.raises(RuntimeError, match=message):
        read_pdparams(written(tmp_path, content))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_pdparams(tmp_path / "none.pdparams")

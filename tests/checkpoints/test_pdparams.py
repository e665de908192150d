import collections
import contextlib
import os
import pickle
import pickletools
import tracemalloc

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
    with pytest.raises(
        RuntimeError,
        match=r"file.pdparams cannot be read as .pdparams: an array has dtype 'O8', no number that torch has",
    ):
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


def pickled(*instructions):
    return b"\x80\x02" + b"".join(instructions)


ARRAY = pickle.dumps(np.arange(4.0), 2)[2:-1]  # leaves one array on the stack


def nested(kind):
    """60 times one in the other, twice each: 2^60 entries when written out."""
    value = kind(())
    for _ in range(60):
        value = kind({"x": value, "y": value}.items() if kind is dict else (value, value))
    return pickle.dumps({"a": value, "b": np.zeros(3)}, 4)


def holding_itself():
    value = []
    value.append(value)
    return pickle.dumps({"a": value, "b": np.zeros(3)}, 4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (nested(list), "is nested too deeply"),
        (nested(dict), "is nested too deeply"),
        (nested(tuple), "is nested too deeply"),
        (holding_itself(), "it is nested too deeply, or holds itself"),
        (pickled(b"}X\x01\x00\x00\x00a", b"]" * 10_000, b"a" * 9_999, b"s."), "is nested too deeply"),
        # a tuple of tuples as a key: its hash alone takes 2^60 steps
        (pickled(b"}", b")", b"q\x07h\x07\x86" * 60, b"Ns."), "a key must be a text, got tuple"),
        (pickled(b"}K\x05", ARRAY, b"s."), "a key must be a text, got 5"),
        (pickled(b"}N", ARRAY, b"s."), "a key must be a text, got NoneType"),
        (pickled(b"N" * 30_000), "it has more instructions than any .pdparams file"),
        (pickled(b"}(X\x01\x00\x00\x00au."), "cannot be read"),
        (pickled(b"X\xff\xff\xff\xffabc"), "is truncated"),
        (pickled(b"c" + b"a" * 1000), "it has a name without end"),
        (pickled(b"c" + b"\x1b[31m" * 20 + b"\nname\n."), r"it names \\x1b\[31m"),
        (pickled(b"h\x07."), "it refers to a value that is not there"),
        (pickled(b"a."), "it takes a value where there is none"),
        (pickled(b"t."), "it ends a series that never began"),
        (pickled(b"NNR."), "it calls what cannot be called"),
        (pickled(b"N)b."), "it changes a value that is of another sort"),
        (pickled(b"}\x81."), r"it has the instruction b'\\x81', which no .pdparams file holds; refused"),
    ],
)
def test_what_would_take_for_ever_or_all_memory_is_refused(tmp_path, monkeypatch, data, message):
    monkeypatch.setattr("mattekit.checkpoints.pickles._MOST_INSTRUCTIONS", 25_000)  # so that the test is quick
    with pytest.raises(RuntimeError, match=f"file.pdparams .*{message}") as error:
        read_pdparams(written(tmp_path, data))
    assert len(str(error.value)) < 500
    assert str(error.value).isprintable()


def test_the_number_of_a_memory_costs_nothing(tmp_path):
    """Python's own machine makes room for all numbers below: 11 bytes, 4.2 GB."""
    data = pickled(b"}r\x00\x00\x00\x10X\x01\x00\x00\x00a", ARRAY, b"s.")
    tracemalloc.start()
    try:
        assert read_pdparams(written(tmp_path, data))["a"].tolist() == [0, 1, 2, 3]
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_array_referred_to_often_is_read_once(tmp_path):
    array = np.arange(6.0)
    content = read_pdparams(written(tmp_path, {**{f"{i}": array for i in range(1000)}, "nested": {"list": [array]}}))
    assert len({id(content[f"{i}"]) for i in range(1000)} | {id(content["nested"]["list"][0])}) == 1


@pytest.mark.parametrize("protocol", [2, 4])
def test_bytes_that_arrays_share_are_not_multiplied(tmp_path, protocol):
    """Each array its own, all of the same bytes: one such file of 1 MB would fill 1,000."""
    data = pickle.dumps({f"{i}": np.zeros(1000) for i in range(2)}, protocol)
    assert len(read_pdparams(written(tmp_path, data))) == 2
    zeros = b"\x00" * 8000

    class Shared:
        def __reduce__(self):
            function, arguments, state = np.zeros(1000).__reduce__()
            return function, arguments, (*state[:4], zeros)

    data = pickle.dumps({f"{i}": Shared() for i in range(200)}, protocol)
    with pytest.raises(RuntimeError, match="its arrays are larger than the file"):
        read_pdparams(written(tmp_path, data))


class Shaped:
    """An array with another state than its own."""

    def __init__(self, shape=(2,), dtype=None, data=bytes(8)):
        self.state = (1, shape, dtype or np.dtype("f4"), False, data)

    def __reduce__(self):
        return *np.zeros(1).__reduce__()[:2], self.state


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (Shaped((1 << 40, 1 << 40)), "an array of shape .* does not have as many bytes as it needs"),
        (Shaped((0, 1 << 400)), "an array of shape .* does not have as many bytes"),
        (Shaped((-1,)), r"an array has the shape \(-1,\)"),
        (Shaped((True, 2)), r"an array has the shape \(True, 2\)"),
        (Shaped((1,) * 33), "an array has the shape"),
        (Shaped([2]), r"an array has the shape \[2\]"),
        (Shaped(data="text"), "does not have as many bytes as it needs"),
        (Shaped(dtype="f4"), "an array has dtype 'f4', no number that torch has"),
        (np.zeros(2, np.longdouble), "an array has dtype 'f16', no number that torch has"),
        (np.zeros(2, "U5"), "an array has dtype 'U5', no number that torch has"),
        (np.zeros(2, "M8[s]"), "an array has dtype 'M8', no number that torch has"),
    ],
)
def test_arrays_that_are_none(tmp_path, array, message):
    with pytest.raises(RuntimeError, match=message):
        read_pdparams(written(tmp_path, {"a": array}))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_pdparams(tmp_path / "none.pdparams")

"""Paddle's .pdparams files, read without Paddle and without trust."""

import io
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# what Paddle keeps beside the tensors of a state dict: structured name -> parameter name
_BOOKKEEPING = "StructuredToParameterName@@"


def read_pdparams(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a .pdparams file into NumPy arrays.

    The file is a pickle. Of what a pickle can name, only what Paddle writes is admitted: NumPy arrays and dtypes of
    numbers (under the names of NumPy 1 and 2), byte strings encoded for protocol 2, and tuples. Each is a stand-in
    that holds data and runs nothing; any other name is refused before it is looked up.

    Args:
        path: The file.

    Returns:
        What ``paddle.load(path, return_numpy=True)`` returns: a dict of name to array, or a nested dict with arrays in
        the place of its tensors. Paddle's table of parameter names is left out.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is empty, truncated, no pickle, names anything else, or is no dict of arrays. The
            message says which.

    Source:
        ``paddle.save`` as PaddleSeg uses it, pickle protocols 2 to 4.

    Example:
        >>> import pickle, tempfile
        >>> import numpy as np
        >>> from mattekit.checkpoints import read_pdparams
        >>> with tempfile.NamedTemporaryFile(suffix=".pdparams") as file:
        ...     _ = file.write(pickle.dumps({"conv.weight": np.ones((2, 3), "float32")}, protocol=4))
        ...     _ = file.seek(0)
        ...     read_pdparams(file.name)["conv.weight"].shape
        (2, 3)
    """
    return parse_pdparams(Path(path).read_bytes(), str(path))


def parse_pdparams(data: bytes, name: str) -> dict[str, Any]:
    """Parse the bytes of a .pdparams file; ``name`` stands in the errors."""
    if not data:
        raise RuntimeError(f"{name} is empty")
    if data[0] != 0x80 or len(data) < 2 or data[1] not in (2, 3, 4):
        raise RuntimeError(f"{name} is no .pdparams file: it does not begin as a pickle of protocol 2 to 4")
    try:
        content = _Unpickler(io.BytesIO(data)).load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"it holds a {type(content).__name__}, not a dict")
        content = _to_numpy(content)
    except EOFError as error:
        raise RuntimeError(f"{name} is truncated: {error}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        reason = "is truncated" if "truncated" in str(error) else "cannot be read as .pdparams"
        raise RuntimeError(f"{name} {reason}: {error}") from error
    if not _has_array(content):
        raise RuntimeError(f"{name} holds no arrays")
    return content


@dataclass
class _Dtype:
    """Stand-in for numpy.dtype: collects what is needed and calls nothing."""

    code: str
    order: str = "<"

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def to_numpy(self) -> np.dtype:
        dtype = np.dtype(self.code)
        if dtype.kind not in "biufc":
            raise pickle.UnpicklingError(f"an array has dtype {self.code!r}, which is no number")
        return dtype.newbyteorder(">") if self.order == ">" else dtype


class _Array:
    """Stand-in for numpy.ndarray: collects shape, dtype and bytes, and calls nothing."""

    state: tuple | None = None

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def to_numpy(self) -> np.ndarray:
        if self.state is None:
            raise pickle.UnpicklingError("an array has no content")
        _, shape, dtype, fortran, data = self.state
        flat = np.frombuffer(data, dtype.to_numpy())
        return flat.reshape(shape, order="F" if fortran else "C").copy()


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _dtype(code: str, *_: object) -> _Dtype:
    return _Dtype(str(code))


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes must be encoded as latin1, got {encoding!r}")
    return text.encode("latin1")


def _tuple(items: tuple = ()) -> tuple:
    return tuple(items)


def _ndarray(*_: object) -> None:
    raise pickle.UnpicklingError("numpy.ndarray is called, which Paddle's files never do")


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("builtins", "tuple"): _tuple,
    ("__builtin__", "tuple"): _tuple,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no .pdparams file holds; refused")
        return _ADMITTED[module, name]


def _to_numpy(value: Any) -> Any:
    """Turn stand-ins into arrays, and (parameter name, array) into the array."""
    match value:
        case _Array():
            return value.to_numpy()
        case dict():
            return {key: _to_numpy(item) for key, item in value.items() if key != _BOOKKEEPING}
        case (str(), _Array() as array):
            return array.to_numpy()
        case list() | tuple():
            return type(value)(_to_numpy(item) for item in value)
        case None | bool() | int() | float() | str() | bytes():
            return value
    raise pickle.UnpicklingError(f"it holds a bare {type(value).__name__}")


def _has_array(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_array(item) for item in value.values())
    return isinstance(value, np.ndarray)

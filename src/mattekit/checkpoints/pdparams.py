"""Paddle's .pdparams files, read without Paddle and without trust."""

import math
import os
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from mattekit.checkpoints.pickles import Array, Dtype, Machine
from mattekit.checkpoints.wording import plain, shown
from mattekit.photos.decoding import open_regular

# what Paddle keeps beside the tensors of a state dict: structured name -> parameter name
_BOOKKEEPING = "StructuredToParameterName@@"
_NUMBERS = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"))
_MOST_DEPTH = 16


def read_pdparams(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a .pdparams file into NumPy arrays.

    The file is a pickle. Of what a pickle can do and name, only what Paddle writes is admitted: plain values, NumPy
    arrays and dtypes of numbers (under the names of NumPy 1 and 2), byte strings encoded for protocol 2, and tuples.
    Nothing is looked up or called, and nothing takes more memory than a few times the file: what the file refers to
    several times is read once.

    Args:
        path: The file.

    Returns:
        What ``paddle.load(path, return_numpy=True)`` returns, a dict of name to array, or a nested dict with arrays in
        the place of its tensors. Paddle's table of parameter names is left out.

    Raises:
        OSError: If there is no such file, or it is no regular one, such as a named pipe.
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
    with open_regular(path) as file:
        return parse_pdparams(file.read(), str(path))


def parse_pdparams(data: bytes, name: str, made: Callable[[np.ndarray], Any] = lambda array: array) -> dict[str, Any]:
    """Parse the bytes of a .pdparams file. ``name`` stands in the errors; ``made`` turns arrays into what is kept."""
    if not data:
        raise RuntimeError(f"{name} is empty")
    if data[0] != 0x80 or len(data) < 2 or data[1] not in (2, 3, 4):
        raise RuntimeError(f"{name} is no .pdparams file: it does not begin as a pickle of protocol 2 to 4")
    try:
        content = Machine(data).run()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"it holds a {type(content).__name__}, not a dict")
        conversion = _Conversion(len(data), made)
        content = conversion.of(content)
    except EOFError as error:
        raise RuntimeError(f"{name} is truncated") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise RuntimeError(f"{name} cannot be read as .pdparams: {plain(error)}") from error
    if not conversion.arrays:
        raise RuntimeError(f"{name} holds no arrays")
    return content


class _Conversion:
    """From stand-ins to arrays. What is met again is not made again, so that the work is that of the file's length."""

    def __init__(self, room: int, made: Callable[[np.ndarray], Any]) -> None:
        self.arrays = 0
        self._room, self._made = room, made
        self._known: dict[int, Any] = {}  # by identity: a pickle can refer to one thing in many places

    def of(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, memoryview):
            return bytes(value)
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return value
        if id(value) not in self._known:
            if depth > _MOST_DEPTH:
                raise pickle.UnpicklingError("it is nested too deeply, or holds itself")
            self._known[id(value)] = self._convert(value, depth + 1)
        return self._known[id(value)]

    def _convert(self, value: Any, depth: int) -> Any:
        match value:
            case Array():
                return self._array(value)
            case dict():
                return {key: self.of(item, depth) for key, item in value.items() if key != _BOOKKEEPING}
            case (str(), Array() as array):  # a parameter's name and the array
                return self.of(array, depth)
            case list() | tuple():
                return type(value)(self.of(item, depth) for item in value)
        raise pickle.UnpicklingError(f"it holds a bare {type(value).__name__}")

    def _array(self, value: Array) -> Any:
        if value.state is None:
            raise pickle.UnpicklingError("an array has no content")
        _, shape, dtype, fortran, data = value.state
        dtype = _to_numpy(dtype)
        if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
            raise pickle.UnpicklingError(f"an array has the shape {shown(shape)}")
        if not isinstance(data, bytes | memoryview) or len(data) != math.prod(shape) * dtype.itemsize:
            raise pickle.UnpicklingError(f"an array of shape {shown(shape)} does not have as many bytes as it needs")
        self._room -= len(data)
        if self._room < 0:
            raise pickle.UnpicklingError("its arrays are larger than the file")
        self.arrays += 1
        return self._made(np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy())


def _to_numpy(dtype: Any) -> np.dtype:
    if not isinstance(dtype, Dtype) or dtype.code not in _NUMBERS:
        raise pickle.UnpicklingError(
            f"an array has dtype {shown(getattr(dtype, 'code', dtype))}, no number that torch has"
        )
    return np.dtype(dtype.code).newbyteorder(">" if dtype.order == ">" else "<")

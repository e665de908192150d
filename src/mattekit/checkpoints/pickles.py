"""A machine for the few instructions of pickles that Paddle's files are made of: it looks nothing up, calls nothing."""

import pickletools
import struct
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, BinaryIO

from mattekit.checkpoints.wording import plain, shown

_MOST_INSTRUCTIONS = 4_000_000  # PaddleSeg's largest file has 100,000
_LONGEST_NAME = 200
_LARGEST_TUPLE = 100_000  # torch's say sizes and strides
_MOST_ENCODED = 1 << 26  # letters; the pickle itself may have as many


class Dtype:
    """Stands in for a numpy.dtype."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "<"

    def build(self, state: Any) -> None:
        """Take the byte order from what numpy keeps."""
        if not isinstance(state, tuple) or len(state) < 2:
            raise UnpicklingError("a dtype has another state than NumPy writes")
        self.order = state[1]


class Array:
    """Stands in for a numpy.ndarray."""

    state: tuple | None = None

    def build(self, state: Any) -> None:
        """Keep version, shape, dtype, order and bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise UnpicklingError("an array has another state than NumPy writes")
        self.state = state


class _Name:
    """Stands in for what a pickle names."""

    def __init__(self, call: "Callable[[Machine, tuple], Any]") -> None:
        self.call = call


class Machine:
    """Runs a pickle of protocol 2 to 4.

    Every instruction costs what its own bytes cost, whatever it refers to, and no value has more entries than the
    pickle has bytes. Bytes are views of the pickle.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = memoryview(data), 2  # behind the protocol
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under each mark
        self._memo: dict[int, Any] = {}
        self._encoded: dict[int, tuple[str, bytes]] = {}  # by identity of the text, which is kept, so that it stays its

    def run(self) -> Any:
        """Return the value that the pickle makes.

        Raises:
            EOFError: If the pickle ends too early.
            UnpicklingError: If it has other instructions or names than Paddle's.
        """
        for _ in range(_MOST_INSTRUCTIONS):
            code = self.take(1)[0]
            if code == _STOP:
                return self.pop()
            if code not in _INSTRUCTIONS:
                raise UnpicklingError(
                    f"it has the instruction {bytes([code])!r}, which no .pdparams file holds; refused"
                )
            _INSTRUCTIONS[code](self)
        raise UnpicklingError("it has more instructions than any .pdparams file")

    def take(self, count: int) -> memoryview:
        """The next bytes."""
        if count > len(self._data) - self._at:
            raise EOFError
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, layout: str) -> Any:
        """The next number, as `struct` has it."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        """The text up to the end of the line."""
        ahead = bytes(self._data[self._at : self._at + _LONGEST_NAME])
        text, end, _ = ahead.partition(b"\n")
        if not end:
            raise EOFError if len(ahead) < _LONGEST_NAME else UnpicklingError("it has a name without end")
        self._at += len(text) + 1
        return text.decode()

    def push(self, value: Any) -> None:
        """Put a value onto the stack."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Take a value off the stack."""
        if not self._stack:
            raise UnpicklingError("it takes a value where there is none")
        return self._stack.pop()

    def mark(self) -> None:
        """Begin a series of values."""
        self._below.append(self._stack)
        self._stack = []

    def series(self) -> list[Any]:
        """Take all values since the last mark."""
        if not self._below:
            raise UnpicklingError("it ends a series that never began")
        series, self._stack = self._stack, self._below.pop()
        return series

    def last(self, kind: Any) -> Any:
        """The uppermost value, which stays, and must be of a kind."""
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise UnpicklingError("it changes a value that is of another sort, or not there")
        return self._stack[-1]

    def remember(self, index: int) -> None:
        """Let the uppermost value be referred to by a number."""
        self._memo[index] = self.last(object)

    def remember_next(self) -> None:
        """Let the uppermost value be referred to by the next number."""
        self.remember(len(self._memo))

    def refer(self, index: int) -> None:
        """Push what was remembered under a number."""
        if index not in self._memo:
            raise UnpicklingError("it refers to a value that is not there")
        self.push(self._memo[index])

    def extend(self, items: list[Any]) -> None:
        """Append to the uppermost list."""
        self.last(list).extend(items)

    def update(self, items: list[Any]) -> None:
        """Put keys and values, in turn, into the uppermost dict."""
        keys, values = items[::2], items[1::2]
        if foreign := [key for key in keys if type(key) is not str]:
            kind = type(foreign[0]).__name__
            raise UnpicklingError(
                f"a key must be a text, got {shown(foreign[0]) if kind in ('int', 'float') else kind}"
            )
        self.last(dict).update(zip(keys, values, strict=True))

    def name(self, module: Any, name: Any) -> None:
        """Push what stands in for a name."""
        if not (isinstance(module, str) and isinstance(name, str) and (module, name) in _NAMES):
            raise UnpicklingError(f"it names {plain(f'{module}.{name}')}, which no .pdparams file holds; refused")
        self.push(_NAMES[module, name])

    def name_on_stack(self) -> None:
        """Push what stands in for a name whose parts lie on the stack."""
        name, module = self.pop(), self.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise UnpicklingError("it has a name that is no text")
        self.name(module, name)

    def call(self) -> None:
        """Push what stands in for the value of a call."""
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise UnpicklingError("it calls what cannot be called")
        self.push(name.call(self, arguments))

    def build(self) -> None:
        """Hand a state to the array or dtype below it."""
        state = self.pop()
        self.last((Array, Dtype)).build(state)

    def encode(self, arguments: tuple) -> bytes:
        """The bytes that protocol 2 writes as text; of one text they are made once."""
        match arguments:
            case (str() as text, "latin1"):
                if id(text) not in self._encoded:
                    self._encoded[id(text)] = text, text.encode("latin1")
                return self._encoded[id(text)][1]
            case (str(), encoding):
                raise UnpicklingError(f"bytes must be encoded as latin1, got {shown(encoding)}")
        raise UnpicklingError("bytes must be encoded from a text")


def _text(machine: Machine, layout: str) -> None:
    machine.push(str(machine.take(machine.number(layout)), "utf-8", "surrogatepass"))


def _bytes(machine: Machine, layout: str) -> None:
    machine.push(machine.take(machine.number(layout)))


def _tuple(machine: Machine, count: int) -> None:
    machine.push(tuple(reversed([machine.pop() for _ in range(count)])))


def _one(machine: Machine, put: Callable[[list[Any]], None]) -> None:
    put([machine.pop()])


def _pair(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.update([key, value])


_STOP = ord(".")
_INSTRUCTIONS: dict[int, Callable[[Machine], None]] = {
    code[0]: act
    for code, act in {
        b"\x95": lambda m: m.number("<Q"),  # a frame, which only helps to read ahead
        b"(": Machine.mark,
        b"N": lambda m: m.push(None),
        b"\x88": lambda m: m.push(True),
        b"\x89": lambda m: m.push(False),
        b"J": lambda m: m.push(m.number("<i")),
        b"K": lambda m: m.push(m.number("<B")),
        b"M": lambda m: m.push(m.number("<H")),
        b"\x8a": lambda m: m.push(int.from_bytes(m.take(m.number("<B")), "little", signed=True)),
        b"G": lambda m: m.push(m.number(">d")),
        b"\x8c": lambda m: _text(m, "<B"),
        b"X": lambda m: _text(m, "<I"),
        b"\x8d": lambda m: _text(m, "<Q"),
        b"C": lambda m: _bytes(m, "<B"),
        b"B": lambda m: _bytes(m, "<I"),
        b"\x8e": lambda m: _bytes(m, "<Q"),
        b")": lambda m: m.push(()),
        b"\x85": lambda m: _tuple(m, 1),
        b"\x86": lambda m: _tuple(m, 2),
        b"\x87": lambda m: _tuple(m, 3),
        b"t": lambda m: m.push(tuple(m.series())),
        b"]": lambda m: m.push([]),
        b"a": lambda m: _one(m, m.extend),
        b"e": lambda m: m.extend(m.series()),
        b"}": lambda m: m.push({}),
        b"s": _pair,
        b"u": lambda m: m.update(m.series()),
        b"c": lambda m: m.name(m.line(), m.line()),
        b"\x93": Machine.name_on_stack,
        b"R": Machine.call,
        b"b": Machine.build,
        b"\x94": Machine.remember_next,
        b"q": lambda m: m.remember(m.number("<B")),
        b"r": lambda m: m.remember(m.number("<I")),
        b"h": lambda m: m.refer(m.number("<B")),
        b"j": lambda m: m.refer(m.number("<I")),
    }.items()
}


def _dtype(_: Machine, arguments: tuple) -> Dtype:
    if not arguments or not isinstance(arguments[0], str):
        raise UnpicklingError("a dtype must be a text")
    return Dtype(arguments[0])


def _same_tuple(_: Machine, arguments: tuple) -> tuple:
    match arguments:
        case (tuple() as items,):
            return items
    raise UnpicklingError("a tuple must be made of a tuple")


def _ndarray(*_: object) -> None:
    raise UnpicklingError("numpy.ndarray is called, which Paddle's files never do")


_NAMES: dict[tuple[str, str], _Name] = {
    ("numpy.core.multiarray", "_reconstruct"): (reconstruct := _Name(lambda *_: Array())),
    ("numpy._core.multiarray", "_reconstruct"): reconstruct,
    ("numpy", "ndarray"): _Name(_ndarray),
    ("numpy", "dtype"): _Name(_dtype),
    ("_codecs", "encode"): _Name(Machine.encode),
    ("builtins", "tuple"): _Name(_same_tuple),
    ("__builtin__", "tuple"): _Name(_same_tuple),
}


def check_pickle(file: BinaryIO) -> None:
    """Read over a pickle and refuse what takes far more time or memory than its bytes.

    That is tuples that hold each other so often that to hash one would never end, bytes that are made by their number
    alone, and one text that is encoded again and again. For pickles that another machine runs, such as torch's.

    Raises:
        UnpicklingError: If there is any of these.
        ValueError: If it is no pickle.
    """
    stack: list[int] = []  # how many values each value has within, as far as they are tuples; of the encoder 0
    marks: list[int] = []  # the heights of the stack
    memo: dict[int, int] = {}
    longest = encoded = 0
    for instruction, argument, _ in pickletools.genops(file):
        name, before, after = instruction.name, instruction.stack_before, instruction.stack_after
        if isinstance(argument, str):
            longest = max(longest, len(argument))
        if "PUT" in name or name == "MEMOIZE":
            memo[int(argument) if argument is not None else len(memo)] = stack[-1]
        elif "GET" in name:
            stack.append(memo.get(int(argument), 1))  # pyright: ignore[reportArgumentType]
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "GLOBAL":
            if str(argument).endswith(" bytearray"):
                raise UnpicklingError("it names bytearray, which no network is made of")
            stack.append(0 if argument == "_codecs encode" else 1)
        else:
            series = pickletools.markobject in before
            height = marks.pop() if series else len(stack)
            height -= before.index(pickletools.markobject) if series else len(before)
            taken, stack[height:] = stack[height:], []
            size = 1 + sum(taken) if "TUPLE" in name else taken[0] if name == "DUP" else 1
            encoded += longest if name == "REDUCE" and taken[0] == 0 else 0
            if size > _LARGEST_TUPLE:
                raise UnpicklingError("it holds tuples of tuples without end")
            if encoded > _MOST_ENCODED:
                raise UnpicklingError("it encodes one text again and again")
            stack += [size] * len(after)

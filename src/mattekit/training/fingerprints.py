"""What a run must have in common with its checkpoint: told from other data by a short sum of all that they are."""

import copyreg
import dataclasses
import hashlib
from collections.abc import Iterator, KeysView, Mapping, Sized, ValuesView
from pathlib import Path
from types import CellType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

_PLAIN = str | int | float | bool | bytes | None


def fingerprint(value: Any) -> str:
    """A short sum of a source or a transform: of its class, its settings and, by name and size, its files.

    Files are not read. A folder that was moved has the same sum. Of an object counts what pickling keeps of it, which
    is its attributes where it does not say otherwise; of a method its object; of a function that was made within
    another what it took from there, and its defaults. The code of classes and functions does not count. An object that
    cannot be pickled, or whose attributes do not tell what it is, such as one that caches or draws from a generator of
    its own, says so itself by an attribute ``fingerprint``, a string.

    Args:
        value: A source, a transform, or anything they are made of.

    Returns:
        16 hexadecimal digits.

    Raises:
        TypeError: If something in it can neither be pickled nor has an attribute ``fingerprint``.

    Example:
        >>> from mattekit.data import SyntheticMattes
        >>> fingerprint(SyntheticMattes(seed=1)) == fingerprint(SyntheticMattes(seed=1))
        True
        >>> fingerprint(SyntheticMattes(seed=1)) == fingerprint(SyntheticMattes(seed=2))
        False
    """
    return _sum(value, ())


def _sum(value: Any, within: tuple[int, ...]) -> str:
    digest = hashlib.sha256()
    for part in _parts(value, within):
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _parts(value: Any, within: tuple[int, ...]) -> Iterator[str]:
    """All that a value is, as strings; what holds itself is told once."""
    yield type(value).__qualname__
    if isinstance(own := getattr(value, "fingerprint", None), str):
        yield own
    elif isinstance(value, _PLAIN):
        yield repr(value)
    elif isinstance(value, ModuleType):
        yield value.__name__
    elif isinstance(value, Path):
        yield value.name
        yield str(value.stat().st_size) if value.is_file() else ""
    elif isinstance(value, np.ndarray | np.generic | torch.Tensor):
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu()
            value = value.view(torch.int16) if value.dtype == torch.bfloat16 else value  # NumPy has none
        array = np.asarray(value)
        yield f"{array.dtype} {array.shape}"
        yield hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    elif id(value) in within:
        return
    elif isinstance(value, Mapping):
        for key in value:
            yield _key(key, (*within, id(value)))
            yield from _parts(value[key], (*within, id(value)))
        yield from _attributes(value, within)
    elif isinstance(value, list | tuple | KeysView | ValuesView):
        for item in value:
            yield from _parts(item, (*within, id(value)))
        yield from _attributes(value, within)
    elif isinstance(value, set | frozenset):
        yield from sorted(_key(item, (*within, id(value))) for item in value)
        yield from _attributes(value, within)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _parts({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, within)
    elif hasattr(value, "__qualname__") and hasattr(value, "__module__"):  # a class or a function
        yield f"{value.__module__}.{value.__qualname__}"
        for held in _held(value):
            yield from _parts(held, (*within, id(value)))
    else:
        yield str(len(value)) if isinstance(value, Sized) else ""
        yield from _parts(_content(value), (*within, id(value)))


def _key(value: Any, within: tuple[int, ...]) -> str:
    """A key of a mapping or an item of a set, which other than plain values need not show in ``repr`` what they are."""
    return repr(value) if isinstance(value, _PLAIN) else _sum(value, within)


def _attributes(value: Any, within: tuple[int, ...]) -> Iterator[str]:
    """Those that a class derived from a list, a dict or a set has beside its items."""
    if attributes := getattr(value, "__dict__", None):
        yield from _parts(attributes, (*within, id(value)))


def _held(value: Any) -> list[Any]:
    """What a method or a function holds beside its code; of one that can be imported its name tells all."""
    owner = getattr(value, "__self__", None)
    held = [] if owner is None or isinstance(owner, ModuleType) else [owner]
    if isinstance(value, FunctionType) and "<locals>" in value.__code__.co_qualname:  # whatever a decorator calls it
        taken = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]  # but empty ones
        held += [*taken, value.__defaults__, value.__kwdefaults__]
    return held


def _content(value: Any) -> Any:
    """What pickling keeps of an object: its attributes, or all that it is made anew from."""
    try:
        reduced = copyreg.dispatch_table.get(type(value), lambda value: value.__reduce_ex__(4))(value)
    except Exception as error:  # whatever a class of someone else's raises
        said = f"{type(value).__qualname__} cannot tell what it is ({error})"
        raise TypeError(f"{said}: give it an attribute fingerprint, or what holds it, a string") from error
    if isinstance(reduced, str):
        return reduced
    parts: tuple[Any, ...] = (*reduced, None, None, None)
    _, made_from, state, items, pairs, *_ = parts
    if len(made_from) == 1 and made_from[0] is type(value) and items is pairs is None:
        return {} if state is None else state
    return made_from, state, list(items or ()), list(pairs or ())

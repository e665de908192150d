"""What a run must have in common with its checkpoint: told from other data by a short sum of all that they are."""

import copyreg
import dataclasses
import hashlib
from collections.abc import Iterator, KeysView, Mapping, Sized, ValuesView
from pathlib import Path
from typing import Any

import numpy as np
import torch


def fingerprint(value: Any) -> str:
    """A short sum of a source or a transform: of its class, its settings and, by name and size, its files.

    Files are not read. A folder that was moved has the same sum. Of an object counts what pickling keeps of it, which
    is its attributes where it does not say otherwise. One that cannot be pickled, or whose attributes do not tell what
    it is, such as one that caches or draws from a generator of its own, says so itself by an attribute ``fingerprint``,
    a string.

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
    digest = hashlib.sha256()
    for part in _parts(value, ()):
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def _parts(value: Any, within: tuple[int, ...]) -> Iterator[str]:
    """All that a value is, as strings; what holds itself is told once."""
    yield type(value).__qualname__
    if isinstance(own := getattr(value, "fingerprint", None), str):
        yield own
    elif value is None or isinstance(value, str | int | float | bool | bytes):
        yield repr(value)
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
            yield repr(key)
            yield from _parts(value[key], (*within, id(value)))
    elif isinstance(value, list | tuple | KeysView | ValuesView):
        for item in value:
            yield from _parts(item, (*within, id(value)))
    elif isinstance(value, set | frozenset):
        yield from sorted(map(repr, value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from _parts({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, within)
    elif hasattr(value, "__qualname__"):  # a class or a function
        yield f"{value.__module__}.{value.__qualname__}"
    else:
        yield str(len(value)) if isinstance(value, Sized) else ""
        yield from _parts(_content(value), (*within, id(value)))


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

"""Networks from descriptions: what `describe` returns, built anew."""

import inspect
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from mattekit import blocks, encoders
from mattekit.checkpoints.description import Outline, argument_names, check_data, describe
from mattekit.checkpoints.wording import listed, plain, shown
from mattekit.models.pp_matting import PPMatting
from mattekit.models.preprocessing import Preprocessing

__all__ = ["PARTS", "build", "describe", "make", "outline"]

PARTS: Mapping[str, type] = MappingProxyType(
    {
        cls.__name__: cls
        for room in (blocks, encoders)
        for cls in (getattr(room, name) for name in room.__all__)
        if inspect.isclass(cls) and issubclass(cls, nn.Module)
    }
    | {cls.__name__: cls for cls in (PPMatting, Preprocessing)}
)
"""Every class that a description may name."""


def build(description: Mapping[str, Any]) -> nn.Module:
    """Build a network, or a part of one, from its description.

    A description may come from a stranger: it can name the classes in ``PARTS`` and nothing else, and its values are
    plain and bounded.

    Args:
        description: What `describe` returned, or the same read from JSON. A part made by hand is given as the module
            itself, in the place of its description.

    Returns:
        The module, with the initial values of a new one, in training mode.

    Raises:
        ValueError: If a part was made by hand, or the description is none; the message names the part.

    Example:
        >>> from mattekit.blocks import PyramidPooling
        >>> from mattekit.models import build, describe
        >>> build(describe(PyramidPooling(16, bins=(1, 2)))).bins
        (1, 2)
    """
    outline(description)  # finds out in time and without memory whether it can be built
    return make(description)


def outline(description: Mapping[str, Any]) -> nn.Module:
    """Build a module on the meta device: names and shapes without values, in little time and memory.

    Raises:
        ValueError: As `build`; and if the description asks for more modules than any network has.
    """
    check_data(description)
    with Outline():
        return make(description)


def make(description: Mapping[str, Any]) -> nn.Module:
    """Build a module from a description whose `outline` was good."""
    module = _make(description, "")
    if not isinstance(module, nn.Module):
        raise ValueError(f"the description must be that of a module, got {shown(description)}")
    return module


def _make(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        return _make_part(value, path)
    if isinstance(value, list | tuple):
        return tuple(_make(item, f"{path}.{index}") for index, item in enumerate(value))
    # no addresses: timm's names can have a source before a colon or a slash
    if isinstance(value, str) and not re.fullmatch(r"[\w.\-]+", value):
        raise ValueError(f"{path or 'the description'} must be a word, got {shown(value)}")
    return value


def _make_part(description: Mapping[str, Any], path: str) -> Any:
    where = plain(path) or "the network"
    name, given = description.get("class"), description.get("arguments")
    if "handmade" in description:
        raise ValueError(
            f"{where} was made by hand, a {plain(name)} ({plain(description['handmade'])}), and its description cannot "
            "build it: put the network together as it was and load the file into it"
        )
    cls = PARTS.get(name) if isinstance(name, str) else None
    if cls is None:
        raise ValueError(f"{where} must be one of {', '.join(PARTS)}, got {shown(name)}")
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} must have its arguments by name, got {shown(given)}")
    known = argument_names(cls)
    if foreign := [argument for argument in given if argument not in known]:
        raise ValueError(f"{where}, a {name}, must have the arguments {', '.join(known)}, got {listed(foreign)}")
    arguments = {key: _make(item, f"{path}.{key}" if path else key) for key, item in given.items()}
    try:
        return cls(**arguments)
    except ImportError:  # what to install
        raise
    except Exception as error:  # arguments of any kind can make a constructor raise nearly anything
        raise ValueError(f"{where} cannot be made, a {name}: {plain(error)}") from error

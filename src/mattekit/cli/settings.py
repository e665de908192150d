"""The settings of a run as options of a command."""

import argparse
import dataclasses
import inspect
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mattekit.training import Settings


def add_options(parser: argparse.ArgumentParser, *, but: Collection[str] = ()) -> None:
    """Give a parser an option for each setting but some; one that is left out is not in the namespace."""
    group = parser.add_argument_group(
        "settings", "Those of --config, and these over them. The defaults are the paper's."
    )
    told = _told()
    for field in (field for field in dataclasses.fields(Settings) if field.name not in but):
        option, default = "--" + field.name.replace("_", "-"), field.default
        shown = "none" if default is None else " ".join(map(str, default)) if isinstance(default, tuple) else default
        text = f"{told.get(field.name, '')} (default: {shown})".replace("%", "%%")
        common: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS, "help": text}
        if isinstance(default, bool):
            group.add_argument(option, action=argparse.BooleanOptionalAction, **common)
        elif isinstance(default, tuple):
            group.add_argument(option, nargs="*", type=type(default[0]), metavar="N", **common)
        else:
            kind = str if default is None else type(default)
            group.add_argument(option, type=kind, metavar=_METAVARS.get(field.name, _KINDS[kind]), **common)


def chosen(args: argparse.Namespace, config: Path | None) -> Settings:
    """The settings of a file, if there is one, and of the options given over them.

    Raises:
        OSError: If the file cannot be read.
        TypeError: If a setting is of another type.
        ValueError: If a setting is unknown or impossible.
    """
    base = Settings.read(config) if config else Settings()
    names = [field.name for field in dataclasses.fields(Settings) if field.name in args]
    return dataclasses.replace(base, **{name: getattr(args, name) for name in names})


_KINDS = {int: "N", float: "X", str: "NAME"}
_METAVARS = {"weights": "NAME|FILE", "encoder_weights": "FILE"}


def _told() -> dict[str, str]:
    """What the docstring says of each setting."""
    section = re.search(r"Args:\n(.*?)\n\n", inspect.getdoc(Settings) or "", re.DOTALL)
    lines = re.findall(r"^    (\w+): (.*?)\.?$", section[1], re.MULTILINE) if section else []
    return dict(lines)

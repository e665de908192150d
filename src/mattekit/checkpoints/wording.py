"""What comes from a file, as messages show it: bounded, and without escape codes."""

from collections.abc import Collection

_LONGEST, _MOST = 200, 20


def shown(value: object) -> str:
    """A value as `repr` has it, at most 200 characters of it."""
    text = repr(value[: 2 * _LONGEST]) if isinstance(value, str | bytes) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def plain(text: object) -> str:
    """Text of a foreign error on one line, at most 200 characters of it, what cannot be printed as its escape code."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text)[: 2 * _LONGEST])
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def listed(names: Collection[object]) -> str:
    """The first 20 of some names, and how many more there are."""
    return ", ".join([*(shown(name) for name in list(names)[:_MOST]), *_more(names)])


def lines(entries: Collection[str]) -> list[str]:
    """The first 20 of some entries, a line each, and how many more there are."""
    return [*(f"  {plain(entry)}" for entry in list(entries)[:_MOST]), *(f"  {more}" for more in _more(entries))]


def _more(names: Collection[object]) -> list[str]:
    return [f"and {len(names) - _MOST} more"] if len(names) > _MOST else []

"""A table of means as text: Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

COLUMNS = ("SAD", "MSE", "Grad", "Conn")
_DECIMALS = (2, 3, 2, 2)  # the paper's
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


class Row(NamedTuple):
    """A method and its means, in the order of `COLUMNS`."""

    name: str
    values: tuple[float, ...]


def render(rows: Sequence[Row], quoted: Sequence[tuple[str, tuple[str, ...]]], form: str) -> str:
    """The table; rows that are quoted follow, and are never bold."""
    if form == "csv":
        return _csv(rows, quoted)
    columns = [_cells(values, least) for values, least in zip(_columns(rows), _DECIMALS, strict=True)]
    bold = r"\textbf{%s}" if form == "latex" else "**%s**"
    name = _latex if form == "latex" else _markdown
    body = [
        [name(row.name), *((bold % text) if best else text for text, best in cells)]
        for row, cells in zip(rows, zip(*columns, strict=True), strict=True)
    ]
    others = [[name(label), *cells] for label, cells in quoted]
    header = ["Methods", *COLUMNS]
    if form == "latex":
        rule = [r"\hline"]
        lines = [r"\begin{tabular}{lrrrr}", *rule, _row(header), *rule, *map(_row, body), *rule]
        return "\n".join([*lines, *(map(_row, others)), *(rule if others else []), r"\end{tabular}"])
    lines = [header, ["---", *["---:"] * len(COLUMNS)], *body, *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _columns(rows: Sequence[Row]) -> list[tuple[float, ...]]:
    return list(zip(*(row.values for row in rows), strict=True))


def _cells(values: Sequence[float], decimals: int) -> list[tuple[str, bool]]:
    """Each value as text, and whether it reads as the least does.

    There are as many decimals as the paper has, or as three digits of the least value above 0 take.
    """
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if positive:
        decimals = min(8, max(decimals, 2 - math.floor(math.log10(min(positive)))))
    texts = [f"{value:.{decimals}f}" for value in values]
    least = min((float(text) for text in texts if text != "nan"), default=math.nan)
    return [(text, float(text) == least) for text in texts]


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _markdown(name: str) -> str:
    return re.sub(r"([\\|*_`])", r"\\\1", name)


def _latex(name: str) -> str:
    return re.sub(r"[\\~^&%$#_{}]", lambda found: _LATEX.get(found[0], "\\" + found[0]), name)


def _csv(rows: Sequence[Row], quoted: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["method", *COLUMNS])
    table.writerows([row.name, *row.values] for row in rows)
    table.writerows([label, *cells] for label, cells in quoted)
    return text.getvalue().rstrip("\n")

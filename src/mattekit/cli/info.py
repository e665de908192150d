"""``mattekit info``."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mattekit.cli.parsers import SubParsers

if TYPE_CHECKING:
    from mattekit.checkpoints.reading import Checkpoint

_WIDTH = 15
_SAID = {"training_data": "training data"} | {key: key for key in ("licence", "recipe", "date", "figures", "limits")}


def add_parser(subparsers: SubParsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "info",
        help="say what a weights file is: network, preprocessing, training data, licence, size, hash",
        description="Say what a weights file is. A published file is downloaded first, if it is not there.",
        epilog="Exit status: 0, or 2 if the file cannot be read.",
    )
    parser.add_argument("weights", metavar="WEIGHTS", help="a name or a file, as for mattekit predict")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from mattekit.checkpoints.loading import open_checkpoint

    try:
        checkpoint = open_checkpoint(args.weights)
        lines = [*_of_file(checkpoint.path), *_of_network(args.weights, checkpoint)]
        lines += _of_origin(args.weights, checkpoint.path)
    except (ImportError, OSError, ValueError, RuntimeError) as error:  # of an encoder that needs timm, the first
        print(f"mattekit info: {error}", file=sys.stderr)
        return 2
    for name, value in lines:
        print(f"{name}:".ljust(_WIDTH), value)
    return 0


def _of_file(path: Path) -> Iterator[tuple[str, object]]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    yield "file", path
    yield "size", f"{path.stat().st_size:,} bytes"
    yield "sha256", digest


def _of_network(weights: str, checkpoint: Checkpoint) -> Iterator[tuple[str, object]]:
    """The network that the weights make; of weights that make none, how much they are."""
    from mattekit.models import describe, pp_matting

    numbers = sum(tensor.numel() for tensor in checkpoint.tensors.values())
    try:
        model = pp_matting(weights=weights)
    except (ValueError, RuntimeError) as error:
        yield "network", f"no PP-Matting: {error}"
        yield "tensors", f"{len(checkpoint.tensors)}, of {numbers:,} numbers"
        return
    for part, described in describe(model).get("arguments", {}).items():
        if isinstance(described, Mapping) and part != "preprocessing":
            yield part, _in_words(described)
    yield "parameters", f"{sum(parameter.numel() for parameter in model.parameters()):,}"
    shown = model.preprocessing
    limit = "not limited" if shown.max_short_side is None else f"at most {shown.max_short_side} pixels"
    words = [f"mean {_list(shown.mean)}", f"std {_list(shown.std)}", f"short side {limit}"]
    if shown.context_short_side is not None:
        words.append(f"for the context branch at most {shown.context_short_side}")
    if shown.antialias:
        words.append("shrunk by means over pixels")
    if shown.guided:
        words.append("the matte enlarged along the photo's edges")
    yield "preprocessing", ", ".join(words)


def _of_origin(weights: str, path: Path) -> Iterator[tuple[str, object]]:
    """What the record of published weights says, or the file itself."""
    from mattekit.checkpoints import published

    if (record := published.get(weights)) is not None:
        yield "training data", record.trained_on
        yield "licence", f"{record.code_licence}, of the code; the authors name none for the weights"
        yield "from", record.url
        return
    said = _metadata(path)
    for key, name in _SAID.items():
        value = said.get(key)
        for line in _lines(value) if value else ["not said"] if key in ("training_data", "licence") else []:
            yield name, line


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except SafetensorError:  # another kind of file, which says nothing
        return {}


def _lines(text: str) -> Iterator[str]:
    """A text, or of a JSON object a line an entry."""
    try:
        entries = json.loads(text)
    except ValueError:
        entries = None
    if not isinstance(entries, dict):
        yield text
        return
    for name, entry in entries.items():
        said = ", ".join(f"{key} {value}" for key, value in entry.items()) if isinstance(entry, dict) else entry
        yield f"{name}: {said}"


def _in_words(described: Mapping[str, Any]) -> str:
    """A part by its class and plain arguments, parts of it in brackets."""
    inner = []
    for name, value in described.get("arguments", {}).items():
        inner.append(f"{name} {_in_words(value) if isinstance(value, Mapping) else _list(value)}")
    return described["class"] + (f" ({', '.join(inner)})" if inner else "")


def _list(value: object) -> str:
    if isinstance(value, list | tuple):
        return "/".join(map(_list, value))
    return f"{value:g}" if isinstance(value, float) else str(value)

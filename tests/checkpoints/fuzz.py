"""Throw bytes at what reads files from strangers.

    python tests/checkpoints/fuzz.py pdparams -max_total_time=300 CORPUS

runs atheris (pip install atheris), which follows the code it reaches; what comes after the target goes to libFuzzer.
Targets: pdparams, description. test_fuzz.py throws a few hundred at both in the suite, without atheris.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from mattekit.checkpoints.description import from_recipe, parse
from mattekit.checkpoints.pdparams import parse_pdparams
from mattekit.models.description import outline

PADDLESEG = Path(__file__).parent.parent / "data" / "paddleseg"


def pdparams(data: bytes) -> None:
    """Whatever the bytes: arrays no larger than they are, or one RuntimeError that names the file."""
    data = b"\x80" + data
    try:
        content = parse_pdparams(data, "file")
    except RuntimeError as error:
        check_message(error, "file ")
        return
    arrays = {id(array): array for array in arrays_in(content, set())}
    assert sum(array.nbytes for array in arrays.values()) <= len(data)
    for array in arrays.values():
        torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))


def description(data: bytes) -> None:
    """Whatever the text: a network, or part of one, made without memory, or a ValueError."""
    text = data.decode("utf-8", "replace")
    for metadata in (
        {"recipe": text},
        {"preprocessing": text},
        {"recipe": text, "preprocessing": text, "padding": text},
    ):
        try:
            from_recipe(metadata)
        except ValueError as error:
            check_message(error)
    try:
        network = outline(parse(text))
    except ValueError as error:
        check_message(error)
        return
    assert all(tensor.is_meta for tensor in network.state_dict().values())


def check_message(error: Exception, beginning: str = "") -> None:
    """Check that a message has a bounded length, and nothing that a terminal obeys."""
    assert str(error).startswith(beginning), error
    assert str(error).isprintable(), error
    assert len(str(error)) <= 20 * 210 + 500, error


def arrays_in(value: object, seen: set[int]) -> list[np.ndarray]:
    """Every array within, each container looked through once."""
    if isinstance(value, np.ndarray):
        return [value]
    if not isinstance(value, dict | list | tuple) or id(value) in seen:
        return []
    seen.add(id(value))
    inside = value.values() if isinstance(value, dict) else value
    return [array for item in inside for array in arrays_in(item, seen)]


def seeds(target: str) -> list[bytes]:
    """Good files to begin with."""
    if target == "pdparams":
        return [path.read_bytes()[1:] for path in PADDLESEG.glob("mini_*.pdparams")]
    from mattekit.blocks import ConvBNReLU, GatedConv, PyramidPooling
    from mattekit.models import Preprocessing, describe
    from oracles.networks import small

    parts = [small(preprocessing=Preprocessing(max_short_side=640)), ConvBNReLU(3, 4, 1), GatedConv(4, 6)]
    first = {"encoder": "hrnet_w18", "guidance": [1, 3], "fusion": "conv"}, {"mean": [0.5] * 3, "max_short_side": 512}
    return [json.dumps(part).encode() for part in (*map(describe, [*parts, PyramidPooling(4, 6)]), *first)]


def instructions() -> list[int]:
    """The instructions of pickles that are known."""
    from mattekit.checkpoints import pickles

    return [*pickles._INSTRUCTIONS, ord(".")]


def main() -> None:
    """Run atheris."""
    import atheris

    target, corpus = sys.argv[1], Path(sys.argv[-1])
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds(target)):
        (corpus / f"seed{index}").write_bytes(seed)
    act = {"pdparams": pdparams, "description": description}[target]
    for module in ("mattekit.checkpoints.pickles", "mattekit.checkpoints.pdparams", "mattekit.checkpoints.description"):
        for value in vars(sys.modules[module]).values():
            for function in vars(value).values() if isinstance(value, type) else (value,):
                if getattr(function, "__module__", None) == module and hasattr(function, "__code__"):
                    atheris.instrument_func(function)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], act)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    main()

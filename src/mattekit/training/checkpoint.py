"""Checkpoints of runs: everything that it takes to go on as if nothing had been."""

import dataclasses
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from mattekit.data import Position, Source
from mattekit.data.transforms import Transform
from mattekit.photos import write_atomically
from mattekit.training.fingerprints import fingerprint
from mattekit.training.settings import Settings

_HARMLESS = ("workers", "skip_errors", "log_every", "checkpoint_every", "validate_every", "sheet_every", "tensorboard")
"""Settings that another run of the same may have otherwise: no weight that a run got to depends on them."""


class TrainingError(RuntimeError):
    """A run that cannot begin, or cannot go on. The message says why, and what is left."""


class ResumeError(TrainingError):
    """A folder that holds no run to go on with, or another one. Nothing was done."""


@dataclasses.dataclass
class Progress:
    """How far a run is.

    Attributes:
        iteration: Steps done.
        position: Where the loader stands.
        skipped: Samples that could not be read, and were left out.
        best: The lowest SAD of a validation.
        scores: Of the last validation.
        looked: The iteration after which samples were last validated or drawn.
    """

    iteration: int = 0
    position: Position = dataclasses.field(default_factory=Position)
    skipped: int = 0
    best: float = float("inf")
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    looked: int = 0


def identity(
    settings: Settings,
    source: Source,
    transform: Transform | None,
    collate: Callable[..., Any],
    validation: Source | None,
    processes: int,
) -> dict[str, Any]:
    """What a checkpoint and the run that goes on from it must have in common, by name."""
    values = {name: value for name, value in dataclasses.asdict(settings).items() if name not in _HARMLESS}
    return values | {
        "data": fingerprint(source),
        "transform": fingerprint(transform),
        "collate": fingerprint(collate),
        "validation data": fingerprint(validation),
        "number of processes": processes,
    }


def random_state() -> dict[str, Any]:
    """The states of the global random generators of this process, as plain values and tensors."""
    name, keys, *rest = np.random.get_state()
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set the global random generators to what `random_state` returned."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint whole or not at all, down to the disk.

    Raises:
        TrainingError: If it cannot be written; it says what is left.
    """

    def write(file: BinaryIO) -> None:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())

    try:
        write_atomically(path, write)
    except (OSError, RuntimeError) as error:  # torch's own writer wraps what the system says
        cause = error if isinstance(error, OSError) else error.__context__ or error
        reason = getattr(cause, "strerror", None) or cause
        left = f"the last checkpoint, {path}, is whole: make room and resume" if path.exists() else "there is none yet"
        raise TrainingError(f"a checkpoint could not be written to {path}: {reason}; {left}") from error


def read_state(path: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Read a checkpoint, which must be of the run that `identity` tells.

    Raises:
        ResumeError: If it cannot be read, or is of another run; all differences are named.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        found = state["identity"]
    except Exception as error:
        raise ResumeError(f"{path} is no checkpoint that can be read: {error}") from error
    other = [
        f"{name} is {_shown(name, wanted)}, was {_shown(name, found)}"
        for name in {**wanted, **found}
        if name not in _HARMLESS and _shown(name, wanted) != _shown(name, found)
    ]
    if other:
        raise ResumeError(f"{path} is of another run, and cannot be resumed: {'; '.join(other)}")
    return state


def _shown(name: str, values: Mapping[str, Any]) -> str:
    return repr(values[name]) if name in values else "unknown"

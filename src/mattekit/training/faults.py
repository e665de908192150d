"""What stops a run midway: what is said, and what is kept of a loss or a gradient that is not finite."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mattekit.data import Batch, SampleError
from mattekit.data.batch import Position
from mattekit.photos import write_atomically
from mattekit.training.checkpoint import TrainingError, random_state, restore_random_state
from mattekit.training.step import Step, StepResult

if TYPE_CHECKING:
    from mattekit.training.run import Run


def stop(
    run: "Run", batches: Sequence[Any], losses: Mapping[str, Tensor], randomness: Mapping[str, Any]
) -> TrainingError:
    """Write what reproduces a step whose loss or gradient is not finite, and return the error that tells of it."""
    step, iteration = run.step, run.progress.iteration
    path = run.folder / f"failed-{iteration}-{run.accelerator.process_index}.pt"
    dump = {
        "step": step.state_dict(),
        "batches": [{field.name: _plain(getattr(b, field.name)) for field in dataclasses.fields(b)} for b in batches],
        "random": dict(randomness),
        "precision": run.settings.precision,
        "iteration": iteration,
    }
    try:
        write_atomically(path, lambda file: torch.save(dump, file))
        kept = f"mattekit.training.reproduce({str(path)!r}, step) repeats the step"
    except (OSError, RuntimeError) as error:
        kept = f"what would reproduce it could not be written to {path}: {error}"
    bad = [f"{name} is {float(value):g}" for name, value in losses.items() if not torch.isfinite(value)]
    where = [name for name, p in step.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    if where and not bad:
        more = f" and {len(where) - 3} more" if len(where) > 3 else ""
        bad = [f"the gradient is not finite in {', '.join(where[:3])}{more}"]
    names = [name for batch in batches for name in batch.names]
    return TrainingError(
        f"iteration {iteration} stopped: {', '.join(bad) or 'another process has a loss that is not finite'}; samples: "
        f"{', '.join(names)}; {kept}; {_left(run)}"
    )


@contextmanager
def midway(run: "Run") -> Iterator[None]:
    """Have whatever stops a run while it is under way end it with an error that says how far it was."""
    try:
        yield
    except (TrainingError, SampleError):
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise TrainingError(f"iteration {run.progress.iteration} stopped: {said}; {_left(run)}") from error


def _left(run: "Run") -> str:
    path = run.folder / "state.pt"
    return f"the last checkpoint, {path}, is good" if path.exists() else "there is no checkpoint yet"


def reproduce(path: str | Path, step: Step, batch_type: type = Batch) -> list[StepResult]:
    """Repeat the step that stopped a run: the same weights, samples and random numbers, forwards and backwards.

    Args:
        path: The file that the error named.
        step: A step of the run's kind. It gets the weights of then, and the gradients.
        batch_type: What the samples were collated into.

    Returns:
        What the step returned, once a batch; ``step.named_parameters()`` have their gradients.

    Raises:
        RuntimeError: If the file is of another kind of step.

    Example:
        >>> reproduce("run/failed-120-0.pt", step)[0].losses["total"]  # doctest: +SKIP
        tensor(nan, grad_fn=<AddBackward0>)
    """
    dump = torch.load(path, weights_only=True, map_location="cpu")
    step.load_state_dict(dump["step"])
    step.train()
    step.zero_grad()
    before = random_state()
    restore_random_state({**before, **dump["random"]})
    results = []
    for fields in dump["batches"]:
        fields = {**fields, "position": Position(*fields["position"])}
        with torch.autocast("cpu", torch.bfloat16, enabled=dump["precision"] == "bfloat16"):
            results.append(step(batch_type(**fields)))
        (results[-1].losses["total"] / len(dump["batches"])).backward()
    restore_random_state(before)
    return results


def _plain(value: Any) -> Any:
    return dataclasses.astuple(value) if isinstance(value, Position) else value

"""The loop: from a step, data and settings to trained weights."""

import dataclasses
import os
import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mattekit import checkpoints
from mattekit.data import Loader, Position, Source, collate, paper_transform
from mattekit.data.transforms import Transform
from mattekit.photos import write_atomically
from mattekit.photos.atomic import clear_abandoned
from mattekit.training import faults, processes
from mattekit.training.average import moving_average
from mattekit.training.checkpoint import (
    Progress,
    ResumeError,
    TrainingError,
    identity,
    random_state,
    read_state,
    restore_random_state,
    write_state,
)
from mattekit.training.logs import Log, reduced
from mattekit.training.settings import Settings, rate_factor
from mattekit.training.sheets import write_sheets
from mattekit.training.step import Step
from mattekit.training.validation import validate


def train(
    step: Step,
    source: Source,
    settings: Settings,
    folder: str | os.PathLike[str],
    *,
    transform: Transform | None = None,
    collate: Callable[..., Any] = collate,
    validation: Source | None = None,
    resume: bool = False,
    progress: bool = False,
) -> dict[str, float]:
    """Train a step, and keep all that it takes to go on after a break.

    The folder gets ``settings.toml``; ``log.csv`` and ``validation.csv``; ``last.safetensors`` and
    ``best.safetensors``, the weights of the last checkpoint and of the lowest validation SAD, to be opened by
    ``pp_matting(weights=...)``; ``sheets``, pictures of validation samples; and ``state.pt``, the checkpoint to resume.
    On the CPU a run that was killed and resumed ends in the very bits of one that was left alone.

    Args:
        step: The model and its losses; trained in place.
        source: The samples.
        settings: Of the network, these are the step's own; the loop reads the rest.
        folder: Where the run is kept.
        transform: What is done to each sample; by default the paper's, ``paper_transform(settings.size)``.
        collate: Makes a batch of samples, as `mattekit.data.collate` does: another one can carry more fields.
        validation: Samples to score the model on, at their own sizes.
        resume: Go on with the run in the folder, or begin it, if it has no checkpoint yet.
        progress: Show a bar.

    Returns:
        The scores of the last validation, as `validate` returns them; empty without validation.

    Raises:
        ResumeError: If the folder holds a run and ``resume`` is off, or a run of other data, another batch size,
            another number of processes or other settings, which are named.
        TrainingError: If a loss or a gradient is not finite, or a checkpoint cannot be written.
        mattekit.data.SampleError: If a sample cannot be read; it is named.
        ImportError: If Accelerate is missing: ``pip install 'mattekit[train]'``.

    Example:
        >>> import tempfile
        >>> from mattekit.data import SyntheticMattes
        >>> from mattekit.training import Settings, pp_matting_step, train
        >>> settings = Settings(encoder="hrnet_w18_small_v1", size=32, batch_size=2, workers=0, iterations=2)
        >>> folder = tempfile.mkdtemp()
        >>> train(pp_matting_step(settings), SyntheticMattes(length=8, size=64), settings, folder)
        {}
        >>> sorted(os.listdir(folder))
        ['last.safetensors', 'log.csv', 'settings.toml', 'state.pt']
    """
    accelerator = processes.start()
    rank, world_size, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    folder = Path(folder)
    transform = paper_transform(settings.size) if transform is None else transform
    ours = identity(settings, source, transform, validation, world_size)
    found = _found(folder / "state.pt", ours, resume=resume)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        clear_abandoned(folder)  # by a run that was killed while it wrote
        write_atomically(folder / "settings.toml", lambda file: file.write(settings.to_toml().encode()))

    _seed(settings.seed + rank)
    if settings.channels_last:
        step.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]: torch's types lack it
    step.to(device).train()
    optimiser = make_optimiser(step, settings)
    average = moving_average(step, settings.ema) if settings.ema else None
    done, scores, sums = Progress(), {}, ({}, 0)
    if found is not None:
        step.load_state_dict(found["step"])
        optimiser.load_state_dict(found["optimiser"])
        if average is not None:
            average.load_state_dict(found["average"])
        done = Progress(**{**found["progress"], "position": Position(*found["progress"]["position"])})
        scores, sums = found["scores"], found["processes"][rank]["log"]
        restore_random_state(found["processes"][rank]["random"])
    called = processes.distribute(accelerator, step, sync_batch_norm=settings.sync_batch_norm)
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    kept: Step = step if average is None else average.module  # pyright: ignore[reportAssignmentType]: torch's types

    batches = iter(
        Loader(
            source,
            transform,
            batch_size=settings.batch_size,
            seed=settings.seed,
            start=done.position,
            workers=settings.workers,
            rank=rank,
            world_size=world_size,
            skip_errors=settings.skip_errors,
            collate=collate,
        )
    )
    with Log(folder, settings, done.iteration, is_main=accelerator.is_main_process, progress=progress) as log:
        log.sums, log.count = {name: value.to(device) for name, value in sums[0].items()}, sums[1]
        for iteration in range(done.iteration, settings.iterations):
            factor = rate_factor(settings, iteration)
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * group.get("rate", 1.0) * factor

            randomness, taken, totals, waited = random_state(), [], {}, 0.0
            for part in range(1, settings.accumulate + 1):
                began = time.perf_counter()
                batch = next(batches).to(device)
                waited += time.perf_counter() - began
                taken.append(batch)
                with nullcontext() if part == settings.accumulate else accelerator.no_sync(called):
                    with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                        losses = called(batch).losses
                    accelerator.backward(losses["total"] / settings.accumulate)
                for name, value in losses.items():
                    totals[name] = totals.get(name, 0) + value.detach() / settings.accumulate
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            if not torch.isfinite(totals["total"] + norm):
                raise faults.stop(
                    folder,
                    step,
                    taken,
                    totals,
                    iteration=iteration,
                    settings=settings,
                    randomness=randomness,
                    rank=rank,
                )
            if settings.clip:
                nn.utils.clip_grads_with_norm_(parameters, settings.clip, norm)
            optimiser.step()
            optimiser.zero_grad()
            if average is not None:
                average.update_parameters(step)

            done.iteration, done.position = iteration + 1, taken[-1].position
            done.skipped += sum(len(batch.skipped) for batch in taken)
            log.add({**totals, "gradient_norm": norm}, images=sum(map(len, taken)) * world_size, waited=waited)
            is_last = done.iteration == settings.iterations
            if is_last or done.iteration % settings.log_every == 0:
                others = {"learning_rate": settings.learning_rate * factor, "epoch": done.position.epoch}
                log.line(done.iteration, reduced(accelerator, log), {**others, "skipped": done.skipped})
            began = time.perf_counter()
            if validation is not None and (is_last or _is_due(done.iteration, settings.validate_every)):
                scores = validate(kept.model, validation, rank=rank, processes=world_size, device=device)
                log.validation(done.iteration, scores)
                if scores["SAD"] < done.best:
                    done.best = scores["SAD"]
                    _save(accelerator, kept.model, folder / "best.safetensors")
            draws = is_last or _is_due(done.iteration, settings.sheet_every)
            if draws and validation is not None and accelerator.is_main_process:
                write_sheets(folder / "sheets", done.iteration, kept.model, validation)
            if is_last or _is_due(done.iteration, settings.checkpoint_every):
                own = {"random": random_state(), "log": ({k: v.cpu() for k, v in log.sums.items()}, log.count)}
                everyone = processes.gathered(accelerator, own)
                state = {
                    "identity": ours,
                    "step": step.state_dict(),
                    "average": None if average is None else average.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "progress": dataclasses.asdict(done) | {"position": dataclasses.astuple(done.position)},
                    "scores": scores,
                    "processes": everyone,
                }
                if accelerator.is_main_process:
                    write_state(folder / "state.pt", state)
                _save(accelerator, kept.model, folder / "last.safetensors")
            log.without(time.perf_counter() - began)
    return scores


def make_optimiser(step: Step, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser that settings describe, for the parameter groups of a step."""
    groups = step.parameter_groups()
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            groups, settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
    betas = (settings.momentum, 0.999)
    return torch.optim.AdamW(groups, settings.learning_rate, betas=betas, weight_decay=settings.weight_decay)


def _found(path: Path, ours: dict[str, Any], *, resume: bool) -> dict[str, Any] | None:
    """The checkpoint to go on from, if there is one and it is wanted."""
    if not path.exists():
        return None
    if not resume:
        raise ResumeError(f"{path.parent} holds a run already: resume it, or take another folder")
    return read_state(path, ours)


def _is_due(iteration: int, every: int) -> bool:
    return bool(every) and iteration % every == 0


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def _save(accelerator: Any, model: nn.Module, path: Path) -> None:
    """Save the weights, if this is the main process."""
    if not accelerator.is_main_process:
        return
    try:
        checkpoints.save(model, path)
    except OSError as error:
        raise TrainingError(f"the weights could not be written to {path}: {error}") from error

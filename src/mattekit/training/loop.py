"""The loop: from a step, data and settings to trained weights."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mattekit._checks import check_compiler
from mattekit.data import Batch, Loader, SampleError, Source, collate, paper_transform
from mattekit.data.sources import check_source
from mattekit.data.transforms import Transform
from mattekit.training import faults, processes
from mattekit.training.checkpoint import identity, random_state
from mattekit.training.logs import Log, check_names
from mattekit.training.run import Run
from mattekit.training.settings import Settings
from mattekit.training.step import Step, losses_of
from mattekit.trimap import PADDLESEG_KERNELS, RandomKernels


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
        source: The samples. Those without a trimap get one whose transition is as wide beside ``settings.size`` as the
            one that PP-Matting was trained with is beside 512 pixels.
        settings: Of the network, these are the step's own; the loop reads the rest.
        folder: Where the run is kept.
        transform: What is done to each sample; by default the paper's, ``paper_transform(settings.size)``.
        collate: Makes a batch of samples, as `mattekit.data.collate` does: another one can carry more fields.
        validation: Samples to score the model on, at their own sizes.
        resume: Go on with the run in the folder, or begin it, if it has no checkpoint yet. What a step of yours does
            with its parameters is not compared: another loss in its ``forward`` goes unnoticed.
        progress: Show a bar.

    Returns:
        The scores of the last validation, as `validate` returns them; empty without validation.

    Raises:
        ResumeError: If the folder holds a run and ``resume`` is off, or a run of other data, another transform or
            collate, another number of processes, other settings or a step with other parameters, which are named.
        TrainingError: If a loss or a gradient is not finite, a checkpoint cannot be written, or anything else stops the
            run midway, which is the error's cause.
        mattekit.data.SampleError: If a sample cannot be read; it is named. With ``skip_errors``: if none can.
        TypeError: If ``step`` is a bare network, ``source`` or ``validation`` a path, or ``settings`` no `Settings`.
        ImportError: If Accelerate is missing: ``pip install accelerate``.
        RuntimeError: If the step is to be compiled, and there is no compiler.

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
    _check_kinds(step, source, settings, validation)
    accelerator = processes.start()
    device, world_size = accelerator.device, accelerator.num_processes
    if settings.compile:
        check_compiler(device)
    transform = paper_transform(settings.size) if transform is None else transform
    same = identity(settings, source, transform, collate, validation, world_size)
    run = Run(step, settings, Path(folder), same, accelerator, resume=resume)
    called = processes.distribute(accelerator, step, sync_batch_norm=settings.sync_batch_norm)
    if settings.compile:
        called = torch.compile(called)
    parameters = [parameter for group in run.optimiser.param_groups for parameter in group["params"]]
    loader = Loader(
        source,
        transform,
        batch_size=settings.batch_size,
        seed=settings.seed,
        start=run.progress.position,
        workers=settings.workers,
        rank=accelerator.process_index,
        world_size=world_size,
        kernels=_kernels(settings.size),
        skip_errors=settings.skip_errors,
        collate=collate,
    )
    batches = _with_samples(loader, run, len(source)) if settings.skip_errors else iter(loader)
    begun = run.progress.iteration
    validated = run.progress.looked == begun
    with (
        Log(run.folder, settings, begun, validated=validated, accelerator=accelerator, progress=progress) as log,
        faults.midway(run),
    ):
        log.sums, log.count = run.log_sums
        run.look(log, validation)  # where the run was stopped before it had
        while run.progress.iteration < settings.iterations:
            rate, before = run.set_rate(), random_state()
            taken, losses, waited = _gradients(run, called, batches)
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            if not torch.isfinite(losses["total"] + norm):
                raise faults.stop(run, taken, losses, before)
            if settings.clip:
                nn.utils.clip_grads_with_norm_(parameters, settings.clip, norm)
            run.update()
            run.progress.position = taken[-1].position
            log.add({**losses, "gradient_norm": norm}, images=sum(map(len, taken)) * world_size, waited=waited)
            if run.is_due(settings.log_every):
                others = {"learning_rate": rate, "epoch": run.progress.position.epoch}
                log.line(run.progress.iteration, {**others, "skipped": run.progress.skipped})
            with log.paused():
                run.keep(log, validation)
    return run.progress.scores


def _gradients(run: Run, called: Any, batches: Iterator[Batch]) -> tuple[list[Batch], dict[str, Tensor], float]:
    """Add up the gradients of as many batches as a step takes: these, their mean losses, and the seconds waited for."""
    device, count = run.accelerator.device, run.settings.accumulate
    taken, losses, waited = [], {}, 0.0
    for part in range(1, count + 1):
        began = time.perf_counter()
        taken.append(next(batches).to(device))
        waited += time.perf_counter() - began
        with nullcontext() if part == count else run.accelerator.no_sync(called):
            with torch.autocast(device.type, torch.bfloat16, enabled=run.settings.precision == "bfloat16"):
                found = losses_of(called(taken[-1]))
            check_names(found, losses or found)
            (found["total"] / count).backward()  # Accelerate's divides by a launcher's number
        for name, value in found.items():
            losses[name] = losses.get(name, 0) + value.detach() / count
    return taken, losses, waited


def _with_samples(loader: Loader, run: Run, length: int) -> Iterator[Batch]:
    """The batches of which every process has a sample: without one it could not take part. Counts what is skipped.

    Raises:
        SampleError: If there is none in an epoch.
    """
    own, without = run.accelerator, 0
    for batch in loader:
        counts: Any = own.reduce(torch.tensor([len(batch.skipped), not len(batch)], device=own.device), reduction="sum")
        skipped, lacking = counts.tolist()
        run.progress.skipped += skipped
        without = without + 1 if lacking else 0
        if not lacking:
            yield batch
        elif without * loader.batch_size >= length + loader.batch_size:
            last = "".join(f"\n  {line}" for line in batch.skipped)
            raise SampleError(f"in a whole epoch no batch has a sample for every process; left out of the last:{last}")


def _check_kinds(step: object, source: object, settings: object, validation: object) -> None:
    """Check what would otherwise fail far from here, or after the run's folder was begun."""
    if not hasattr(step, "parameter_groups"):
        rule = "a mattekit.training.Step, a network with its losses, such as PPMattingStep(model)"
        raise TypeError(f"step must be {rule}, got a {type(step).__name__}")
    if not isinstance(settings, Settings):
        raise TypeError(f"settings must be mattekit.training.Settings, got a {type(settings).__name__}")
    check_source("source", source)
    if validation is not None:
        check_source("validation", validation)


def _kernels(size: int) -> RandomKernels:
    """Where a sample has no trimap: transitions as wide beside the crop as PaddleSeg's beside 512 pixels."""
    least, largest = (max(1, round(count * size / 512)) for count in PADDLESEG_KERNELS.iterations)
    return dataclasses.replace(PADDLESEG_KERNELS, iterations=(least, largest))

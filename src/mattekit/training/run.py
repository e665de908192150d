"""A run: what is trained, how far it is, and the folder that keeps it."""

import dataclasses
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mattekit import checkpoints
from mattekit.data import Position, Source
from mattekit.photos import write_atomically
from mattekit.photos.atomic import clear_abandoned
from mattekit.training import processes
from mattekit.training.average import moving_average
from mattekit.training.checkpoint import (
    Progress,
    ResumeError,
    TrainingError,
    random_state,
    read_state,
    restore_random_state,
    write_state,
)
from mattekit.training.logs import Log
from mattekit.training.settings import Settings, rate_factor
from mattekit.training.sheets import SHEET, write_sheets
from mattekit.training.step import Step
from mattekit.training.validation import read, validate

if TYPE_CHECKING:
    from accelerate import Accelerator


class Run:
    """What a loop trains, and what it keeps of it.

    Args:
        step: The model and its losses; it is brought to the device and set to training.
        settings: Of the optimiser, the average and the seed.
        folder: Where the run is kept; made by the main process.
        identity: What a checkpoint must have in common with this run.
        accelerator: The processes.
        resume: Go on from the folder's checkpoint, if there is one.

    Attributes:
        progress: How far it is.
        optimiser: With a group for each of the step's.
        average: The moving average, or None.
        log_sums: What the checkpoint's log had not written yet.

    Raises:
        ResumeError: If the folder holds a run and ``resume`` is off, or another run, or not the same for every process.
    """

    def __init__(
        self,
        step: Step,
        settings: Settings,
        folder: Path,
        identity: Mapping[str, Any],
        accelerator: "Accelerator",
        *,
        resume: bool,
    ) -> None:
        self.step, self.settings, self.folder = step, settings, folder
        self.identity, self.accelerator = identity, accelerator
        state = self._found(resume)
        if accelerator.is_main_process:
            folder.mkdir(parents=True, exist_ok=True)
            for written in (folder, folder / "sheets"):
                clear_abandoned(written)  # by a run that was killed while it wrote
            write_atomically(folder / "settings.toml", lambda file: file.write(settings.to_toml().encode()))
        seed = settings.seed + accelerator.process_index
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        if settings.channels_last:
            step.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]: torch's types lack it
        step.to(accelerator.device).train()
        self.optimiser = make_optimiser(step, settings)
        self.average = moving_average(step, settings.ema) if settings.ema else None
        self.progress = Progress()
        self.log_sums: tuple[dict[str, Tensor], int] = {}, 0
        if state is not None:
            self._restore(state)

    @property
    def kept(self) -> Step:
        """What is validated and saved, the average, if there is one."""
        return self.step if self.average is None else self.average.module  # pyright: ignore[reportReturnType]: torch's

    def is_due(self, every: int) -> bool:
        """Whether something is to be done now that is done every so many iterations (0: never), and at the end."""
        done = self.progress.iteration
        return done == self.settings.iterations or bool(every and done % every == 0)

    def set_rate(self) -> float:
        """Give each group its learning rate for the next step, and return the whole rate."""
        rate = self.settings.learning_rate * rate_factor(self.settings, self.progress.iteration)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("rate", 1.0)
        return rate

    def update(self) -> None:
        """Have the weights follow their gradients, and the average follow the weights."""
        self.optimiser.step()
        self.optimiser.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.step)
        self.progress.iteration += 1

    def keep(self, log: Log, validation: Source | None) -> None:
        """Write the checkpoint, validate and draw, if one of them is due.

        The checkpoint is first, so that a sample that cannot be read costs no iteration. What was seen of the samples
        is kept by a second one: a run that was stopped between the two begins with `look`.
        """
        if self.is_due(self.settings.checkpoint_every) or self._is_to_look(validation):
            self.save(log)
        self.look(log, validation)

    def look(self, log: Log, validation: Source | None) -> None:
        """Validate and draw, if that is due and was not done yet after this iteration, and keep that it was."""
        if validation is None or not self._is_to_look(validation):
            return
        if self.is_due(self.settings.validate_every):
            self.validate(validation, log)
        if self.is_due(self.settings.sheet_every):
            self.draw(validation)
        self.progress.looked = self.progress.iteration
        self._save_state(log)

    def validate(self, source: Source, log: Log) -> None:
        """Score what is kept, and save it if it is the best so far."""
        own = self.accelerator
        scores = validate(
            self.kept.model,
            source,
            rank=own.process_index,
            processes=own.num_processes,
            device=own.device,
            skip_errors=self.settings.skip_errors,
        )
        self.progress.scores = scores
        log.validation(self.progress.iteration, scores)
        if scores["SAD"] < self.progress.best:
            self.progress.best = scores["SAD"]
            self._save_weights("best.safetensors")

    def draw(self, source: Source) -> None:
        """Write sheets of some samples."""
        if self.accelerator.is_main_process:
            samples = list(read(source, range(min(SHEET, len(source))), skip_errors=self.settings.skip_errors))
            if samples:
                write_sheets(self.folder / "sheets", self.progress.iteration, self.kept.model, samples)

    def save(self, log: Log) -> None:
        """Write the last weights and the checkpoint.

        The weights are first: a run that is killed between the two writes them again, where it would take a checkpoint
        as a sign that they are there.
        """
        self._save_weights("last.safetensors")
        self._save_state(log)

    def _save_state(self, log: Log) -> None:
        sums = {name: value.cpu() for name, value in log.sums.items()}
        own = {"random": random_state(), "log": (sums, log.count)}
        everyone = processes.gathered(self.accelerator, own)
        if self.accelerator.is_main_process:
            state = {
                "identity": self.identity,
                "step": self.step.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "progress": dataclasses.asdict(self.progress),
                "processes": everyone,
            }
            write_state(self.folder / "state.pt", state)

    def _is_to_look(self, validation: Source | None) -> bool:
        is_due = any(map(self.is_due, (self.settings.validate_every, self.settings.sheet_every)))
        return validation is not None and is_due and self.progress.looked != self.progress.iteration

    def _found(self, resume: bool) -> dict[str, Any] | None:
        """The checkpoint, if there is one. Each process looks for itself, perhaps on a disk of its own."""
        path = self.folder / "state.pt"
        state = refused = None
        try:
            if path.exists() and not resume:
                raise ResumeError(f"{self.folder} holds a run already: resume it, or take another folder")
            if path.exists():
                state = read_state(path, self.identity)
        except ResumeError as error:
            refused = error
        found = str(refused or ("no checkpoint" if state is None else f"iteration {state['progress']['iteration']}"))
        everyone = processes.gathered(self.accelerator, found)
        if refused is not None:
            raise refused
        if len(set(everyone)) > 1:
            said = ", ".join(f"{what} in process {rank}" for rank, what in enumerate(everyone))
            raise ResumeError(
                f"{path} must be the same for all processes, got {said}: put it where all of them read it"
            )
        return state

    def _restore(self, state: Mapping[str, Any]) -> None:
        try:
            self.step.load_state_dict(state["step"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError) as error:
            of = f"{self.folder / 'state.pt'} is of another run, and cannot be resumed"
            raise ResumeError(f"{of}: the step has other parameters: {error}") from error
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.progress = Progress(**{**state["progress"], "position": Position(**state["progress"]["position"])})
        own = state["processes"][self.accelerator.process_index]
        sums, count = own["log"]
        self.log_sums = {name: value.to(self.accelerator.device) for name, value in sums.items()}, count
        restore_random_state(own["random"])

    def _save_weights(self, name: str) -> None:
        if not self.accelerator.is_main_process:
            return
        path = self.folder / name
        try:
            checkpoints.save(self.kept.model, path)
        except OSError as error:
            raise TrainingError(f"the weights could not be written to {path}: {error.strerror or error}") from error


def make_optimiser(step: Step, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser that settings describe, for the parameter groups of a step."""
    groups = step.parameter_groups()
    rate = settings.learning_rate
    options: dict[str, Any] = {"weight_decay": settings.weight_decay}
    if all(parameter.device.type in ("cpu", "cuda") for parameter in step.parameters()):
        options["fused"] = True  # one pass over the memory
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, rate, momentum=settings.momentum, **options)
    return torch.optim.AdamW(groups, rate, betas=(settings.momentum, 0.999), **options)

"""What a run shows: a progress bar, a CSV, TensorBoard on request."""

import csv
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from mattekit._progress import hidden
from mattekit.photos import write_atomically
from mattekit.training.checkpoint import ResumeError
from mattekit.training.settings import Settings

if TYPE_CHECKING:
    from accelerate import Accelerator

COLUMNS = frozenset(
    {"iteration", "epoch", "learning_rate", "gradient_norm", "skipped", "images_per_second", "waiting_for_data"}
)
"""What ``log.csv`` has beside the losses."""


class Log:
    """The log of a run, which goes on where a checkpoint was written: later lines are dropped.

    Used as a context; only the main process writes.

    Args:
        folder: Gets ``log.csv`` and ``validation.csv``.
        settings: How often a line is written, and whether for TensorBoard too.
        iteration: Where the run goes on.
        validated: Whether it was validated there already.
        accelerator: The processes, of which the main one writes.
        progress: Show a bar.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        iteration: int,
        *,
        validated: bool,
        accelerator: "Accelerator",
        progress: bool,
    ) -> None:
        self.folder = folder
        self.accelerator = accelerator
        self.is_main = is_main = accelerator.is_main_process
        self.sums: dict[str, Tensor] = {}
        self.count = 0
        self._images, self._waited, self._begun = 0, 0.0, time.perf_counter()
        self._board = _tensorboard(folder, iteration) if is_main and settings.tensorboard else None
        self._bar = tqdm(
            total=settings.iterations,
            initial=iteration,
            desc="training" if accelerator.num_processes == 1 else f"training in {accelerator.num_processes} processes",
            unit="step",
            disable=hidden(is_main and progress),
        )
        if is_main:
            _cut(folder / "log.csv", iteration)
            _cut(folder / "validation.csv", iteration if validated else iteration - 1)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        if self._board is not None:
            self._board.close()

    def add(self, values: Mapping[str, Tensor], *, images: int, waited: float) -> None:
        """Count a step: its losses, its images, and how many seconds it waited for them.

        Raises:
            ValueError: If the losses are not those of the step before, of which a line has the mean.
        """
        check_names(values, self.sums or values)
        for name, value in values.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1
        self._images += images
        self._waited += waited
        self._bar.update()

    def line(self, iteration: int, others: Mapping[str, Any]) -> None:
        """Write the means since the last line, over all processes, and others, and begin anew."""
        means = self._means()
        seconds = max(time.perf_counter() - self._begun, 1e-9)
        row = {
            "iteration": iteration,
            **means,
            **others,
            "images_per_second": self._images / seconds,
            "waiting_for_data": self._waited / seconds,
        }
        self.sums, self.count = {}, 0
        self._images, self._waited, self._begun = 0, 0.0, time.perf_counter()
        if not self.is_main:
            return
        _append(self.folder / "log.csv", row)
        self._scalars("training", row)
        shown = {name: f"{value:.3f}" for name, value in means.items()}
        shown["img/s"] = f"{row['images_per_second']:.1f}"
        shown["waiting"] = f"{row['waiting_for_data']:.0%}"
        self._bar.set_postfix(shown)

    def validation(self, iteration: int, scores: Mapping[str, float]) -> None:
        """Write a validation's scores; the time it took counts for no line."""
        if self.is_main:
            row = {"iteration": iteration, **scores}
            _append(self.folder / "validation.csv", row)
            self._scalars("validation", row)
            if not self._bar.disable:
                shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
                self._bar.write(f"iteration {iteration}: {shown}", file=sys.stderr)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave what is done within out of the speed."""
        began = time.perf_counter()
        yield
        self._begun += time.perf_counter() - began

    def _means(self) -> dict[str, float]:
        values = torch.stack(list(self.sums.values())) / self.count
        means: Any = self.accelerator.reduce(values, reduction="mean")
        return dict(zip(self.sums, means.tolist(), strict=True))

    def _scalars(self, group: str, row: Mapping[str, Any]) -> None:
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(f"{group}/{name}", value, row["iteration"])


def _tensorboard(folder: Path, iteration: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("tensorboard must be installed where the setting is on: pip install tensorboard") from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=iteration + 1)


def check_names(losses: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    """Check that a step has the losses of the first one, which are the columns of a log."""
    if losses.keys() != first.keys():
        raise ValueError(f"losses must be at each step {', '.join(first)}, got {', '.join(losses)}")


def _append(path: Path, row: Mapping[str, Any]) -> None:
    """Write a line below the names that the file begins with, or begin it."""
    with path.open("a+", newline="", encoding="utf-8") as file:
        file.seek(0)
        names = next(csv.reader(file), None)
        writer = csv.writer(file)
        if names is None:
            names = list(row)
            writer.writerow(names)
        elif row.keys() != set(names):
            raise ValueError(f"{path} must have the columns {', '.join(row)} to go on, got {', '.join(names)}")
        values = [row[name] for name in names]
        writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in values])


def _cut(path: Path, iteration: int) -> None:
    """Drop the lines beyond an iteration, and one that was being written when the run was killed."""
    if not path.exists():
        return
    head, *rows = path.read_bytes().splitlines(keepends=True) or [b""]
    kept = []
    for number, row in enumerate(rows, 2):
        if row.endswith(b"\n") and _iteration(row, f"{path}, line {number}") <= iteration:
            kept.append(row)
    text = b"".join([head, *kept]) if kept else b""
    write_atomically(path, lambda file: file.write(text))


def _iteration(row: bytes, where: str) -> int:
    first = row.partition(b",")[0].strip()
    try:
        return int(first)
    except ValueError as error:
        said = first.decode(errors="replace")
        raise ResumeError(f"{where} must begin with an iteration, got {said!r}: mend or delete the line") from error

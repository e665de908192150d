"""The paper's Tables 3 and 4: the same training, with one part of the network changed at a time."""

import dataclasses
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mattekit.data import Source
from mattekit.data.transforms import Transform
from mattekit.training.loop import train
from mattekit.training.settings import Settings
from mattekit.training.step import Step, pp_matting_step

SCORES = ("SAD", "MSE", "Grad", "Conn")


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table: what the paper calls it, and the settings that it stands for."""

    title: str
    guidance: tuple[int, ...]
    fusion: str

    @property
    def name(self) -> str:
        """The name of its runs' folders."""
        return f"guidance-{'-'.join(map(str, self.guidance)) or 'none'}-{self.fusion}"


TABLES: Mapping[int, tuple[Row, ...]] = {
    3: (
        Row("w/o GF", (), "replace"),
        Row("5", (5,), "replace"),
        Row("1, 3, 5", (1, 3, 5), "replace"),
        Row("1, 2, 3, 4, 5", (1, 2, 3, 4, 5), "replace"),
    ),
    4: (
        Row("w/o FM", (1, 3, 5), "detail"),
        Row("Conv FM", (1, 3, 5), "conv"),
        Row("Rep FM", (1, 3, 5), "replace"),
    ),
}
"""The rows of the paper's tables; "1, 3, 5" and "Rep FM" are one network."""


@dataclasses.dataclass(frozen=True)
class AblationResult:
    """The scores of all runs.

    Attributes:
        scores: Of each row's name, the validation scores of its runs, one a seed.
        tables: Which tables were asked for.
    """

    scores: Mapping[str, Sequence[Mapping[str, float]]]
    tables: tuple[int, ...]

    def __str__(self) -> str:
        """The tables as the paper has them: the mean over the seeds, and ± the spread (standard deviation) after it."""
        return "\n\n".join(self._table(number) for number in self.tables)

    def _table(self, number: int) -> str:
        lines = [f"Table {number}".ljust(16) + "".join(name.rjust(20) for name in SCORES)]
        for row in TABLES[number]:
            runs = self.scores[row.name]
            lines.append(row.title.ljust(16) + "".join(_cell([run[name] for run in runs]).rjust(20) for name in SCORES))
        return "\n".join(lines)


def ablate(
    source: Source,
    validation: Source,
    settings: Settings,
    folder: str | os.PathLike[str],
    *,
    tables: Sequence[int] = (3, 4),
    seeds: Sequence[int] = (0, 1, 2),
    make_step: Callable[[Settings], Step] = pp_matting_step,
    transform: Transform | None = None,
    progress: bool = False,
) -> AblationResult:
    """Train every row of the paper's ablations on the same data, for the same budget and with the same seeds.

    Each run is kept in a folder of its own. What was done is not done again, so that a second call goes on where the
    first was stopped.

    Args:
        source: As `train` has it.
        validation: As `train` has it.
        settings: Of every run; ``guidance``, ``fusion`` and ``seed`` are set for each.
        folder: Where the runs are kept.
        tables: 3, 4 or both.
        seeds: One run of each row for each of them.
        make_step: Makes the step of a run; another one trains other networks than those that names tell.
        transform: As `train` has it.
        progress: Show a bar for each run.

    Returns:
        All scores; as a string they are the paper's tables.

    Raises:
        ValueError: If a table or the seeds are none, or ``weights`` are set, which bring their own parts along.
        TrainingError: As `train`.

    Source:
        Section 4.4, where each row was trained for 100,000 iterations on Distinctions-646.

    Example:
        >>> import tempfile
        >>> from mattekit.data import SyntheticMattes
        >>> settings = Settings(encoder="hrnet_w18_small_v1", size=32, batch_size=2, workers=0, iterations=1)
        >>> data = SyntheticMattes(length=4, size=32), SyntheticMattes(seed=1, length=1, size=32)
        >>> result = ablate(*data, settings, tempfile.mkdtemp(), tables=[4], seeds=[0])
        >>> print(result)  # doctest: +ELLIPSIS
        Table 4                          SAD                 MSE                Grad                Conn
        w/o FM ...
        Conv FM ...
        Rep FM ...
    """
    if not tables or not set(tables) <= TABLES.keys():
        raise ValueError(f"tables must be 3, 4 or both, got {list(tables)}")
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds must be different numbers, at least one, got {list(seeds)}")
    if settings.weights:
        raise ValueError(f"weights must be left out: they bring their own parts along, got {settings.weights!r}")
    rows = {row.name: row for number in tables for row in TABLES[number]}
    runs = [  # all of them are made before one begins
        (name, dataclasses.replace(settings, guidance=row.guidance, fusion=row.fusion, seed=seed))
        for name, row in rows.items()
        for seed in seeds
    ]
    scores: dict[str, list[dict[str, float]]] = {}
    for name, own in runs:
        options: dict[str, Any] = {"transform": transform, "validation": validation, "progress": progress}
        run = Path(folder) / name / f"seed-{own.seed}"
        scores.setdefault(name, []).append(train(make_step(own), source, own, run, resume=True, **options))
    return AblationResult(scores, tuple(tables))


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4g}{spread}"

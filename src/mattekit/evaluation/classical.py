"""Yardsticks: mattes from trimaps by methods that learn nothing, as PyMatting has them."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from mattekit._checks import check_choice
from mattekit._progress import hidden
from mattekit.evaluation.folders import PathLike
from mattekit.evaluation.matching import Pair, match_pairs
from mattekit.evaluation.pool import Outcome, run_all
from mattekit.photos import read_image, read_matte, write_atomically, write_image
from mattekit.photos.atomic import check_apart
from mattekit.photos.writing import to_uint8

CLASSICAL = {
    "closed_form": "estimate_alpha_cf",
    "knn": "estimate_alpha_knn",
    "random_walk": "estimate_alpha_rw",
    "learning_based": "estimate_alpha_lbdm",
}
"""PyMatting's function, by the method's name."""


@dataclass(frozen=True)
class _Task:
    """A matte to make, with a hash of all that it is made of, which is kept beside it."""

    pair: Pair
    matte: Path
    key: str

    @property
    def stamp(self) -> Path:
        return self.matte.with_suffix(".sha256")

    def is_done(self) -> bool:
        return self.matte.is_file() and self.stamp.is_file() and self.stamp.read_text() == self.key


@dataclass(frozen=True)
class _Estimating:
    """How mattes are made, in whatever process."""

    method: str

    def __call__(self, task: _Task) -> Outcome[bool]:
        try:
            matte = self._estimate(task.pair)
            task.stamp.unlink(missing_ok=True)  # a matte must never stand beside another one's stamp
            write_image(task.matte, matte)
            write_atomically(task.stamp, lambda file: file.write(task.key.encode()))
            return Outcome(True)
        except Exception as error:
            return Outcome(failure=f"{type(error).__name__}: {error}")

    def _estimate(self, pair: Pair) -> np.ndarray:
        from mattekit import trimap  # torch comes with it

        known = trimap.validate(read_matte(pair.trimap))
        scale = np.select([known == trimap.BACKGROUND, known == trimap.FOREGROUND], [0.0, 1.0], 0.5)
        alpha = getattr(_pymatting(), CLASSICAL[self.method])(read_image(pair.photo) / 255, scale)
        return to_uint8(alpha)


def estimate_mattes(
    method: str,
    photo_dir: PathLike,
    trimap_dir: PathLike,
    out_dir: PathLike,
    *,
    names: Collection[str] | None = None,
    workers: int = 1,
    progress: bool = False,
) -> dict[str, str]:
    """Make mattes from trimaps by a method that learns nothing. It needs PyMatting, the extra ``classical``.

    A matte whose photo, trimap, method and version of PyMatting are what they were is not made again: a hash of them
    stands beside it. So what was stopped goes on where it was. Where PyMatting has never run it compiles itself first,
    which takes some minutes.

    Args:
        method: "closed_form", "knn", "random_walk" or "learning_based".
        photo_dir: Folder of photos.
        trimap_dir: Folder of trimaps: 0, 128 and 255. A photo is of its trimap's name, without suffix, and size.
        out_dir: Where mattes go, as NAME.png of 8 bits, with NAME.sha256 beside each.
        names: The images to make mattes of; None means every trimap's.
        workers: As in :func:`evaluate_folders`.
        progress: Show a progress bar on stderr.

    Returns:
        What went wrong, by name of the image; empty where nothing did.

    Raises:
        FolderError: If a photo or trimap is missing, unreadable, ambiguous or of the wrong size: everything is named,
            and nothing has been computed.
        ImportError: If PyMatting is needed and not installed.
        ValueError: If the method is unknown, if there is less than one worker, or if a matte would take the place of
            a photo or trimap.

    Source:
        Levin et al., CVPR 2006 ("closed_form"); Chen et al., CVPR 2012 ("knn"); Grady et al., VIIP 2005
        ("random_walk"); Zheng and Kambhamettu, ICCV 2009 ("learning_based"); each as PyMatting has it, with its
        settings.

    Example:
        >>> estimate_mattes("closed_form", "photos", "trimaps", "mattes/closed_form")  # doctest: +SKIP
        {}
    """
    from tqdm import tqdm

    check_choice("method", method, tuple(CLASSICAL))
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    pairs = match_pairs(Path(photo_dir), Path(trimap_dir), names)
    mattes = [Path(out_dir) / f"{pair.name}.png" for pair in pairs]
    check_apart(mattes, [path for pair in pairs for path in (pair.photo, pair.trimap)])
    tasks = [_Task(pair, matte, _key(method, pair)) for pair, matte in zip(pairs, mattes, strict=True)]
    tasks = [task for task in tasks if not task.is_done()]
    if not tasks:
        return {}
    _pymatting()  # here, so that it compiles itself once and not once a worker
    outcomes = run_all(tasks, _Estimating(method), min(workers, len(tasks)))
    bar = tqdm(outcomes, total=len(tasks), unit="matte", disable=hidden(progress))
    failures = {task.pair.name: outcome.failure for task, outcome in bar if outcome.result is None}
    return dict(sorted(failures.items()))


def _key(method: str, pair: Pair) -> str:
    parts = method.encode(), _version().encode(), pair.photo.read_bytes(), pair.trimap.read_bytes()
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pymatting")
    except PackageNotFoundError as error:
        raise ImportError("classical methods need PyMatting: pip install pymatting") from error


def _pymatting() -> ModuleType:
    return importlib.import_module("pymatting")

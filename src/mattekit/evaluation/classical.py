"""Yardsticks: mattes from trimaps by methods that learn nothing, as PyMatting has them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from mattekit import trimap as trimaps
from mattekit._checks import check_choice
from mattekit.evaluation.folders import PathLike
from mattekit.evaluation.matching import FolderError, match
from mattekit.evaluation.pool import Outcome, run_all
from mattekit.photos import read_image, read_matte, write_atomically, write_image

CLASSICAL = {
    "closed_form": "estimate_alpha_cf",
    "knn": "estimate_alpha_knn",
    "random_walk": "estimate_alpha_rw",
    "learning_based": "estimate_alpha_lbdm",
}


@dataclass(frozen=True)
class _Task:
    """A matte to make, and the hash of what it is made of, which is kept beside it."""

    name: str
    photo: Path
    trimap: Path
    matte: Path

    @property
    def stamp(self) -> Path:
        return self.matte.with_suffix(".sha256")


@dataclass(frozen=True)
class _Estimating:
    """How a matte is made."""

    method: str
    version: str

    def __call__(self, task: _Task) -> Outcome[bool]:
        try:
            key = self._key(task)
            if task.matte.is_file() and task.stamp.is_file() and task.stamp.read_text() == key:
                return Outcome(False)
            task.stamp.unlink(missing_ok=True)
            write_image(task.matte, self._estimate(task))
            write_atomically(task.stamp, lambda file: file.write(key.encode()))
            return Outcome(True)
        except Exception as error:
            return Outcome(failure=f"{type(error).__name__}: {error}")

    def _key(self, task: _Task) -> str:
        parts = (self.method.encode(), self.version.encode(), task.photo.read_bytes(), task.trimap.read_bytes())
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    def _estimate(self, task: _Task) -> np.ndarray:
        import pymatting

        known = read_matte(task.trimap)
        trimaps.validate(known)
        alpha = getattr(pymatting, CLASSICAL[self.method])(read_image(task.photo) / 255.0, _as_floats(known))
        return (np.clip(alpha, 0, 1) * 255).round().astype(np.uint8)


def _as_floats(known: np.ndarray) -> np.ndarray:
    """0, 128 and 255 as 0, 0.5 and 1."""
    return np.select([known == 0, known == 255], [0.0, 1.0], 0.5)


def estimate_mattes(
    method: str, photo_dir: PathLike, trimap_dir: PathLike, out_dir: PathLike, *, workers: int = 1
) -> dict[str, str]:
    """Make a matte of every trimap by a method that learns nothing. It takes the extra ``mattekit[classical]``.

    A matte whose photo, trimap, method and PyMatting are what they were is not made again: a hash of them stands beside
    it. So what was stopped goes on where it was.

    Args:
        method: "closed_form", "knn", "random_walk" or "learning_based".
        photo_dir: Folder of photos, one of each trimap's name and size, without suffix.
        trimap_dir: Folder of trimaps: 0, 128 and 255.
        out_dir: Where mattes go, as NAME.png, of 8 bits.
        workers: Processes to work in, as in :func:`evaluate_folders`.

    Returns:
        What went wrong, by name of the image; empty where nothing did.

    Raises:
        FolderError: If a photo is missing, or a file is unreadable, ambiguous or of the wrong size.
        ImportError: If PyMatting is not installed.
        ValueError: If the method is unknown, or there are less than one worker.

    Source:
        Levin et al., CVPR 2006; Chen et al., CVPR 2012; Grady et al., VIIP 2005; Zheng and Kambhamettu, ICCV 2009; in
        PyMatting's words for them, with its settings.
    """
    check_choice("method", method, tuple(CLASSICAL))
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    try:
        found = version("pymatting")
    except PackageNotFoundError as error:
        raise ImportError("classical methods need PyMatting: pip install 'mattekit[classical]'") from error
    try:
        items, _ = match(Path(photo_dir), Path(trimap_dir), None)
    except FolderError as error:
        said = [problem.replace("prediction", "photo").replace("ground truth", "trimap") for problem in error.problems]
        raise FolderError(said) from None
    tasks = [_Task(item.name, item.pred, item.alpha, Path(out_dir) / f"{item.name}.png") for item in items]
    outcomes = run_all(tasks, _Estimating(method, found), min(workers, len(tasks)))
    return {task.name: outcome.failure for task, outcome in outcomes if outcome.failure}

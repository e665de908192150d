"""What ``mattekit predict`` shall do: which photos, what is known of them, and where their results go."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STREAM = Path("-")
"""Standard input as a photo, standard output as a folder."""


@dataclass(frozen=True)
class Task:
    """A photo and the name of its results: its own without suffix, below the folder that was given."""

    photo: Path
    name: str


@dataclass(frozen=True)
class Results:
    """What is written of each photo.

    Attributes:
        out: The folder, or `STREAM`.
        kinds: ``alpha``, ``cutout`` or both.
        suffix: That of the format.
    """

    out: Path
    kinds: tuple[str, ...]
    suffix: str

    def paths(self, task: Task) -> dict[str, Path]:
        """The files of a photo by kind; on standard output none."""
        if self.out == STREAM:
            return {}
        return {kind: self.out / f"{task.name}_{kind}{self.suffix}" for kind in self.kinds}

    def are_there(self, task: Task) -> bool:
        """Whether nothing is missing."""
        paths = self.paths(task)
        return bool(paths) and all(path.exists() for path in paths.values())


def find_tasks(photos: Sequence[Path], *, recursive: bool, out: Path) -> list[Task]:
    """One task a photo, of files as they are given and of what folders hold.

    Raises:
        ValueError: If there is none, if two would overwrite each other's results, if standard input or output is to
            serve several, or if results would be among the photos.
        OSError: If a folder cannot be read.
    """
    from mattekit.photos.folders import IMAGE_SUFFIXES, list_images, walk_images

    tasks = []
    for path in photos:
        if not path.is_dir():
            tasks.append(Task(path, "stdin" if path == STREAM else path.stem))
            continue
        _check_another_folder(out, path)
        found = walk_images(path, but=out) if recursive else list_images(path)
        tasks += [Task(image, str(image.relative_to(path).with_suffix(""))) for image in found]
    if not tasks:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        below = "" if recursive else "; --recursive looks into folders within folders, too"
        raise ValueError(f"there is no photo in {', '.join(map(str, photos))}: no file ends in {suffixes}{below}")
    if len(tasks) > 1 and (STREAM in photos or out == STREAM):
        raise ValueError(f"-, standard input or output, is for one photo, got {len(tasks)}")
    _check_distinct_names(tasks)
    return tasks


def find_hints(option: str, folder: Path | None) -> dict[str, Path]:
    """The trimaps or masks of a folder, and of those below, by the name of their photo.

    Raises:
        ValueError: If there is no such folder, or two files have one name.
    """
    from mattekit.photos.folders import walk_images

    if folder is None:
        return {}
    if not folder.is_dir():
        raise ValueError(f"{option} must be a folder, got {folder}")
    found: dict[str, Path] = {}
    for path in walk_images(folder):
        name = str(path.relative_to(folder).with_suffix(""))
        if name in found:
            raise ValueError(f"{option} must have one file a photo, got {found[name]} and {path}")
        found[name] = path
    return found


def say_what_is_left_out(folders: Sequence[Path], *, recursive: bool, out: Path) -> None:
    """Tell on stderr how many entries of folders are not taken for photos."""
    from mattekit.photos.folders import IMAGE_SUFFIXES, count_others, count_others_below

    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
    which = f"{'links to folders' if recursive else 'sub-folders'}, and files that end in none of {suffixes}"
    for folder in folders:
        if others := count_others_below(folder, but=out) if recursive else count_others(folder):
            print(f"left out of {folder}: {others} ({which})", file=sys.stderr)


def _check_distinct_names(tasks: list[Task]) -> None:
    """Refuse photos whose results would overwrite each other."""
    by_name: dict[str, list[Path]] = {}
    for task in tasks:
        by_name.setdefault(task.name, []).append(task.photo)
    clashes = [", ".join(map(str, paths)) for paths in by_name.values() if len(paths) > 1]
    if clashes:
        raise ValueError("photos must have distinct names without suffix, got " + "; ".join(clashes))


def _check_another_folder(out: Path, folder: Path) -> None:
    """Refuse to write into a folder whose images are all taken for photos: the next run would take the results too."""
    from mattekit.photos.atomic import identity

    if identity(folder) == identity(out):
        raise ValueError(f"--out must be another folder than {folder}, whose images are all photos, got {out}")

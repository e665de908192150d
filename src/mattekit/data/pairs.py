"""Photos with their mattes, matched by name."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mattekit.data.reading import check_one_size, images_by_stem, read_alpha, read_picture, read_trimap
from mattekit.data.sample import Sample
from mattekit.data.sources import DataError, check_index

Folder = str | os.PathLike[str]


class PairFolder:
    """Photos and their mattes in two folders, and what else is known of them in further ones.

    Files belong together whose names without suffix are equal. Samples are in the order of these names.

    Args:
        images: Folder of photos.
        alphas: Folder of mattes.
        trimaps: Folder of trimaps.
        foregrounds: Folder of the foregrounds' colours.
        backgrounds: Folder of the backgrounds, each without its foreground.

    Raises:
        DataError: If a folder is missing or empty, or a photo lacks a file, or a file its photo; all are listed.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for folder, mode in (("image", "RGB"), ("alpha", "L")):
        ...     (root / folder).mkdir()
        ...     Image.new(mode, (6, 4)).save(root / folder / "cat.png")
        >>> source = PairFolder(root / "image", root / "alpha")
        >>> len(source), source(0, np.random.default_rng(0)).name
        (1, 'cat')
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        images: Folder,
        alphas: Folder,
        trimaps: Folder | None = None,
        *,
        foregrounds: Folder | None = None,
        backgrounds: Folder | None = None,
    ) -> None:
        folders = {
            "image": images,
            "alpha": alphas,
            "trimap": trimaps,
            "foreground": foregrounds,
            "background": backgrounds,
        }
        problems: list[str] = []
        given = {field: Path(folder) for field, folder in folders.items() if folder is not None}
        self.files = match({field: images_by_stem(folder, problems) for field, folder in given.items()}, problems)
        if problems:
            raise DataError(sorted(problems))

    def __len__(self) -> int:
        return len(self.files)

    def __call__(self, index: int, rng: np.random.Generator) -> Sample:
        """The photo of an index, as it is on disk."""
        check_index(index, self)
        return read_sample(self.files[index])

    def name_of(self, index: int) -> str:
        """What the photo is called: its file's name without suffix."""
        return self.files[index]["image"].stem

    def group_of(self, index: int) -> Path:
        """The file of the photo."""
        return self.files[index]["image"].resolve()


def match(found: Mapping[str, Mapping[str, Path]], problems: list[str]) -> list[dict[str, Path]]:
    """The files of each sample by field, matched by name with those of the first field, and in the order of names.

    What is missing or left over goes to ``problems``, a line each.
    """
    (first, names), *others = found.items()
    for field, paths in others:
        if names and paths:
            folder, first_folder = next(iter(paths.values())).parent, next(iter(names.values())).parent
            problems += [f"missing {field}: none in {folder} for {names[name]}" for name in names.keys() - paths]
            problems += [f"missing {first}: none in {first_folder} for {paths[name]}" for name in paths.keys() - names]
    whole = set(names).intersection(*(paths for _, paths in others))
    return [{field: paths[name] for field, paths in found.items()} for name in sorted(whole)]


def read_sample(files: dict[str, Path]) -> Sample:
    """A sample from its files, by field."""
    readers = {"alpha": read_alpha, "trimap": read_trimap}
    fields = {field: readers.get(field, read_picture)(path) for field, path in files.items()}
    check_one_size(str(files["image"]), **fields)
    return Sample(**fields, name=files["image"].stem)

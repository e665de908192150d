"""Which files of a folder are images."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".bmp", ".heic", ".heif", ".hif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files directly in a folder, sorted by name; hidden files are left out.

    Args:
        folder: The folder. Its sub-folders are not looked into.

    Returns:
        The paths of all files whose suffix is that of an image, in upper or lower case.

    Raises:
        OSError: If there is no such folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b.png", "a.JPG", "notes.txt"):
        ...     (folder / name).touch()
        >>> [path.name for path in list_images(folder)]
        ['a.JPG', 'b.png']
    """
    return sorted(path for path in _visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def walk_images(folder: str | os.PathLike[str], *, but: str | os.PathLike[str] | None = None) -> list[Path]:
    """The image files of a folder and of all folders below, sorted by path.

    Args:
        folder: The folder. Links to folders are not followed, and hidden files and folders are left out.
        but: A folder below that is left out, as that of the results is.

    Returns:
        The paths of what `list_images` finds in each.
    """
    return sorted(path for each in _walk(folder, but) for path in list_images(each))


def count_others(folder: str | os.PathLike[str]) -> int:
    """How many entries of a folder `list_images` leaves out, hidden ones aside: sub-folders and other files."""
    return len(_visible(folder)) - len(list_images(folder))


def count_others_below(folder: str | os.PathLike[str], *, but: str | os.PathLike[str] | None = None) -> int:
    """How many entries `walk_images` leaves out, hidden ones aside: links to folders, and other files."""
    return sum(
        sum(path.is_symlink() or not path.is_dir() for path in _visible(each)) - len(list_images(each))
        for each in _walk(folder, but)
    )


def expand_folders(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Replace each folder by the images in it and keep files as they are, existing or not."""
    return [found for path in map(Path, paths) for found in (list_images(path) if path.is_dir() else [path])]


def _walk(folder: str | os.PathLike[str], but: str | os.PathLike[str] | None) -> Iterator[str]:
    """The folder and all below, but for hidden ones, ``but``, and what links lead to."""
    left_out = None if but is None else os.path.realpath(but)
    for root, folders, _ in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(root, name)) != left_out
        ]
        yield root


def _visible(folder: str | os.PathLike[str]) -> list[Path]:
    return [path for path in Path(folder).iterdir() if not path.name.startswith(".")]

"""Reading every file of a data set once, to say all that is wrong with it at once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mattekit._progress import hidden
from mattekit.data.layouts import find_folders
from mattekit.data.pairs import Folder, match
from mattekit.data.reading import images_by_stem, read_cutout
from mattekit.photos import read_image, read_matte
from mattekit.photos.decoding import reason
from mattekit.photos.reading import decode_matte, has_colours
from mattekit.trimap import BACKGROUND, FOREGROUND, UNKNOWN


def check_folder(root: Folder, *, progress: bool = False) -> tuple[int, list[str]]:
    """Read every file of a folder of data, and list what is missing, unreadable, of another size or no matte.

    Args:
        root: A folder that `open_folder` opens.
        progress: Show a progress bar.

    Returns:
        How many files were read, and the problems, a line each; none if all is well.

    Raises:
        DataError: If the folders themselves are not those of a data set.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for folder, size in (("image", (6, 4)), ("alpha", (6, 5))):
        ...     (root / folder).mkdir()
        ...     Image.new("L", size).save(root / folder / "cat.png")
        >>> read, problems = check_folder(root)
        >>> for problem in problems:
        ...     print(problem.replace(str(root), "."))
        empty: ./alpha/cat.png is 0 everywhere, so nothing is foreground
        wrong size: ./alpha/cat.png is 6x5, ./image/cat.png is 6x4
    """
    from tqdm import tqdm

    folders = find_folders(Path(root))
    problems: list[str] = []
    found = {field: images_by_stem(folder, problems) for field, folder in folders.items()}
    files = [(field, path) for field, paths in found.items() for path in paths.values()]
    if "image" not in found:
        del found["background"]  # of any name and size
    order = sorted(found, key=("image", "foreground", "alpha", "trimap", "background").index)
    groups = match({field: found[field] for field in order}, problems)
    sizes: dict[Path, tuple[int, int]] = {}
    for field, path in tqdm(files, desc="reading", unit="file", disable=hidden(progress)):
        look = _CHECKS.get(field, _look_at_picture)
        if field == "foreground" and "alpha" not in folders:
            look = _look_at_cutout
        try:
            sizes[path] = look(path, problems)
        except (OSError, MemoryError) as error:
            problems.append(f"unreadable: {path}: {reason(path, error)}")
    for group in groups:
        (_, first), *others = group.items()
        for _, path in others:
            if first in sizes and path in sizes and sizes[first] != sizes[path]:
                problems.append(f"wrong size: {path} is {_by(sizes[path])}, {first} is {_by(sizes[first])}")
    return len(files), sorted(problems)


def _look_at_picture(path: Path, problems: list[str]) -> tuple[int, int]:
    return _size(read_image(path))


def _look_at_cutout(path: Path, problems: list[str]) -> tuple[int, int]:
    _, alpha = read_cutout(path)
    _look_for_foreground(path, alpha, problems)
    return _size(alpha)


def _look_at_alpha(path: Path, problems: list[str]) -> tuple[int, int]:
    decoded = decode_matte(path)
    alpha = decoded.first_channel()
    if has_colours(decoded.pixels):
        problems.append(f"no matte: {path} has colours; a matte is grey")
    _look_for_foreground(path, alpha, problems)
    return _size(alpha)


def _look_for_foreground(path: Path, alpha: np.ndarray, problems: list[str]) -> None:
    if not alpha.any():
        problems.append(f"empty: {path} is 0 everywhere, so nothing is foreground")


def _look_at_trimap(path: Path, problems: list[str]) -> tuple[int, int]:
    trimap = read_matte(path)
    others = np.setdiff1d(trimap, (BACKGROUND, UNKNOWN, FOREGROUND))
    if len(others):
        shown = ", ".join(map(str, others[:5])) + (", …" if len(others) > 5 else "")
        problems.append(f"no trimap: {path} holds {shown} besides 0, 128 and 255")
    return _size(trimap)


_CHECKS: dict[str, Callable[[Path, list[str]], tuple[int, int]]] = {
    "alpha": _look_at_alpha,
    "trimap": _look_at_trimap,
}


def _size(pixels: np.ndarray) -> tuple[int, int]:
    return pixels.shape[1], pixels.shape[0]


def _by(size: tuple[int, int]) -> str:
    return "{}x{}".format(*size)

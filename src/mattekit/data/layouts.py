"""Which folders of a data set hold what, by their names."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from mattekit.data.composites import CompositeFolders
from mattekit.data.pairs import Folder, PairFolder
from mattekit.data.sources import DataError, Source

FOLDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "image": ("image", "images", "photo", "photos", "original", "original_image", "blurred_image", "merged"),
        "alpha": ("alpha", "alphas", "matte", "mattes", "mask", "masks", "gt"),
        "trimap": ("trimap", "trimaps"),
        "foreground": ("foreground", "foregrounds", "fg"),
        "background": ("background", "backgrounds", "bg"),
    }
)
"""What the folders of a data set may be called, in upper or lower case."""


def open_folder(root: Folder) -> Source:
    """Open a folder of data by the names of the folders in it.

    - Photos and mattes, such as ``image/`` and ``alpha/``, perhaps with ``trimap/``, ``foreground/`` and
      ``background/`` for each photo: a `PairFolder`.
    - Foregrounds and backgrounds, such as ``fg/`` and ``bg/``, perhaps with ``alpha/``, and no photos: a
      `CompositeFolders`.
    - ``fg/`` and ``alpha/`` alone: photos and mattes, as PaddleSeg has them.

    Args:
        root: The folder.

    Returns:
        The source.

    Raises:
        DataError: If the folders are none of these, or their files do not fit together.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for folder, mode in (("original", "RGB"), ("mask", "L")):
        ...     (root / folder).mkdir()
        ...     Image.new(mode, (6, 4)).save(root / folder / "cat.png")
        >>> len(open_folder(root))
        1
    """
    found = find_folders(Path(root))
    if "image" in found:
        return PairFolder(
            found["image"],
            found["alpha"],
            found.get("trimap"),
            foregrounds=found.get("foreground"),
            backgrounds=found.get("background"),
        )
    return CompositeFolders(found["foreground"], found["background"], found.get("alpha"))


def find_folders(root: Path) -> dict[str, Path]:
    """The folder of each field of a data set; ``foreground`` and ``alpha`` alone are photos and mattes.

    Raises:
        DataError: If two folders hold the same field, or there are neither photos and mattes nor foregrounds and
            backgrounds.
    """
    if not root.is_dir():
        raise DataError([f"no folder: {root}"])
    found: dict[str, Path] = {}
    problems: list[str] = []
    for path in sorted(path for path in root.iterdir() if path.is_dir()):
        for field, names in FOLDERS.items():
            if path.name.lower() in names:
                if field in found:
                    problems.append(f"ambiguous: {found[field]} and {path} would both hold each sample's {field}")
                found[field] = path
    if "image" not in found and {"foreground", "alpha"} <= found.keys() and "background" not in found:
        found["image"] = found.pop("foreground")
    if not (
        {"image", "alpha"} <= found.keys() or ({"foreground", "background"} <= found.keys() and "image" not in found)
    ):
        shown = ", ".join(path.name for path in sorted(root.iterdir()) if path.is_dir()) or "no folder"
        problems.append(
            f"{root} must hold photos and mattes (such as image/ and alpha/), or foregrounds and backgrounds (such as "
            f"fg/ and bg/), got {shown}"
        )
    if problems:
        raise DataError(problems)
    return found

"""The field's data sets, as their authors distribute them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from mattekit._checks import check_choice
from mattekit.data.fixed import FixedComposites, pair_up, read_names
from mattekit.data.layouts import open_folder
from mattekit.data.pairs import Folder, PairFolder
from mattekit.data.sources import DataError


@dataclass(frozen=True)
class Photos:
    """A data set of photos: the folder of each split."""

    splits: Mapping[str, str]


@dataclass(frozen=True)
class Composites:
    """A data set of foregrounds: the folder of each split, how many backgrounds each gets, and where its files are."""

    splits: Mapping[str, tuple[str, int]]
    foregrounds: tuple[str, ...]
    alphas: tuple[str, ...]
    trimaps: str | None = None


BENCHMARKS: Mapping[str, Photos | Composites] = MappingProxyType(
    {
        "composition-1k": Composites(
            {"train": ("Training_set", 100), "test": ("Test_set", 20)},
            ("Adobe-licensed images/fg", "Other/fg"),
            ("Adobe-licensed images/alpha", "Other/alpha"),
            "Adobe-licensed images/trimaps",
        ),
        "distinctions-646": Composites({"train": ("Train", 100), "test": ("Test", 20)}, ("FG",), ("GT",)),
        "aim-500": Photos({"test": "."}),
        "ppm-100": Photos({"test": "."}),
        "p3m-10k": Photos(
            {"train": "train", "p3m-500-p": "validation/P3M-500-P", "p3m-500-np": "validation/P3M-500-NP"}
        ),
        "am-2k": Photos({"train": "train", "validation": "validation"}),
    }
)


def benchmark(
    name: str, root: Folder, split: str, *, backgrounds: Folder | None = None
) -> PairFolder | FixedComposites:
    """Open one of the field's data sets as its authors distribute it.

    Composites are called ``<foreground>_<k>``. Each foreground is over 100 backgrounds to train and over 20 to test, in
    the order of the data set's own lists, ``*fg*.txt`` and ``*bg*.txt`` in the split's folder. Where there is no list
    of foregrounds, they are taken in the order of their names, and the source's ``notes`` say so.

    Args:
        name: ``"composition-1k"``, ``"distinctions-646"``, ``"aim-500"``, ``"ppm-100"``, ``"p3m-10k"`` or ``"am-2k"``.
        root: Its folder.
        split: ``"train"`` or ``"test"`` of the first two; ``"test"`` of AIM-500 and PPM-100; ``"train"``,
            ``"p3m-500-p"`` or ``"p3m-500-np"`` of P3M-10k; ``"train"`` or ``"validation"`` of AM-2k.
        backgrounds: Folder of the backgrounds of the first two: COCO's ``train2014`` or ``train2017`` to train, Pascal
            VOC 2012's ``JPEGImages`` to test.

    Returns:
        The source.

    Raises:
        ValueError: If there is no such data set or split, backgrounds are needed or not, or the lists do not fit.
        DataError: If the folders or their files are not as they should be; everything is listed.

    Source:
        Section 4.1. The folders' names are those that the authors' code and others' read.

    Example:
        >>> benchmark("ppm-100", "nowhere", "validation")
        Traceback (most recent call last):
        ValueError: split must be one of 'test', got 'validation'
    """
    check_choice("name", name, BENCHMARKS)
    layout, root = BENCHMARKS[name], Path(root)
    check_choice("split", split, layout.splits)
    if isinstance(layout, Composites):
        if backgrounds is None:
            raise ValueError(f"backgrounds must be given for {name}, whose foregrounds come without any")
        return _composites(layout, root, split, Path(backgrounds))
    if backgrounds is not None:
        raise ValueError(f"backgrounds must not be given for {name}, which is of photos")
    source = open_folder(root / layout.splits[split])
    if not isinstance(source, PairFolder):
        raise DataError([f"{root / layout.splits[split]} must hold photos and their mattes"])
    return source


def _composites(layout: Composites, root: Path, split: str, backgrounds: Path) -> FixedComposites:
    folder, each = root / layout.splits[split][0], layout.splits[split][1]
    foreground_list, background_list = _list(folder, "fg"), _list(folder, "bg")
    if background_list is None:
        raise DataError([f"no list of backgrounds: *bg*.txt in {folder}"])
    notes = []
    if foreground_list is not None:
        names = read_names(foreground_list)
    else:
        names = sorted(path.name for part in layout.foregrounds for path in (folder / part).glob("*.*"))
        notes.append(f"no list of foregrounds (*fg*.txt) in {folder}: they are taken in the order of their names")
    pairs = pair_up(
        [_first(folder, layout.foregrounds, name) for name in names],
        [_first(folder, layout.alphas, name) for name in names],
        [_background(backgrounds, name) for name in read_names(background_list)],
        each=each,
    )
    if layout.trimaps and (folder / layout.trimaps).is_dir():
        pairs = [replace(pair, trimap=folder / layout.trimaps / f"{pair.name}.png") for pair in pairs]
    return FixedComposites(pairs, notes=notes)


def _list(folder: Path, kind: str) -> Path | None:
    """The list of a kind in a folder, if there is one."""
    found = sorted(path for path in folder.glob("*.txt") if kind in path.name.lower())
    if len(found) > 1:
        raise DataError([f"ambiguous: {' and '.join(map(str, found))} may each be the list"])
    return found[0] if found else None


def _first(folder: Path, parts: tuple[str, ...], name: str) -> Path:
    """The file in the first of some folders that has it."""
    paths = [folder / part / name for part in parts]
    return next((path for path in paths if path.is_file()), paths[0])


def _background(folder: Path, name: str) -> Path:
    """A background; COCO dropped the prefix of its names after 2014."""
    path = folder / name
    return path if path.is_file() else folder / name.removeprefix("COCO_train2014_")

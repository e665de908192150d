"""Which files of the folders belong together: by name, with everything that does not fit named at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mattekit.photos import list_images
from mattekit.photos.decoding import measure, reason


class FolderError(ValueError):
    """Folders that do not fit together.

    Attributes:
        problems: One line each: files that are missing, left over, unreadable, ambiguous or of the wrong size.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True)
class Item:
    """The files of one image."""

    name: str
    pred: Path
    alpha: Path
    trimap: Path | None


def match(
    pred_dir: Path, alpha_dir: Path, trimap_dir: Path | None, *, but: Collection[str] = (), strict: bool = False
) -> tuple[list[Item], list[str]]:
    """Find what belongs together, with notes on what was left out, or name everything that does not fit.

    What is extra does not fit where `strict` asks for that, and is named beside what is missing: its name may tell why.
    The images that `but` names are passed over, wherever they are.
    """
    problems: list[str] = []
    alphas = _list("ground truth", alpha_dir, problems)
    preds = _list("prediction", pred_dir, problems)
    trimaps = None if trimap_dir is None else _list("trimap", trimap_dir, problems)
    if not (alphas and preds and trimaps != {}):
        raise FolderError(problems)  # what follows would only repeat it for every file
    preds, cutouts = _by_image(preds, alphas, problems)
    for found in (alphas, preds, trimaps or {}):
        for name in but:
            found.pop(name, None)
    if not alphas:
        raise FolderError([f"no images: all of {alpha_dir} are to be left out"])
    notes = [f"left out of {pred_dir}: {cutouts} cut-outs, NAME_cutout beside NAME_alpha"] if cutouts else []
    for kind, folder, found in (("prediction", pred_dir, preds), ("trimap", trimap_dir, trimaps)):
        if found is None:
            continue
        missing = [f"missing {kind}: none in {folder} for {alphas[name]}" for name in alphas if name not in found]
        extra = {name: path for name, path in found.items() if name not in alphas}
        if strict or missing:
            problems += [*missing, *(f"extra {kind}: {path} has no ground truth" for path in extra.values())]
        elif extra:
            notes.append(f"left out of {folder}: {kind}s without a ground truth: {first_few(extra.values())}")
            for name in extra:
                del found[name]
    sizes: dict[Path, tuple[int, int] | None] = {}
    for path in [*alphas.values(), *preds.values(), *(trimaps or {}).values()]:
        sizes[path] = _size(path, problems)
    for kind, found in (("prediction", preds), ("trimap", trimaps or {})):
        for name in found.keys() & alphas.keys():
            size, wanted = sizes[found[name]], sizes[alphas[name]]
            if size and wanted and size != wanted:
                problems.append(f"wrong size: {kind} {found[name]} is {_by(size)}, {alphas[name]} is {_by(wanted)}")
    if problems:
        raise FolderError(sorted(problems))
    items = [Item(name, preds[name], alphas[name], trimaps[name] if trimaps else None) for name in sorted(alphas)]
    return items, notes


def not_there(
    names: Collection[str], pred_dirs: Collection[Path], alpha_dir: Path, trimap_dir: Path | None
) -> list[str]:
    """A line for each image that is to be passed over and is in none of the folders."""
    if not names:
        return []
    alphas = _list("", alpha_dir, [])
    known = {*alphas, *({} if trimap_dir is None else _list("", trimap_dir, []))}
    for folder in pred_dirs:
        known |= _by_image(_list("", folder, []), alphas, [])[0].keys()
    return [f"no image to leave out: {name} is in no folder" for name in sorted({*names} - known)]


@dataclass(frozen=True)
class Pair:
    """A photo and its trimap."""

    name: str
    photo: Path
    trimap: Path


def match_pairs(photo_dir: Path, trimap_dir: Path, names: Collection[str] | None = None) -> list[Pair]:
    """Find the photo and the trimap of each name (None: of each trimap), or name everything that does not fit."""
    problems: list[str] = []
    photos = _list("photo", photo_dir, problems)
    trimaps = _list("trimap", trimap_dir, problems)
    if not (photos and trimaps):
        raise FolderError(problems)
    names = trimaps if names is None else names
    problems += _missing("photo", photo_dir, photos, names) + _missing("trimap", trimap_dir, trimaps, names)
    pairs = [Pair(name, photos[name], trimaps[name]) for name in sorted({*names} & photos.keys() & trimaps.keys())]
    for pair in pairs:
        size, wanted = _size(pair.photo, problems), _size(pair.trimap, problems)
        if size and wanted and size != wanted:
            problems.append(f"wrong size: photo {pair.photo} is {_by(size)}, {pair.trimap} is {_by(wanted)}")
    if problems:
        raise FolderError(sorted(problems))
    return pairs


def match_photos(photo_dir: Path, names: Collection[str]) -> dict[str, Path]:
    """Find the photo of each name, or name everything that does not fit."""
    problems: list[str] = []
    photos = _list("photo", photo_dir, problems)
    problems += _missing("photo", photo_dir, photos, names) if photos else []
    if problems:
        raise FolderError(problems)
    return {name: photos[name] for name in names}


def _missing(kind: str, folder: Path, found: Collection[str], names: Collection[str]) -> list[str]:
    return [f"missing {kind}: none in {folder} for {name}" for name in names if name not in found]


def first_few(paths: Collection[Path]) -> str:
    """The first few names."""
    first = ", ".join(path.name for path in sorted(paths)[:5])
    return first if len(paths) <= 5 else f"{first} and {len(paths) - 5} more"


def _by_image(preds: dict[str, Path], alphas: dict[str, Path], problems: list[str]) -> tuple[dict[str, Path], int]:
    """The predictions by ground truth, NAME_alpha being one of NAME, and the number of cut-outs left out.

    These are the names that `mattekit predict` gives. A ground truth of just that name goes first.
    """
    found: dict[str, Path] = {}
    cutouts = 0
    for name, path in preds.items():
        image = name
        if name not in alphas:
            if name.endswith("_cutout") and name.removesuffix("_cutout") + "_alpha" in preds:
                cutouts += 1
                continue
            if name.removesuffix("_alpha") in alphas:
                image = name.removesuffix("_alpha")
        if image in found:
            problems.append(f"ambiguous prediction: {found[image]} and {path} are both of {alphas[image]}")
        found[image] = path
    return found, cutouts


def _list(kind: str, folder: Path, problems: list[str]) -> dict[str, Path]:
    """The images of a folder by stem."""
    found: dict[str, Path] = {}
    if not folder.is_dir():
        problems.append(f"no folder of {kind}s: {folder}")
        return found
    for path in list_images(folder):
        if path.stem in found:
            problems.append(f"ambiguous {kind}: {found[path.stem]} and {path} have one name")
        found[path.stem] = path
    if not found:
        problems.append(f"no images in the folder of {kind}s: {folder}")
    return found


def _size(path: Path, problems: list[str]) -> tuple[int, int] | None:
    try:
        return measure(path)
    except (OSError, MemoryError) as error:
        problems.append(f"unreadable: {path}: {reason(path, error)}")
        return None


def _by(size: tuple[int, int]) -> str:
    height, width = size
    return f"{width}x{height}"

"""Composites of fixed pairs: the protocols of section 4.1, and the list files of PaddleSeg."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from mattekit._checks import check_number, check_positive
from mattekit.data.pairs import Folder
from mattekit.data.reading import check_one_size, read_alpha, read_picture, read_trimap
from mattekit.data.sample import Sample
from mattekit.data.sources import DataError, check_index


@dataclass(frozen=True)
class Pair:
    """The files of one composite, or of a photo, which has no background.

    Attributes:
        name: What the sample is called.
        foreground: The foreground's colours, or the photo.
        alpha: Its matte.
        background: What to put it over.
        trimap: Its trimap.
    """

    name: str
    foreground: Path
    alpha: Path
    background: Path | None = None
    trimap: Path | None = None


class FixedComposites:
    """Foregrounds over backgrounds that are given, as the test sets of the common benchmarks are made.

    A background smaller than the foreground is enlarged by the larger of the two ratios, its sides rounded up, with
    Pillow's bicubic filter; what reaches beyond the foreground's size is cut off at the right and at the bottom; the
    sum αF + (1 - α)B is truncated to 8 bits.

    Args:
        pairs: The files of each sample.
        notes: What whoever uses the source should know.

    Raises:
        DataError: If a file is missing; all are listed.

    Source:
        The script that comes with Composition-1k, as its public copies agree on it; see the page on data for what of
        this could be checked.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name, mode, size in (("fg", "RGB", (6, 4)), ("alpha", "L", (6, 4)), ("bg", "RGB", (3, 3))):
        ...     Image.new(mode, size).save(root / f"{name}.png")
        >>> source = FixedComposites([Pair("one", root / "fg.png", root / "alpha.png", root / "bg.png")])
        >>> source(0, np.random.default_rng(0)).size
        (4, 6)
    """

    def __init__(self, pairs: Sequence[Pair], *, notes: Sequence[str] = ()) -> None:
        self.pairs = tuple(pairs)
        self.notes = tuple(notes)
        self.files = [
            {field: getattr(pair, field) for field in ("foreground", "alpha", "background", "trimap")}
            for pair in self.pairs
        ]
        paths = {path for files in self.files for path in files.values() if path is not None}
        if missing := sorted(path for path in paths if not path.is_file()):
            raise DataError([f"no file: {path}" for path in missing])

    def __len__(self) -> int:
        return len(self.pairs)

    def __call__(self, index: int, rng: np.random.Generator) -> Sample:
        """The composite of an index; the generator is not used."""
        check_index(index, self)
        pair = self.pairs[index]
        exact = read_alpha(pair.alpha, np.float64)  # the truncation below shows the last bit of a float32
        foreground, alpha = read_picture(pair.foreground), exact.astype(np.float32)
        trimap = None if pair.trimap is None else read_trimap(pair.trimap)
        check_one_size(str(pair.foreground), foreground=foreground, alpha=alpha, trimap=trimap)
        if pair.background is None:
            return Sample(foreground, alpha, trimap=trimap, name=pair.name)
        background = _cover(read_picture(pair.background), alpha.shape)
        share = exact[..., None]
        image = (share * foreground + (1 - share) * background).astype(np.uint8)
        return Sample(image, alpha, foreground, background, trimap, pair.name)

    def name_of(self, index: int) -> str:
        """What the composite is called."""
        return self.pairs[index].name

    def group_of(self, index: int) -> Path:
        """The file of the foreground, or of the photo."""
        return self.pairs[index].foreground.resolve()


def _cover(background: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The top left of a background, enlarged where it is smaller than a height and width."""
    height, width = background.shape[:2]
    ratio = max(size[0] / height, size[1] / width)
    if ratio > 1:
        enlarged = (math.ceil(width * ratio), math.ceil(height * ratio))
        background = np.asarray(Image.fromarray(background).resize(enlarged, Image.Resampling.BICUBIC))
    return np.ascontiguousarray(background[: size[0], : size[1]])


def pair_up(
    foregrounds: Sequence[Path], alphas: Sequence[Path], backgrounds: Sequence[Path], *, each: int
) -> list[Pair]:
    """Give each foreground its backgrounds, one after another, in the order of the lists.

    Args:
        foregrounds: The foregrounds.
        alphas: Their mattes.
        backgrounds: As many for each of them, at least.
        each: Backgrounds for each foreground: 20 for the test sets, 100 for training.

    Returns:
        The pairs, called ``<foreground>_0``, ``<foreground>_1`` and so on.

    Raises:
        ValueError: If there are too few backgrounds, or not as many mattes as foregrounds.

    Source:
        Section 4.1, and the script that comes with Composition-1k.

    Example:
        >>> pairs = pair_up([Path("a.png")], [Path("a.png")], [Path("x.jpg"), Path("y.jpg")], each=2)
        >>> [(pair.name, str(pair.background)) for pair in pairs]
        [('a_0', 'x.jpg'), ('a_1', 'y.jpg')]
    """
    check_number("each", each, Integral)
    check_positive("each", each)
    if len(alphas) != len(foregrounds):
        raise ValueError(f"alphas must be one a foreground, {len(foregrounds)}, got {len(alphas)}")
    if len(backgrounds) < each * len(foregrounds):
        raise ValueError(f"backgrounds must be {each} a foreground, {each * len(foregrounds)}, got {len(backgrounds)}")
    return [
        Pair(f"{foreground.stem}_{k}", foreground, alpha, backgrounds[index * each + k])
        for index, (foreground, alpha) in enumerate(zip(foregrounds, alphas, strict=True))
        for k in range(each)
    ]


def read_names(path: Path) -> list[str]:
    """The lines of a list of names, of any line ends, without empty ones; DataError if there is none."""
    return [line for _, line in _numbered_lines(path)]


def _numbered_lines(path: Path) -> list[tuple[int, str]]:
    lines = enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1)
    found = [(number, line.strip()) for number, line in lines if line.strip()]
    if not found:
        raise DataError([f"{path}: must have a line at least, got none"])
    return found


def list_file(root: Folder, list_name: str, *, separator: str = " ") -> FixedComposites:
    """Read a list as PaddleSeg's matting uses them: a line ``foreground [background] [trimap]`` for each sample.

    The matte of ``train/fg/cat.jpg`` is ``train/alpha/cat.jpg``, or that name with another image suffix. A line of one
    file is a photo. Samples are called by their foregrounds; where two have one name, all are called
    ``<foreground>_0``, ``<foreground>_1`` and so on.

    Args:
        root: The folder that the paths of the list start from.
        list_name: The list, from there.
        separator: What stands between the files of a line; ``"|"`` where names hold blanks. The blank stands for any
            number of blanks and tabs.

    Returns:
        The source, in the order of the list.

    Raises:
        OSError: If the list cannot be read.
        DataError: If there is no line, or one has no or more than three files, or a file is missing; all are listed.

    Source:
        PaddleSeg's ``MattingDataset``, which enlarges backgrounds bilinearly; here they are as in Composition-1k.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name, mode in (("train/fg/cat.png", "RGB"), ("train/alpha/cat.png", "L")):
        ...     (root / name).parent.mkdir(parents=True)
        ...     Image.new(mode, (6, 4)).save(root / name)
        >>> _ = (root / "train.txt").write_text("train/fg/cat.png")
        >>> len(list_file(root, "train.txt"))
        1
    """
    root = Path(root)
    problems, pairs = [], []
    for number, line in _numbered_lines(root / list_name):
        names = [name.strip() for name in line.split(None if separator == " " else separator)]
        parts = PurePosixPath(names[0]).parts
        if len(names) > 3 or not all(names) or "fg" not in parts[:-1]:
            rule = f"FOREGROUND{separator}[BACKGROUND]{separator}[TRIMAP], the first in a folder fg"
            problems.append(f"{root / list_name}, line {number}: must be {rule}, got {line!r}")
            continue
        place = len(parts) - 1 - parts[::-1].index("fg")
        alpha = _of_any_suffix(root.joinpath(*parts[:place], "alpha", *parts[place + 1 :]))
        others = [root / name for name in names[1:]]
        pairs.append(Pair(Path(names[0]).stem, root / names[0], alpha, *others))
    if problems:
        raise DataError(problems)
    if len({pair.name for pair in pairs}) < len(pairs):
        counts: Counter[str] = Counter()
        for index, pair in enumerate(pairs):
            pairs[index] = replace(pair, name=f"{pair.name}_{counts[pair.name]}")
            counts[pair.name] += 1
    return FixedComposites(pairs)


def _of_any_suffix(path: Path) -> Path:
    """The path, or the one file beside it that differs in its suffix alone."""
    if path.is_file() or not path.parent.is_dir():
        return path
    found = [other for other in path.parent.glob(f"{path.stem}.*") if other.stem == path.stem]
    return found[0] if len(found) == 1 else path

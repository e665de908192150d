"""Several methods under one protocol: their folders scored alike, and set side by side as papers do."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mattekit._checks import check_choice
from mattekit.evaluation.bootstrap import PairedBootstrap, paired_bootstrap
from mattekit.evaluation.folders import FolderScores, PathLike, Scoring, check_settings, score_items, write_rows
from mattekit.evaluation.matching import FolderError, Item, match, match_photos, not_there
from mattekit.evaluation.protocols import BenchmarkProtocol
from mattekit.evaluation.quoted import QUOTED
from mattekit.evaluation.sheet import SheetRow, draw_sheet
from mattekit.evaluation.tables import Row, render
from mattekit.metrics.evaluate import Region, Scores

if TYPE_CHECKING:
    import numpy as np

Format = Literal["markdown", "latex", "csv"]


@dataclass(frozen=True)
class Comparison:
    """The scores of several methods on the same images.

    Attributes:
        methods: Scores by method, in the order given. All hold the same images: one that failed for any method counts
            for none.
        failures: What went wrong, by method and name of the image.
        notes: A line each on what was left out, and on files in colour, whose first channel was scored.
        files: Matte and truth by method and name of the image, which :meth:`sheet` shows.
    """

    methods: dict[str, FolderScores]
    failures: dict[tuple[str, str], str]
    notes: tuple[str, ...] = ()
    files: dict[tuple[str, str], tuple[Path, Path]] = field(default_factory=dict, repr=False)

    @property
    def images(self) -> tuple[str, ...]:
        """The images that every method's means are of."""
        return tuple(next(iter(self.methods.values())).images)

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions that were evaluated, the headline first."""
        return next(iter(self.methods.values())).regions

    def table(self, region: Region | None = None, form: Format = "markdown", *, quote: int | None = None) -> str:
        """The paper's table: means of SAD, MSE, Grad and Conn by method, the least of each column in bold.

        Args:
            region: Which region; None means the headline.
            form: "markdown", "latex" (a ``tabular``) or "csv", where numbers have all their digits and nothing is bold.
            quote: Number of the paper's table, 1 (Distinctions-646) or 2 (Composition-1k), whose rows follow, marked as
                quoted, with the digits that were printed. They take no part in what is bold.

        Returns:
            The table as text, a line each, without a line break at the end.

        Raises:
            ValueError: If the region was not evaluated, no image was, or the form or the table's number is unknown.
        """
        region = self._or_headline(region)
        check_choice("form", form, get_args(Format))
        if quote is not None:
            check_choice("quote", quote, tuple(QUOTED))
        rows = [Row(name, _of_table(found.mean(region))) for name, found in self.methods.items()]
        quoted = [] if quote is None else [(f"{row[0]} (quoted, Table {quote})", row[1:]) for row in QUOTED[quote]]
        return render(rows, quoted, form)

    def significance(
        self, against: str, region: Region | None = None, *, samples: int = 10_000, seed: int = 0
    ) -> dict[str, dict[str, PairedBootstrap]]:
        """The paired bootstrap of every other method against one, by method and metric.

        Args:
            against: The method that the others are compared with.
            region: Which region; None means the headline.
            samples: As in :func:`paired_bootstrap`.
            seed: As in :func:`paired_bootstrap`.

        Returns:
            Its result for each metric, with negative differences where the other method is better than `against`.

        Raises:
            ValueError: If the method or region is unknown, or there are less than two images.
        """
        check_choice("against", against, tuple(self.methods))
        region = self._or_headline(region)
        columns = {
            name: list(zip(*(scores[region] for scores in found.images.values()), strict=True))
            for name, found in self.methods.items()
        }
        return {
            name: {
                metric: paired_bootstrap(ours, theirs, samples=samples, seed=seed)
                for metric, ours, theirs in zip(Scores._fields, own, columns[against], strict=True)
            }
            for name, own in columns.items()
            if name != against
        }

    def best(self, region: Region | None = None) -> str:
        """The method of the least mean SAD; the first of equals."""
        region = self._or_headline(region)
        means = {name: found.mean(region).sad for name, found in self.methods.items()}
        return min(means, key=lambda name: math.inf if math.isnan(means[name]) else means[name])

    def sheet(
        self,
        first: str,
        second: str,
        photo_dir: PathLike | None = None,
        *,
        region: Region | None = None,
        count: int = 6,
    ) -> np.ndarray:
        """A picture of the images where two methods differ most: photo, truth, the two mattes and their difference.

        Args:
            first: A method.
            second: Another.
            photo_dir: Folder of photos of the images' names; None leaves photos out.
            region: Whose SAD is compared, and written under each matte; None means the headline.
            count: How many images, those whose SADs lie farthest apart first; all, where there are fewer.

        Returns:
            (H, W, 3) uint8, for :func:`mattekit.photos.write_image`.

        Raises:
            FolderError: If an image has no photo in the folder.
            OSError: If a file can no longer be read.
            ValueError: If a method or region is unknown, if it is one method twice, if `count` is less than 1, or if
                no image was evaluated.
        """
        for name, method in ("first", first), ("second", second):
            check_choice(name, method, tuple(self.methods))
        if first == second:
            raise ValueError(f"second must be another method than first, got {first!r} for both")
        if count < 1 or not self.images:
            raise ValueError(f"a sheet must show at least one image, got {count} of {len(self.images)}")
        region = self._or_headline(region)
        check_choice("region", region, self.regions)
        sads = {
            image: (self.methods[first].images[image][region].sad, self.methods[second].images[image][region].sad)
            for image in self.images
        }
        shown = sorted(self.images, key=lambda image: -abs(sads[image][0] - sads[image][1]))[:count]
        photos = {} if photo_dir is None else match_photos(Path(photo_dir), shown)
        rows = []
        for image in shown:
            (pred, alpha), (other, _) = self.files[first, image], self.files[second, image]
            rows.append(SheetRow(image, photos.get(image), alpha, (pred, other), sads[image]))
        return draw_sheet(rows, (first, second), region)

    def write_csv(self, path: PathLike) -> None:
        """Write one line a method, image and region, whole or not at all."""
        rows = (
            [method, image, region, *values]
            for method, scores in self.methods.items()
            for image, region, values in scores.rows()
        )
        write_rows(path, ["method", "image", "region"], rows)

    def _or_headline(self, region: Region | None) -> Region:
        return self.regions[0] if region is None and self.regions else region or "whole"


def compare_folders(
    pred_dirs: Mapping[str, PathLike],
    alpha_dir: PathLike,
    trimap_dir: PathLike | None = None,
    *,
    but: Collection[str] = (),
    protocol: BenchmarkProtocol | str | None = None,
    check_trimap: bool = True,
    strict: bool = False,
    workers: int = 1,
    progress: bool = False,
) -> Comparison:
    """Evaluate the mattes of several methods against the same ground truth, under one protocol.

    Args:
        pred_dirs: Folder of predicted mattes by the method's name.
        alpha_dir: Folder of ground-truth mattes; files belong together as in :func:`evaluate_folders`.
        trimap_dir: Folder of trimaps, if any.
        but: Names of images to pass over, without suffix.
        protocol: As in :func:`evaluate_folders`.
        check_trimap: As in :func:`evaluate_folders`.
        strict: As in :func:`evaluate_folders`.
        workers: As in :func:`evaluate_folders`.
        progress: Show a progress bar on stderr.

    Returns:
        Scores by method, of the images that could be evaluated for all of them.

    Raises:
        FolderError: As in :func:`evaluate_folders`, of all folders at once; or if ``but`` names an image that
            is in none.
        TypeError: As in :func:`evaluate_folders`, or if ``but`` is one name.
        ValueError: As in :func:`evaluate_folders`, or if there is no method.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, value in ("ours", 204), ("theirs", 0), ("alpha", 255):
        ...     (folder / name).mkdir()
        ...     Image.fromarray(np.full((100, 100), value, np.uint8)).save(folder / name / "dog.png")
        >>> found = compare_folders({"ours": folder / "ours", "theirs": folder / "theirs"}, folder / "alpha")
        >>> print(found.table())
        | Methods | SAD | MSE | Grad | Conn |
        | --- | ---: | ---: | ---: | ---: |
        | ours | **2.00** | **0.0400** | **0.00** | **2.00** |
        | theirs | 10.00 | 1.0000 | **0.00** | 10.00 |
    """
    if not pred_dirs:
        raise ValueError("pred_dirs must name at least one method, got none")
    if isinstance(but, str):
        raise TypeError(f"but must be a list of names, got {but!r}")
    protocol = check_settings(protocol, trimaps=trimap_dir is not None, workers=workers)
    folders = Path(alpha_dir), None if trimap_dir is None else Path(trimap_dir)
    items, notes = match_all(pred_dirs, *folders, but=but, strict=strict)
    scores = score_items(items, (), Scoring(protocol, check_trimap), workers=workers, progress=progress)
    files = {_apart(item.name): (item.pred, item.alpha) for item in items}
    return replace(_by_method(list(pred_dirs), scores, [*notes, *scores.notes]), files=files)


_SEPARATOR = "\0"  # stands in no name of a file


def match_all(
    pred_dirs: Mapping[str, PathLike],
    alpha_dir: Path,
    trimap_dir: Path | None,
    *,
    but: Collection[str] = (),
    strict: bool = False,
) -> tuple[list[Item], list[str]]:
    """Every method's items, their names led by the method's, or what does not fit in any folder."""
    items: list[Item] = []
    notes: dict[str, None] = {}
    problems: dict[str, None] = {}
    for method, folder in pred_dirs.items():
        try:
            found, left_out = match(Path(folder), alpha_dir, trimap_dir, but=but, strict=strict)
        except FolderError as error:
            problems |= dict.fromkeys(error.problems)
        else:
            items += [replace(item, name=method + _SEPARATOR + item.name) for item in found]
            notes |= dict.fromkeys(left_out)
    problems |= dict.fromkeys(not_there(but, [*map(Path, pred_dirs.values())], alpha_dir, trimap_dir))
    if problems:
        raise FolderError(list(problems))
    return items, list(notes)


def _by_method(methods: Sequence[str], scores: FolderScores, notes: Iterable[str]) -> Comparison:
    """Take the methods apart again, and keep of each the images that all of them have."""
    failures = {_apart(name): why for name, why in scores.failures.items()}
    lost = {image for _, image in failures}
    images: dict[str, dict[str, dict[Region, Scores]]] = {method: {} for method in methods}
    for name, found in scores.images.items():
        method, image = _apart(name)
        if image not in lost:
            images[method][image] = found
    return Comparison({method: FolderScores(found, {}) for method, found in images.items()}, failures, tuple(notes))


def _apart(name: str) -> tuple[str, str]:
    method, _, image = name.partition(_SEPARATOR)
    return method, image


def _of_table(mean: Scores) -> tuple[float, float, float, float]:
    return mean.sad, mean.mse, mean.gradient_error, mean.connectivity_error

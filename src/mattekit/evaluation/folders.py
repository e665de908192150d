"""All mattes of a folder: matched by file name, checked before anything is computed, evaluated in parallel."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean, median

import numpy as np

from mattekit._checks import check_choice
from mattekit._progress import hidden
from mattekit.evaluation.matching import Item, first_few, match
from mattekit.evaluation.pool import Outcome, run_all
from mattekit.evaluation.protocols import PROTOCOLS, BenchmarkProtocol
from mattekit.metrics.evaluate import Region, Scores
from mattekit.photos import read_matte, write_atomically
from mattekit.photos.reading import Decoded, decode_matte, has_colours, to_bits

PathLike = str | os.PathLike[str]
ImageScores = dict[Region, Scores]


@dataclass(frozen=True)
class FolderScores:
    """The scores of a folder.

    Attributes:
        images: Scores by name (the file's, without suffix), in alphabetical order.
        failures: What went wrong, by name, with images that could not be evaluated.
        notes: A line each on cut-outs that were left out, and on files in colour, whose first channel was scored.
    """

    images: dict[str, ImageScores]
    failures: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions that were evaluated."""
        return tuple(next(iter(self.images.values()), {}))

    def mean(self, region: Region) -> Scores:
        """The mean of each metric over the images; NaN if it is for one of them, as in the reference.

        Raises:
            ValueError: If the region was not evaluated, or no image was.
        """
        return Scores(*(fmean(column) for column in self._columns(region)))

    def median(self, region: Region) -> Scores:
        """The median of each metric over the images; NaN if it is for one of them.

        Raises:
            ValueError: If the region was not evaluated, or no image was.
        """
        return Scores(
            *(math.nan if any(map(math.isnan, column)) else median(column) for column in self._columns(region))
        )

    def write_csv(self, path: PathLike) -> None:
        """Write one line an image and region, whole or not at all."""
        write_rows(path, ["image", "region"], ([name, region, *scores] for name, region, scores in self.rows()))

    def write_json(self, path: PathLike) -> None:
        """Write scores, means, medians, failures and notes, whole or not at all; NaN becomes null."""
        document = {
            "mean": {region: _plain(self.mean(region)) for region in self.regions},
            "median": {region: _plain(self.median(region)) for region in self.regions},
            "images": [{"image": name, "region": region} | _plain(scores) for name, region, scores in self.rows()],
            "failures": self.failures,
            "notes": self.notes,
        }
        write_atomically(path, lambda file: file.write(json.dumps(document, indent=1, allow_nan=False).encode()))

    def rows(self) -> Iterator[tuple[str, Region, Scores]]:
        """Name, region and scores of each image."""
        return ((name, region, scores) for name, found in self.images.items() for region, scores in found.items())

    def _columns(self, region: Region) -> Iterable[tuple[float, ...]]:
        if not self.images:
            first = "".join(f"; the first failure: {name}: {why}" for name, why in list(self.failures.items())[:1])
            raise ValueError(f"{region!r} has no mean or median, for no image was evaluated{first}")
        check_choice("region", region, self.regions)
        return zip(*(scores[region] for scores in self.images.values()), strict=True)


def evaluate_folders(
    pred_dir: PathLike,
    alpha_dir: PathLike,
    trimap_dir: PathLike | None = None,
    *,
    protocol: BenchmarkProtocol | str | None = None,
    check_trimap: bool = True,
    strict: bool = False,
    workers: int = 1,
    progress: bool = False,
) -> FolderScores:
    """Evaluate every matte of a folder against the ground truth of the same name.

    Args:
        pred_dir: Folder of predicted mattes, 8- or 16-bit images, whose 16 bits count unless the protocol rounds to 8;
            of an image with colours the first channel counts, and one with an alpha channel that is not constant, a
            cut-out, fails.
        alpha_dir: Folder of ground-truth mattes. Names without suffix tell which belongs to which. What
            ``mattekit predict`` writes fits, too: a prediction NAME_alpha belongs to NAME where there is no ground
            truth NAME_alpha, and NAME_cutout beside it is left out, which is noted.
        trimap_dir: Folder of trimaps, if any. An image whose trimap holds other values than 0, 128 and 255 fails.
        protocol: What counts: a name in :data:`~mattekit.evaluation.PROTOCOLS`, or a protocol of your own; None means
            the unknown region where trimaps are given, else the whole image.
        check_trimap: Refuse a trimap with other values, and a set none of whose trimaps has an unknown pixel. False is
            the reference's rule: 128 alone is unknown, and where nothing is, sums are 0 and means NaN.
        strict: Refuse what is extra: a prediction or trimap without a ground truth. Otherwise it is left out, and a
            note says so.
        workers: Processes to work in. More than one start afresh and import the calling script, which must
            therefore guard what it does with ``if __name__ == "__main__"``.
        progress: Show a progress bar on stderr.

    Returns:
        Scores by image, and what went wrong with images that fell out; nothing that goes wrong with one is lost on the
        others, not even the death of a worker. Notes say what may be a mistake.

    Raises:
        FolderError: If anything is missing, unreadable, ambiguous, of the wrong size or, with `strict`, extra:
            everything is named, and nothing has been computed.
        TypeError: If the protocol is neither a `BenchmarkProtocol` nor a name.
        ValueError: If the protocol's name is unknown, if it needs trimaps and there are none, if nothing is unknown in
            any of them, or if there is less than one worker.

    Source:
        The loop that the evaluation scripts of the field write out.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name, value in ("pred", 0), ("alpha", 255):
        ...     (folder / name).mkdir()
        ...     Image.fromarray(np.full((10, 10), value, np.uint8)).save(folder / name / "dog.png")
        >>> scores = evaluate_folders(folder / "pred", folder / "alpha")
        >>> scores.images["dog"]["whole"].sad
        0.1
    """
    protocol = check_settings(protocol, trimaps=trimap_dir is not None, workers=workers)
    items, notes = match(
        Path(pred_dir), Path(alpha_dir), None if trimap_dir is None else Path(trimap_dir), strict=strict
    )
    return score_items(items, notes, Scoring(protocol, check_trimap), workers=workers, progress=progress)


def check_settings(protocol: BenchmarkProtocol | str | None, *, trimaps: bool, workers: int) -> BenchmarkProtocol:
    """The protocol that is meant, after a check that it can be followed."""
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    found = _protocol(protocol, trimaps=trimaps)
    found.regions_with(trimap=trimaps)
    return found


def score_items(
    items: Sequence[Item], notes: Iterable[str], scoring: Scoring, *, workers: int, progress: bool
) -> FolderScores:
    """Score what has been matched.

    Raises:
        ValueError: If trimaps are checked, and none of them has an unknown pixel.
    """
    from tqdm import tqdm

    outcomes = run_all(items, scoring, min(workers, len(items)))
    bar = tqdm(outcomes, total=len(items), unit="image", disable=hidden(progress))
    by_name = {item.name: outcome for item, outcome in bar}
    found = {item.name: by_name[item.name] for item in items}
    scores = FolderScores(
        images={name: outcome.result for name, outcome in found.items() if outcome.result is not None},
        failures={name: outcome.failure for name, outcome in found.items() if outcome.result is None},
        notes=(*notes, *_on_colours({path for outcome in found.values() for path in outcome.doubtful})),
    )
    if scoring.check_trimap and "unknown" in scores.regions:
        _check_unknown(scores, {item.trimap for item in items if item.trimap and item.name in scores.images})
    return scores


def write_rows(path: PathLike, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV of scores, led by columns of these names, whole or not at all."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*names, *Scores._fields])
    table.writerows(rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode(errors="surrogateescape")))


def _on_colours(paths: set[Path]) -> Iterator[str]:
    """A line on the mattes in colour of each folder."""
    by_folder = groupby(sorted(paths, key=lambda path: (path.parent, path.name)), lambda path: path.parent)
    for folder, found in by_folder:
        yield f"in colour, and scored by their red channel, in {folder}: {first_few(list(found))}"


def _check_unknown(scores: FolderScores, trimaps: set[Path]) -> None:
    """Refuse a set none of whose trimaps has an unknown pixel."""
    if all(math.isnan(found["unknown"].mse) for found in scores.images.values()):
        raise ValueError(
            f"at least one trimap must have unknown pixels, 128, got none in all {len(trimaps)} of "
            f"{min(trimaps).parent}; with check_trimap=False that passes, as in the reference"
        )


def _protocol(protocol: BenchmarkProtocol | str | None, *, trimaps: bool) -> BenchmarkProtocol:
    if protocol is None:
        return BenchmarkProtocol(regions=("unknown" if trimaps else "whole",))
    if isinstance(protocol, str):
        check_choice("protocol", protocol, PROTOCOLS)
        return PROTOCOLS[protocol]
    if not isinstance(protocol, BenchmarkProtocol):
        raise TypeError(
            f"protocol must be a BenchmarkProtocol, a name in PROTOCOLS or None, got {type(protocol).__name__}"
        )
    return protocol


def _plain(scores: Scores) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in scores._asdict().items()}


@dataclass(frozen=True)
class Scoring:
    """How an image is scored."""

    protocol: BenchmarkProtocol
    check_trimap: bool

    def __call__(self, item: Item) -> Outcome[ImageScores]:
        """Its scores, or what went wrong."""
        try:
            trimap = None if item.trimap is None else read_matte(item.trimap)
            decoded = [(path, decode_matte(path)) for path in (item.pred, item.alpha)]
            doubtful = tuple(path for path, matte in decoded if has_colours(matte.pixels))
            pred, alpha = (self._stored(matte) for _, matte in decoded)
            scores = self.protocol.evaluate(pred, alpha, trimap, check_trimap=self.check_trimap)
            return Outcome(scores, doubtful=doubtful)
        except Exception as error:
            return Outcome(failure=f"{type(error).__name__}: {error}")

    def _stored(self, matte: Decoded) -> np.ndarray:
        """A matte, in floats where it has 16 bits that the protocol counts and 8 cannot hold."""
        stored = to_bits(matte.first_channel(), 8 if self.protocol.eight_bit else None)
        return stored / 65535 if stored.dtype == np.uint16 and (stored % 257).any() else to_bits(stored, 8)

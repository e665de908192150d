"""All mattes of a folder: matched by file name, checked before anything is computed, evaluated in parallel."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median

from mattekit._checks import check_choice
from mattekit.evaluation.matching import Item, match
from mattekit.evaluation.protocols import PROTOCOLS, BenchmarkProtocol
from mattekit.metrics.evaluate import Region, Scores
from mattekit.photos import read_matte, write_atomically

PathLike = str | os.PathLike[str]
ImageScores = dict[Region, Scores]


@dataclass(frozen=True)
class FolderScores:
    """The scores of a folder.

    Attributes:
        images: Scores by name (the file's, without suffix), in alphabetical order.
        failures: What went wrong, by name, with images that could not be evaluated.
        notes: A line each on cut-outs that were left out.
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
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["image", "region", *Scores._fields])
        table.writerows([name, region, *scores] for name, region, scores in self._rows())
        write_atomically(path, lambda file: file.write(text.getvalue().encode()))

    def write_json(self, path: PathLike) -> None:
        """Write scores, means, medians, failures and notes, whole or not at all; NaN becomes null."""
        document = {
            "mean": {region: _plain(self.mean(region)) for region in self.regions},
            "median": {region: _plain(self.median(region)) for region in self.regions},
            "images": [{"image": name, "region": region} | _plain(scores) for name, region, scores in self._rows()],
            "failures": self.failures,
            "notes": self.notes,
        }
        write_atomically(path, lambda file: file.write(json.dumps(document, indent=1, allow_nan=False).encode()))

    def _rows(self) -> Iterator[tuple[str, Region, Scores]]:
        return ((name, region, scores) for name, found in self.images.items() for region, scores in found.items())

    def _columns(self, region: Region) -> Iterable[tuple[float, ...]]:
        if not self.images:
            first = "".join(f"; the first failure: {name}: {why}" for name, why in list(self.failures.items())[:1])
            raise ValueError(f"{region!r} has no mean or median, for no image was evaluated{first}")
        check_choice("region", region, self.regions)
        return zip(*(scores[region] for scores in self.images.values()), strict=True)


@dataclass(frozen=True)
class _Outcome:
    """What came of one image: its scores or what went wrong."""

    scores: ImageScores | None = None
    failure: str = ""


def evaluate_folders(
    pred_dir: PathLike,
    alpha_dir: PathLike,
    trimap_dir: PathLike | None = None,
    *,
    protocol: BenchmarkProtocol | str | None = None,
    workers: int = 1,
    progress: bool = False,
) -> FolderScores:
    """Evaluate every matte of a folder against the ground truth of the same name.

    Args:
        pred_dir: Folder of predicted mattes, 8- or 16-bit images; of an image with colours the first channel counts,
            and one with an alpha channel that is not constant, a cut-out, fails.
        alpha_dir: Folder of ground-truth mattes. Names without suffix tell which belongs to which. What
            ``mattekit predict`` writes fits, too: a prediction NAME_alpha belongs to NAME where there is no ground
            truth NAME_alpha, and NAME_cutout beside it is left out, which is noted.
        trimap_dir: Folder of trimaps, if any. An image whose trimap holds other values than 0, 128 and 255 fails.
        protocol: What counts: a name in :data:`~mattekit.evaluation.PROTOCOLS`, or a protocol of your own; None means
            the unknown region where trimaps are given, else the whole image.
        workers: Processes to work in. More than one start afresh and import the calling script, which must
            therefore guard what it does with ``if __name__ == "__main__"``.
        progress: Show a progress bar on stderr.

    Returns:
        Scores by image, and what went wrong with images that fell out: nothing that goes wrong with one is lost on the
        others, not even the death of a worker. Notes say what may be a mistake.

    Raises:
        FolderError: If anything is missing, left over, unreadable, ambiguous or of the wrong size: everything is named,
            and nothing has been computed.
        TypeError: If the protocol is neither a `BenchmarkProtocol` nor a name.
        ValueError: If the protocol's name is unknown, if it needs trimaps and there are none, or if there are less than
            one worker.

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
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    protocol = _protocol(protocol, trimaps=trimap_dir is not None)
    protocol.regions_with(trimap=trimap_dir is not None)
    items, notes = match(Path(pred_dir), Path(alpha_dir), None if trimap_dir is None else Path(trimap_dir))
    outcomes = _run(items, protocol, min(workers, len(items)))
    if progress:
        from tqdm import tqdm

        outcomes = tqdm(outcomes, total=len(items), unit="image")
    by_name = dict(outcomes)
    found = {item.name: by_name[item.name] for item in items}
    return FolderScores(
        images={name: outcome.scores for name, outcome in found.items() if outcome.scores is not None},
        failures={name: outcome.failure for name, outcome in found.items() if outcome.scores is None},
        notes=tuple(notes),
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


def _score(item: Item, protocol: BenchmarkProtocol) -> _Outcome:
    try:
        trimap = None if item.trimap is None else read_matte(item.trimap)
        return _Outcome(protocol.evaluate(read_matte(item.pred), read_matte(item.alpha), trimap))
    except Exception as error:
        return _Outcome(failure=f"{type(error).__name__}: {error}")


def _run(items: list[Item], protocol: BenchmarkProtocol, workers: int) -> Iterator[tuple[str, _Outcome]]:
    """Score all items, in any order; a worker's death costs the image that it worked on and no other."""
    if workers == 1:
        for item in items:
            yield item.name, _score(item, protocol)
        return
    waiting = deque(items)
    while waiting:
        suspects = yield from _run_pool(waiting, protocol, workers)
        for item in suspects:  # alone, the one that kills its worker shows itself
            if (yield from _run_pool(deque([item]), protocol, 1)):
                yield item.name, _Outcome(failure="the process that evaluated it died")


def _run_pool(
    waiting: deque[Item], protocol: BenchmarkProtocol, workers: int
) -> Generator[tuple[str, _Outcome], None, list[Item]]:
    """Score the items waiting until there are none left or a worker dies; return what was then being worked on."""
    # a fresh interpreter each: forked ones would inherit locks of threads that they do not have
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_use_one_thread) as pool:
        running: dict[Future[_Outcome], Item] = {}
        suspects: list[Item] = []
        while not suspects and (waiting or running):
            while waiting and len(running) < 2 * workers:
                item = waiting.popleft()
                try:
                    running[pool.submit(_score, item, protocol)] = item
                except BrokenProcessPool:  # noticed before the results of those running say so
                    suspects.append(item)
                    break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                item = running.pop(future)
                try:
                    yield item.name, future.result()
                except BrokenProcessPool:
                    suspects.append(item)
        return suspects + list(running.values())


def _use_one_thread() -> None:
    """The processes fill the cores; threads of theirs would only get into each other's way."""
    import cv2

    cv2.setNumThreads(1)

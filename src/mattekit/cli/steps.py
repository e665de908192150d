"""The steps of ``mattekit predict`` for a photo, and how many photos go through them at once."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mattekit.cli.streams import write_bytes
from mattekit.cli.tasks import STREAM, Results, Task

if TYPE_CHECKING:
    import numpy as np

    from mattekit.cli.looks import Look
    from mattekit.inference.prepare import PreparedMatting
    from mattekit.photos import Photo


@dataclass(frozen=True)
class Made:
    """A photo, and what `predict` takes beside it, or its matte."""

    task: Task
    photo: Photo
    hint: dict[str, np.ndarray]
    alpha: np.ndarray | None = None


MOST = 16
"""How many photos are worked on at once, at most. Each takes some 100 MB with the default weights."""

LARGE, LARGE_RUN = 2**21, 2**19
"""Pixels of a photo, and of what the network sees of it, beyond which one is worked on at a time."""


class Steps:
    """The three steps of a photo; `mattekit.cli.overlap` runs them."""

    def __init__(
        self, network: PreparedMatting, args: argparse.Namespace, hints: dict[str, Path], results: Results, look: Look
    ) -> None:
        self.network, self.args, self.hints, self.results, self.look = network, args, hints, results, look
        self.ignored = 0  # alpha channels
        self.unmasked = 0  # photos whose alpha channel was asked for, and says nothing

    def read(self, task: Task) -> Made:
        """The photo, and the trimap or mask that belongs to it."""
        from mattekit.photos import read_photo

        photo = read_photo(_standard_input() if task.photo == STREAM else task.photo)
        return Made(task, photo, self._read_hint(task, photo))

    def run(self, tasks: list[Task], is_stopped: Callable[[], bool]) -> Iterator[tuple[Task, Exception | None]]:
        """Take photos through the steps.

        On a CPU several small ones get a thread each, which does more than all threads for one of them. Few photos get
        all threads, one after another.
        """
        import torch

        from mattekit.cli.overlap import overlapped

        threads = torch.get_num_threads()
        at_once = min(threads, MOST) if self.args.device == "cpu" and len(tasks) >= 2 * threads else 1

        def share(count: int) -> None:
            torch.get_num_threads()  # asked for the first time, a thread takes the number that another one set last
            torch.set_num_threads(threads // count)  # from now on its own

        together = {"at_once": at_once, "may_share": self.is_small, "initialise": share}
        try:
            yield from overlapped(tasks, self.read, self.predict, self.write, is_stopped=is_stopped, **together)
        finally:
            torch.set_num_threads(threads)

    def is_small(self, made: Made) -> bool:
        """Whether a photo may be worked on beside others."""
        from mattekit.inference.running import MULTIPLE, limit_of

        height, width = made.photo.pixels.shape[:2]
        shrunk = min((limit_of(self.network, self.args.max_short_side) or LARGE) / min(height, width), 1)
        run = max(height * shrunk, MULTIPLE) * max(width * shrunk, MULTIPLE)
        return height * width <= LARGE and run <= LARGE_RUN and self.args.max_memory is None

    def predict(self, made: Made) -> Made:
        """The same with its matte."""
        from mattekit.inference import predict

        options = {name: getattr(self.args, name) for name in ("refine", "max_short_side", "max_memory")}
        return Made(made.task, made.photo, {}, predict(self.network, made.photo.pixels, **made.hint, **options))

    def write(self, made: Made) -> None:
        """All files of a photo, or none."""
        from mattekit.photos.atomic import write_bytes_together

        assert made.alpha is not None
        encoded = {kind: self.look.encode(kind, made.photo, made.alpha) for kind in self.results.kinds}
        paths = self.results.paths(made.task)
        if not paths:
            write_bytes(encoded[self.results.kinds[0]])
        write_bytes_together({path: encoded[kind] for kind, path in paths.items()})

    def _read_hint(self, task: Task, photo: Photo) -> dict[str, np.ndarray]:
        from mattekit.photos import read_matte
        from mattekit.photos.reading import read_mask

        alpha = photo.alpha if photo.alpha is not None and photo.alpha.min() < photo.alpha.max() else None
        if self.args.alpha_as_mask:
            if alpha is not None:
                return {"mask": alpha.astype("float32") / (2 ** (8 * alpha.dtype.itemsize) - 1)}
            self.unmasked += 1
        elif alpha is not None:
            self.ignored += 1
        folder = self.args.trimaps or self.args.masks
        if folder is None:
            return {}
        path = self.hints.get(task.name)
        if path is None:
            raise OSError(f"there is no {'trimap' if self.args.trimaps else 'mask'} {task.name} in {folder}")
        return {"trimap": read_matte(path)} if self.args.trimaps else {"mask": read_mask(path)}


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise OSError("standard input is closed")
    return io.BytesIO(sys.stdin.buffer.read())

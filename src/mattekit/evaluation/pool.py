"""Work on many images in processes of their own, so that the death of one costs one image."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Generic, TypeVar

from PIL import Image

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What came of one task: its result, or what went wrong; and files that may not be what they were taken for."""

    result: Result | None = None
    failure: str = ""
    doubtful: tuple[Path, ...] = ()


def run_all(
    tasks: Sequence[Task], work: Callable[[Task], Outcome[Result]], workers: int
) -> Iterator[tuple[Task, Outcome[Result]]]:
    """Do all tasks, in any order; a worker's death costs the task that it worked on and no other."""
    if workers == 1:
        for task in tasks:
            yield task, work(task)
        return
    waiting = deque(tasks)
    while waiting:
        suspects = yield from _run_pool(waiting, work, workers)
        for task in suspects:  # alone, the one that kills its worker shows itself
            if (yield from _run_pool(deque([task]), work, 1)):
                yield task, Outcome(failure="the process that evaluated it died")


def _run_pool(
    waiting: deque[Task], work: Callable[[Task], Outcome[Result]], workers: int
) -> Generator[tuple[Task, Outcome[Result]], None, list[Task]]:
    """Do the tasks waiting until there are none left or a worker dies; return what was then being worked on."""
    context = get_context("spawn")  # a fresh interpreter each: forked ones would inherit locks of threads not theirs
    life, ours = context.Pipe(duplex=False)
    given = (life, Image.MAX_IMAGE_PIXELS)
    with life, ours, ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=given) as pool:
        running: dict[Future[Outcome[Result]], Task] = {}
        suspects: list[Task] = []
        try:
            while not suspects and (waiting or running):
                while waiting and len(running) < 2 * workers:
                    task = waiting.popleft()
                    try:
                        with _without_interrupts():
                            running[pool.submit(work, task)] = task
                    except BrokenProcessPool:  # noticed before the results of those running say so
                        suspects.append(task)
                        break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    task = running.pop(future)
                    try:
                        yield task, future.result()
                    except BrokenProcessPool:
                        suspects.append(task)
        except BaseException:
            ours.close()  # ends the workers, instead of waiting until they have done what is in work
            raise
        return suspects + list(running.values())


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Have processes that are started here never see SIGINT, which a terminal sends to all: their parent ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(life: Connection, most_pixels: int | None) -> None:
    """Use one thread, as the processes fill the cores, and end when the other end of a pipe closes, as by a kill.

    Images may be as large as the first process lets Pillow open.
    """
    import cv2

    cv2.setNumThreads(1)
    Image.MAX_IMAGE_PIXELS = most_pixels

    def watch() -> None:
        life.poll(None)  # nothing is ever sent
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

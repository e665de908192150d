"""Reading the next, working on this one and writing the last at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Task = TypeVar("Task")
Read = TypeVar("Read")
Made = TypeVar("Made")

AHEAD, BEHIND = 2, 2


def overlapped(
    tasks: Iterable[Task],
    read: Callable[[Task], Read],
    work: Callable[[Read], Made],
    write: Callable[[Made], object],
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Task, Exception | None]]:
    """Take each task through three steps, and tell in their order what came of it: None, or what a step raised.

    Work is done here, the rest in a thread each. No more than `AHEAD` tasks are read before their turn and `BEHIND`
    left to be written, so that memory does not grow with their number.

    Args:
        tasks: The tasks.
        read: The first step.
        work: The second, of what ``read`` returns.
        write: The third, of what ``work`` returns.
        is_stopped: Asked before each task is worked on: whether those that are left shall be left.
    """
    waiting = iter(tasks)
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead = deque((task, reader.submit(read, task)) for task in islice(waiting, AHEAD))
        behind: deque[tuple[Task, Future[object]]] = deque()
        while ahead and not is_stopped():
            task, future = ahead.popleft()
            ahead.extend((task, reader.submit(read, task)) for task in islice(waiting, 1))
            behind.append((task, _worked(future, work, write, writer)))
            while len(behind) > BEHIND or (behind and behind[0][1].done()):
                yield _outcome(*behind.popleft())
        for _, future in ahead:
            future.cancel()
        while behind:
            yield _outcome(*behind.popleft())


def _worked(
    read: Future[Read], work: Callable[[Read], Made], write: Callable[[Made], object], writer: ThreadPoolExecutor
) -> Future[object]:
    try:
        return writer.submit(write, work(read.result()))
    except Exception as error:
        failed: Future[object] = Future()
        failed.set_exception(error)
        return failed


def _outcome(task: Task, future: Future[object]) -> tuple[Task, Exception | None]:
    error = future.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return task, error

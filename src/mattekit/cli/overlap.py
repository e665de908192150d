"""Reading the next, working on this one and writing the last at the same time; small ones are worked on together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
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
    at_once: int = 1,
    may_share: Callable[[Read], bool] = lambda _: True,
    initialise: Callable[[int], object] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Task, Exception | None]]:
    """Take each task through three steps, and tell in their order what came of it: None, or what a step raised.

    Work is done here, on one task at a time, the rest in a thread each. Tasks that may share are worked on and written
    in threads of their own, so many at once; one that may not waits until they are done. No more than `AHEAD` tasks are
    read before their turn, and no more than `BEHIND` beyond those in work left to be told of, so that memory does not
    grow with their number.

    Args:
        tasks: The tasks.
        read: The first step.
        work: The second, of what ``read`` returns.
        write: The third, of what ``work`` returns.
        at_once: How many tasks that may share are worked on at once.
        may_share: Of what ``read`` returns: whether it may be worked on beside others. Where ``at_once`` is 1 it is
            not asked.
        initialise: Called first in each thread that works or writes, with how many of its kind there are.
        is_stopped: Asked before each task is worked on: whether those that are left shall be left.
    """
    waiting = iter(tasks)
    with (
        ThreadPoolExecutor(1) as reader,
        ThreadPoolExecutor(1, initializer=initialise, initargs=(1,)) as writer,
        ThreadPoolExecutor(at_once, initializer=initialise, initargs=(at_once,)) as workers,
    ):
        ahead = deque((task, reader.submit(read, task)) for task in islice(waiting, AHEAD))
        behind: deque[tuple[Task, Future[object]]] = deque()
        sharing: list[Future[object]] = []

        def begun(reading: Future[Read]) -> Future[object]:
            sharing[:] = [future for future in sharing if not future.done()]
            found = reading.result()
            if at_once > 1 and may_share(found):
                sharing.append(workers.submit(lambda: write(work(found))))
                return sharing[-1]
            wait(sharing)
            return writer.submit(write, work(found))

        try:
            while ahead and not is_stopped():
                task, reading = ahead.popleft()
                ahead.extend((task, reader.submit(read, task)) for task in islice(waiting, 1))
                behind.append((task, _or_failed(begun, reading)))
                while len(behind) >= BEHIND + at_once or (behind and behind[0][1].done()):
                    yield _outcome(*behind.popleft())
            while behind:
                yield _outcome(*behind.popleft())
        finally:
            for pool in (reader, workers):
                pool.shutdown(wait=False, cancel_futures=True)


def _or_failed(begun: Callable[[Future[Read]], Future[object]], reading: Future[Read]) -> Future[object]:
    try:
        return begun(reading)
    except Exception as error:
        failed: Future[object] = Future()
        failed.set_exception(error)
        return failed


def _outcome(task: Task, future: Future[object]) -> tuple[Task, Exception | None]:
    error = future.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return task, error

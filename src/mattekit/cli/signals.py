"""SIGINT and SIGTERM: a command ends in order, with a line and a status of 128 and the signal's number."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal asked the command to end."""

    def __init__(self, signum: int) -> None:
        self.signal = signal.Signals(signum)
        super().__init__(f"stopped by {self.signal.name}")

    @property
    def status(self) -> int:
        """What the shell expects of a process that a signal ended."""
        return 128 + self.signal


class Pending:
    """The signal that came while something had to be finished first.

    Attributes:
        stopped: What it asks for, or None while none has come.
    """

    stopped: Stopped | None = None


_pending: Pending | None = None
_owner = 0
"""The process that heeds signals: those that are forked from it, as a DataLoader's workers, are ended by it."""


@contextmanager
def stopping() -> Iterator[None]:
    """Raise `Stopped` where a signal finds the main thread, or leave it to `finishing`; put the handlers back.

    A signal that the caller has the process ignore, as ``nohup`` does, stays ignored.
    """
    global _owner
    _owner = os.getpid()
    is_main = threading.current_thread() is threading.main_thread()  # no other may set handlers
    heeded = [signum for signum in _SIGNALS if is_main and signal.getsignal(signum) != signal.SIG_IGN]
    before = {signum: signal.signal(signum, _stop) for signum in heeded}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def finishing() -> Iterator[Pending]:
    """Note the first signal instead of raising it, so that what is in work gets done; the second one raises."""
    global _pending
    _pending = Pending()
    try:
        yield _pending
    finally:
        _pending = None


def _stop(signum: int, frame: FrameType | None) -> None:
    if os.getpid() != _owner:
        return
    if hasattr(signal, "SIGCHLD"):  # a whole process group may get the signal, and torch complains of workers it ended
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stopped = Stopped(signum)
    if _pending is None or _pending.stopped is not None:
        raise stopped
    _pending.stopped = stopped

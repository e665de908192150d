"""Standard output and error that bring no command down, whatever became of them."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

_ERRORS = "mattekit.escape"


class Lenient:
    """A text stream that is written to for as long as it takes anything.

    A character that its encoding lacks is escaped, and what was a byte of a file's name becomes that byte again.

    Attributes:
        error: Why it takes no more; None while it does.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)

    def write(self, text: str) -> int:
        """Write, or drop what the stream does not take any more."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what the stream does not take any more."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, do: Any) -> None:
        if self.error is None:
            try:
                do()
            except OSError as error:
                self.error = error
                _discard(self._stream)


@contextmanager
def lenient_streams() -> Iterator[tuple[Lenient, Lenient]]:
    """Have standard output and error be lenient, and no file take the place of one that is closed."""
    codecs.register_error(_ERRORS, _escape)
    before = sys.stdout, sys.stderr
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest one that is free
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    out, err = (Lenient(stream or cast(TextIO, open(os.devnull, "w"))) for stream in before)  # noqa: SIM115
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def is_lost(stream: Lenient) -> bool:
    """Whether output was lost. A reader that closed its pipe does not count."""
    stream.flush()
    return stream.error is not None and stream.error.errno != errno.EPIPE


def write_bytes(data: bytes) -> None:
    """Write to standard output, all of it; who closed the other end of a pipe has seen enough.

    Raises:
        OSError: If it does not take all.
    """
    stream, left = sys.stdout.buffer, memoryview(data)
    try:
        while left:  # with PYTHONUNBUFFERED a write may take a part
            left = left[stream.write(left) :]
        stream.flush()
    except BrokenPipeError:
        _discard(sys.stdout)


def _discard(stream: TextIO) -> None:
    """Let what waits in the stream's buffer go nowhere, or Python would fail again when it ends."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # none of the system's
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """The bytes of a name that was no text; backslashes for characters that the encoding lacks."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)

"""Files that are written whole or not at all, and checks beforehand of what will not go."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

Write = Callable[[BinaryIO], object]

_PART = ".mattekit.part"
_FULL = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


def write_atomically(path: str | os.PathLike[str], write: Write) -> None:
    """Let ``write`` fill a temporary file beside ``path`` and move it into place when it is complete.

    A link is followed, and the file that it names is replaced. What exists and is no regular file (a device, a named
    pipe), or is this process's own standard output, is never replaced: the bytes go straight into it.

    Args:
        path: The file to write. Its folder is made if it is not there.
        write: Called once, with an open binary file.

    Raises:
        OSError: If the file cannot be written; it names the file. What ``write`` raises passes through. Both leave what
            was there before.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_atomically(folder / "note.txt", lambda file: file.write(b"whole"))
        >>> (folder / "note.txt").read_text()
        'whole'
    """
    write_together({path: write})


def write_together(writes: Mapping[str | os.PathLike[str], Write]) -> None:
    """Write several files as `write_atomically` does, all or, if one of them fails, none."""
    for path in writes:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    staged: list[tuple[BinaryIO, Path, Path]] = []
    fresh: list[Path] = []
    try:
        for path, write in writes.items():
            if (stream := _open_in_place(path)) is not None:
                with _named(path), stream:
                    write(stream)
                continue
            target = Path(os.path.realpath(path))
            file, part = _create_part(target.parent)
            staged.append((file, part, target))
            with _named(path):
                write(file)
                file.flush()
            if sys.platform == "win32":  # an open file cannot be moved there
                file.close()
        for _, part, target in staged:
            existed = target.exists()
            if existed:
                os.chmod(part, stat.S_IMODE(target.stat().st_mode))
            os.replace(part, target)
            if not existed:
                fresh.append(target)
    except BaseException:
        for path in [*fresh, *(part for _, part, _ in staged)]:
            path.unlink(missing_ok=True)
        raise
    finally:
        for file, _, _ in staged:
            with suppress(OSError):  # what could not be flushed has been said
                file.close()


def write_bytes_together(files: Mapping[Path, bytes]) -> None:
    """Write several files whose bytes are there already, as `write_together` does."""

    def putting(data: bytes) -> Write:
        return lambda file: file.write(data)

    write_together({path: putting(data) for path, data in files.items()})


def clear_abandoned(folder: str | os.PathLike[str]) -> int:
    """Delete the temporary files of processes that were killed while they wrote into a folder; return how many.

    Those of processes that live are locked, and stay.
    """
    cleared = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_PART) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    cleared += _delete_if_abandoned(entry.path)
    return cleared


def is_disk_full(error: BaseException) -> bool:
    """Whether nothing more can be written, whatever it is."""
    return isinstance(error, OSError) and error.errno in _FULL


def check_writable(path: Path) -> None:
    """Raise OSError if it shows already that no file can be written at ``path``; make nothing."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if is_stream(path):
        place, mode = path, os.W_OK
    else:
        target = Path(os.path.realpath(path))
        place, mode = next(parent for parent in target.parents if parent.exists()), os.W_OK | os.X_OK
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
    if not os.access(place, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def is_stream(path: Path) -> bool:
    """Whether it is written in place: a device or a pipe, perhaps by way of a link."""
    return path.exists() and not path.is_file() and not path.is_dir()


def check_apart(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse to write over what is read, by whatever path: ValueError names both."""
    read = {identity(path): path for path in inputs}
    for path in outputs:
        if (source := read.get(identity(path))) is not None:
            raise ValueError(f"{path} must not be written, for {source} is read and would be lost")


def identity(path: Path) -> object:
    """Equal for two paths to one file or folder, which need not exist."""
    try:
        status = path.stat()
    except OSError:
        return path.resolve()
    return status.st_dev, status.st_ino


@contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Have what the system says of a file that is open, such as that its disk is full, name the file."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)
        raise


def _open_in_place(path: str | os.PathLike[str]) -> BinaryIO | None:
    """What must not be replaced, open for writing: standard output, a device, a pipe. None for everything else."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    for descriptor, stream in (1, sys.stdout), (2, sys.stderr):
        if _is_open_as(descriptor, status):
            if stream is not None:
                stream.flush()
            return os.fdopen(os.dup(descriptor), "wb")
    return None if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) else open(path, "wb")


def _is_open_as(descriptor: int, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), status)
    except OSError:  # closed
        return False


def _create_part(folder: Path) -> tuple[BinaryIO, Path]:
    """A new temporary file, locked for as long as it is open, so that others see that its process lives."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        part = folder / f".{secrets.token_hex(8)}{_PART}"
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        if sys.platform != "win32":
            with suppress(OSError):  # a file system without locks: nobody clears there
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not os.fstat(descriptor).st_nlink:  # cleared by another process before it was locked
                os.close(descriptor)
                continue
        return os.fdopen(descriptor, "wb"), part


def _delete_if_abandoned(part: str) -> bool:
    if sys.platform == "win32":
        os.unlink(part)  # an open file cannot be deleted there
        return True
    descriptor = os.open(part, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError if its process lives
        os.unlink(part)
    finally:
        os.close(descriptor)
    return True

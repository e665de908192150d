"""Downloads: a file takes its name once it is whole, and once it is what it should be."""

import hashlib
import http.client
import json
import os
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mattekit._progress import hidden
from mattekit.checkpoints.wording import plain, shown
from mattekit.photos import write_atomically

if sys.platform != "win32":
    import fcntl

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """How long a download waits, and for how much.

    Attributes:
        silence_s: Longest time without a byte, in seconds.
        window_s: The time over which a server must be faster than ``least_rate``, and send the head of an answer.
        least_rate: In bytes a second.
        largest: Most bytes of a file whose length nobody knows.
    """

    silence_s: float = 30
    window_s: float = 60
    least_rate: float = 1000
    largest: int = 4 << 30


class _RefusedError(Exception):
    """What a server sends is not the file: nothing of it is kept."""


class _StaleError(Exception):
    """What has come so far is no beginning of what the server has."""


def download(
    address: str,
    target: Path,
    *,
    length: int | None = None,
    sha256: str | None = None,
    check: Callable[[Path], object] = lambda _: None,
    limits: Limits = Limits(),
) -> Path:
    """The file ``target``, downloaded from an address where it is not there.

    The bytes gather in a file ending in ``.part``. The next call goes on from them if the server says, by its ETag,
    that the file is still the same, and starts anew otherwise. A lock keeps processes apart: the second waits and finds
    the file. (Windows has no such lock.) A file ending in ``.json`` remembers the length and the hash of what came
    first, against which the length is checked at each call, and both whenever the file is downloaded again.

    Args:
        address: Where it lies, over http or https.
        target: The file. Its folder is made if need be.
        length: Its length in bytes, where known.
        sha256: Its hash, in hexadecimal digits, where known.
        check: Called with the whole file before it takes its name; RuntimeError refuses it.
        limits: What to wait for.

    Raises:
        RuntimeError: If it cannot be downloaded, is not what it should be, or has another length than at first. The
            message says what to do.
    """
    try:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with _locked(_beside(target, "lock")):
                if not target.exists():
                    _bring(address, target, length, sha256, check, limits)
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        raise _failure(address, target, f"{plain(error)}. The next call goes on from what has come") from error
    except _RefusedError as error:
        raise _failure(address, target, f"what comes from there {error}. Nothing of it was kept") from error
    expected = length or _first(target).get("length")
    if expected is not None and (size := target.stat().st_size) != expected:
        raise RuntimeError(f"{target} has {size} bytes, and {expected} were downloaded: delete {target} and try again")
    return target


def demand_whole(target: Path, sha256: str | None = None) -> None:
    """Raise RuntimeError if a file is not what was downloaded, as far as its hash is known."""
    expected = sha256 or _first(target).get("sha256")
    if expected is not None and _hash(target) != expected:
        raise RuntimeError(f"{target} is not what was downloaded: delete {target} and try again")


def _failure(address: str, target: Path, reason: str) -> RuntimeError:
    return RuntimeError(
        f"cannot download {target.name} from {address}: {reason}. Without a network, fetch that address elsewhere and "
        f"put the file at {target}, or pass its path as weights"
    )


def _bring(
    address: str,
    target: Path,
    length: int | None,
    sha256: str | None,
    check: Callable[[Path], object],
    limits: Limits,
) -> None:
    part, first = _beside(target, "part"), _first(target)
    memory = f"the first download brought (to take this one, delete {_beside(target, 'json')} and try again)"
    lengths = [(length, "it must have"), (first.get("length"), memory)]
    hashes = [(sha256, "it must have"), (first.get("sha256"), memory)]
    try:
        _fetch(address, target, part, lengths, limits)
    except _StaleError:
        part.unlink()
        _fetch(address, target, part, lengths, limits)
    try:
        size, digest = part.stat().st_size, _hash(part)
        _compare("bytes", size, lengths)
        _compare("as its sha256", digest, hashes)
        try:
            check(part)
        except RuntimeError as error:
            raise _RefusedError(f"cannot be read: {error}") from error
    except _RefusedError:
        part.unlink()
        raise
    _remember(target, {"length": size, "sha256": digest})
    os.replace(part, target)


def _compare(what: str, found: int | str, expected: list[tuple[Any, str]]) -> None:
    for value, source in expected:
        if value is not None and value != found:
            raise _RefusedError(f"has {found} {what}, not the {value} that {source}")


def _fetch(address: str, target: Path, part: Path, lengths: list[tuple[Any, str]], limits: Limits) -> None:
    """Bring ``part`` to the full length, from where it stands if the server still has the same file."""
    etag = _recall(target).get("etag")
    done = part.stat().st_size if part.exists() else 0
    if etag is None and done:
        raise _StaleError
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-", "If-Range": etag} if done else {})}
    try:
        response = _open(urllib.request.Request(address, headers=headers), limits)
    except urllib.error.HTTPError as error:
        if done and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _StaleError from error
        raise
    with response:
        start, total = _answer(response, done, etag)
        if total is not None:
            _compare("bytes", total, lengths)
        if start == 0:
            part.unlink(missing_ok=True)  # before its new ETag is remembered
            _remember(target, {**_first(target), "etag": _strong(response)})
        _write(response, part, start, total, limits)


def _answer(response: http.client.HTTPResponse, done: int, etag: str | None) -> tuple[int, int | None]:
    """Where in the file the body begins, and how long the file is, as far as the server says."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise _RefusedError(f"is encoded, {shown(encoding)}, though the file itself was asked for")
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise _RefusedError("is a web page, perhaps one to log in on")
    if response.status == http.client.OK:
        return 0, response.length
    if response.status == http.client.PARTIAL_CONTENT and done:
        match = re.fullmatch(rf"bytes {done}-(\d{{1,18}})/(\d{{1,18}})", response.headers.get("Content-Range", ""))
        if match is None or response.headers.get("ETag", etag) != etag:
            raise _StaleError
        end, total = int(match[1]) + 1, int(match[2])
        if end != total or response.length not in (None, total - done):
            raise _StaleError
        return done, total
    raise _RefusedError(f"is an answer of status {response.status}, which brings no file")


def _strong(response: http.client.HTTPResponse) -> str | None:
    """The ETag, if it stands for the very bytes."""
    etag = response.headers.get("ETag", "")
    return etag if re.fullmatch(r'"[\x21\x23-\x7e]{1,200}"', etag) else None


def _write(response: http.client.HTTPResponse, part: Path, start: int, total: int | None, limits: Limits) -> None:
    size, most = start, limits.largest if total is None else total
    came, begun = 0, time.monotonic()
    with (
        tqdm(
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            desc=part.stem,
            disable=hidden(),
        ) as bar,
        part.open("ab") as file,
    ):
        while chunk := response.read1(_CHUNK):
            size += len(chunk)
            if size > most:
                break
            file.write(chunk)
            bar.update(len(chunk))
            came += len(chunk)
            if (passed := time.monotonic() - begun) >= limits.window_s:
                if came < limits.least_rate * passed:
                    raise OSError(f"it comes at less than {limits.least_rate:g} bytes a second")
                came, begun = 0, time.monotonic()
    if size > most or not size:
        part.unlink()
        raise _RefusedError(f"is longer than {most} bytes" if size else "is empty")
    if total is not None and size < total:
        raise OSError(f"got {size} of {total} bytes")


def _open(request: urllib.request.Request, limits: Limits) -> Any:
    """What urllib answers, within the time of one window, however the head or what leads elsewhere drips."""
    made: list[socket.socket] = []
    late = threading.Event()

    def shut() -> None:
        late.set()
        for connection in made:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limits.window_s, shut)
    timer.daemon = True

    def timed(connection: type[http.client.HTTPConnection]) -> Any:
        class Timed(connection):
            def connect(self) -> None:
                super().connect()
                made.append(self.sock)
                if late.is_set():
                    raise TimeoutError

        return Timed

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(timed(http.client.HTTPConnection), req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(timed(http.client.HTTPSConnection), req)

    too_late = TimeoutError(f"no answer within {limits.window_s:g} s")
    timer.start()
    try:
        response = urllib.request.build_opener(Http, Https).open(request, timeout=limits.silence_s)
    except (OSError, http.client.HTTPException) as error:
        if late.is_set():
            raise too_late from error
        raise
    finally:
        timer.cancel()
    if late.is_set():  # a head that was cut may read as a whole one
        response.close()
        raise too_late
    return response


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes: a file that is there while somebody does."""
    if sys.platform == "win32":
        yield
        return
    while True:
        file = path.open("ab")
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()  # whoever had it took the file away
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f"{target.name}.{suffix}")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recall(target: Path) -> dict[str, Any]:
    """What is remembered of a file: the length and sha256 of what came first, and the ETag of what is coming."""
    path = _beside(target, "json")
    try:
        known = json.loads(path.read_bytes()[:10_000])
        kinds = {"etag": str | None, "length": int, "sha256": str}
        if isinstance(known, dict) and all(isinstance(known[key], kinds[key]) for key in known):
            return known
    except FileNotFoundError:
        return {}
    except (KeyError, ValueError, RecursionError):
        pass
    raise RuntimeError(f"{path} is damaged: delete {path} and try again")


def _first(target: Path) -> dict[str, Any]:
    return {key: value for key, value in _recall(target).items() if key != "etag"}


def _remember(target: Path, known: dict[str, Any]) -> None:
    data = json.dumps(known).encode()
    write_atomically(_beside(target, "json"), lambda file: file.write(data))

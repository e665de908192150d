import errno
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mattekit.photos import write_atomically
from mattekit.photos.atomic import check_apart, check_writable, clear_abandoned, write_together

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def to(content):
    return lambda file: file.write(content)


def fail(file):
    file.write(b"half")
    raise OSError("disk full")


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert path.read_bytes() == b"before"


def test_written_files_have_ordinary_permissions(tmp_path):
    write_atomically(tmp_path / "a.bin", lambda file: file.write(b"x"))
    (tmp_path / "b.bin").write_bytes(b"x")
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "b.bin").stat().st_mode


def test_outputs_are_kept_apart_from_inputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    (tmp_path / "hard.png").hardlink_to(tmp_path / "a.png")
    check_apart([tmp_path / "b.png"], [tmp_path / "a.png"])
    for output in ("a.png", "./a.png", "hard.png"):
        with pytest.raises(ValueError, match=r"must not be written, for .*a\.png is read"):
            check_apart([Path(output)], [tmp_path / "a.png"])
    with pytest.raises(ValueError, match="must not be written"):  # neither is there
        check_apart([Path("b.png")], [tmp_path / "b.png"])


def test_what_cannot_be_written_shows_beforehand(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    check_writable(tmp_path / "file")
    check_writable(tmp_path / "new" / "newer" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path))):
        check_writable(tmp_path)
    with pytest.raises(NotADirectoryError, match=re.escape(str(tmp_path / "file"))):
        check_writable(tmp_path / "file" / "new" / "a.png")
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(PermissionError, match=re.escape(str(tmp_path))):
        check_writable(tmp_path / "new" / "a.png")


# ---- what is not ours to replace


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("there", "not-yet"):
        link = tmp_path / name
        link.symlink_to(tmp_path / "folder" / name)
    (tmp_path / "folder" / "there").write_bytes(b"before")
    for name in ("there", "not-yet"):
        write_atomically(tmp_path / name, to(b"after"))
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "folder" / name).read_bytes() == b"after"
        assert not (tmp_path / "folder" / name).is_symlink()
    assert names(tmp_path / "folder") == ["not-yet", "there"]


@needs_pipes
def test_a_named_pipe_is_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    check_writable(pipe)
    write_atomically(pipe, to(b"through"))
    reader.join(10)
    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


@needs_pipes
def test_a_device_stays_a_device(tmp_path):
    """A stand-in for /dev/null in a folder of the test's own."""
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_bytes(b"x")
    except OSError as error:
        pytest.skip(f"no device can be made and used here: {error}")
    (tmp_path / "link").symlink_to(device)
    for path in (device, tmp_path / "link"):
        check_writable(path)
        write_atomically(path, to(b"gone"))
        assert stat.S_ISCHR(device.stat().st_mode)
    assert names(tmp_path) == ["link", "null"]


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="this system has no /dev/stdout")
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_standard_output_by_name_comes_in_order(tmp_path, kind):
    """Whether a pipe or a file stands behind it, which must not be replaced under the process's feet."""
    script = (
        "from mattekit.photos import write_atomically\n"
        "print('first')\n"
        "write_atomically('/dev/stdout', lambda file: file.write(b'second\\n'))\n"
        "print('third')"
    )
    command = [sys.executable, "-c", script]
    if kind == "pipe":
        found = subprocess.run(command, capture_output=True, check=True).stdout
    else:
        with (tmp_path / "out").open("wb") as file:
            subprocess.run(command, stdout=file, check=True)
        found = (tmp_path / "out").read_bytes()
    assert found == b"first\nsecond\nthird\n"


def test_permissions_that_were_there_stay(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"x")
    (tmp_path / "a.bin").chmod(0o600)
    write_atomically(tmp_path / "a.bin", to(b"y"))
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o600


def test_a_name_as_long_as_the_system_takes(tmp_path):
    write_atomically(tmp_path / ("a" * 255), to(b"x"))
    assert names(tmp_path) == ["a" * 255]


# ---- several files


def test_all_or_none(tmp_path):
    with pytest.raises(OSError, match="disk full"):
        write_together({tmp_path / "a": to(b"whole"), tmp_path / "b": fail})
    assert names(tmp_path) == []
    write_together({tmp_path / "a": to(b"whole"), tmp_path / "b": to(b"too")})
    assert names(tmp_path) == ["a", "b"]


def test_none_where_the_second_cannot_take_its_place(tmp_path):
    (tmp_path / "b" / "inside").mkdir(parents=True)
    (tmp_path / "a").write_bytes(b"before")
    for first in "a", "c":
        with pytest.raises(IsADirectoryError) as caught:
            write_together({tmp_path / first: to(b"whole"), tmp_path / "b": to(b"too")})
        assert caught.value.filename == str(tmp_path / "b")
    assert names(tmp_path) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == b"before"


# ---- a disk that is full


def test_a_full_disk_leaves_what_was_there(small_disk):
    write_atomically(small_disk / "a", to(bytes(20_000)))
    for contents in ({"a": 60_000}, {"b": 10_000, "a": 60_000}):
        with pytest.raises(OSError, match=r"No space left") as caught:
            write_together({small_disk / name: to(bytes(size)) for name, size in contents.items()})
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(small_disk / "a"), "it must name the file that had no room"
        assert names(small_disk) == ["a"]
        assert (small_disk / "a").read_bytes() == bytes(20_000)


# ---- what a kill leaves behind

WRITER = """
import sys, time
from mattekit.photos import write_atomically
def write(file):
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
write_atomically(sys.argv[1], write)
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of writing tmp_path/a."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path / "a"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_only_parts_of_dead_processes_are_cleared(tmp_path, writer):
    others = [".download.part", ".mine.mattekit.part.txt", "a.part"]
    for name in others:
        (tmp_path / name).touch()
    (part,) = (path for path in tmp_path.iterdir() if path.name not in others)
    assert clear_abandoned(tmp_path) == 0
    writer.kill()
    writer.wait()
    assert not (tmp_path / "a").exists()
    assert part.exists()
    assert clear_abandoned(tmp_path) == 1
    assert names(tmp_path) == sorted(others)
    assert clear_abandoned(tmp_path / "no-folder") == 0

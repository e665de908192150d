"""What signals, full disks, broken streams and odd names do to a command; with real processes where they matter."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from mattekit import cli
from mattekit.cli.signals import Stopped, stopping
from mattekit.photos import write_image

posix = pytest.mark.skipif(os.name != "posix", reason="signals, descriptors and bytes in names are those of POSIX")


@pytest.fixture(autouse=True)
def _heed_sigint():
    """A shell has its background jobs ignore it, `make test &` among them, and then so does mattekit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


needs_full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")


def fill(folder, *names, shape=(8, 12)):
    """Mattes to score, in pred/ and alpha/."""
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        for kind in ("pred", "alpha"):
            (folder / kind).mkdir(exist_ok=True)
            write_image(folder / kind / f"{name}.png", pixels)


def evaluate(folder, *options):
    command = [sys.executable, "-m", "mattekit", "evaluate", folder / "pred", folder / "alpha", "--workers", "1"]
    return [*command, *options]


# ---- standard streams


@posix
def test_results_are_written_before_a_closed_pipe_is_noticed(tmp_path):
    fill(tmp_path, "a")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(evaluate(tmp_path, "--csv", tmp_path / "s.csv"), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 0
    assert b"Error" not in done.stderr
    assert (tmp_path / "s.csv").read_text().count("\n") == 2
    assert json.loads((tmp_path / "s.json").read_text())["mean"]


@posix
@needs_full_device
def test_results_that_nobody_got_are_no_success(tmp_path):
    fill(tmp_path, "a")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(evaluate(tmp_path), stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1
        assert "standard output did not take everything: [Errno 28]" in done.stderr
        assert "Traceback" not in done.stderr
        done = subprocess.run(evaluate(tmp_path), stdout=subprocess.PIPE, stderr=full, text=True)
        assert done.returncode == 0
        assert done.stdout.startswith("1 image ")


@posix
@needs_full_device
def test_help_that_nobody_got_is_no_success(monkeypatch):
    for arguments in (["--version"], ["predict", "--help"]):
        with open("/dev/full", "w") as full:
            monkeypatch.setattr(sys, "stdout", full)
            assert cli.main(arguments) == 1


@posix
def test_nothing_takes_the_place_of_closed_streams(tmp_path):
    """Neither a file of ours nor, where stderr is closed, what was meant for it on stdout."""
    fill(tmp_path, "a")
    (tmp_path / "pred" / "a.png").write_bytes(b"no image")
    for closed in ("2>&-", "0<&- 1>&- 2>&-"):
        command = ["sh", "-c", f'"$@" {closed}', "sh", *evaluate(tmp_path, "--csv", tmp_path / "s.csv")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
        fill(tmp_path, "a")
        assert subprocess.run(command).returncode == 0
        assert (tmp_path / "s.csv").read_text().startswith("image,region,")
        (tmp_path / "pred" / "a.png").write_bytes(b"no image")


@posix
def test_names_that_the_stream_or_the_system_cannot_write(tmp_path):
    """Bytes that are no UTF-8 come out as they are; what latin-1 lacks is escaped."""
    names = [os.fsdecode(b"\xff"), "\N{HIRAGANA LETTER A}"]
    try:
        fill(tmp_path, *names)
    except OSError as error:
        pytest.skip(f"this file system takes no such names: {error}")
    for name in names:
        write_image(tmp_path / "trimaps" / f"{name}.png", np.full((8, 12), 7, np.uint8))
    fill(tmp_path, "plain")
    write_image(tmp_path / "trimaps" / "plain.png", np.full((8, 12), 128, np.uint8))
    for encoding, second in ("utf-8", names[1].encode()), ("latin-1", b"\\u3042"):
        options = ["--trimaps", tmp_path / "trimaps", "--csv", tmp_path / "s.csv"]
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        done = subprocess.run(evaluate(tmp_path, *options), capture_output=True, env=environment)
        assert done.returncode == 1
        assert b"failed: \xff: ValueError: trimap must hold only" in done.stderr
        assert b"failed: " + second + b": ValueError" in done.stderr
        assert done.stdout.startswith(b"1 image ")
    done = subprocess.run(evaluate(tmp_path, "--csv", tmp_path / "s.csv"), capture_output=True)
    assert done.returncode == 0
    assert b"\n\xff,whole,0.0," in (tmp_path / "s.csv").read_bytes()


@posix
def test_a_pipe_gets_the_csv_and_nothing_stands_beside_it(tmp_path):
    fill(tmp_path, "a")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()), daemon=True)
    reader.start()
    assert cli.main([str(word) for word in evaluate(tmp_path, "--csv", pipe)[3:]]) == 0
    reader.join(10)
    assert found[0].startswith("image,region,sad")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alpha", "pipe", "pred"]


# ---- the end of evaluate's workers

SLEEPER = """
import signal, sys
from mattekit import cli, evaluation
from oracles.faulty_protocols import Sleeping, like
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    evaluation.PROTOCOLS["sleeping"] = like(Sleeping, "ppm-aim-195")
    sys.exit(cli.main(["evaluate", *sys.argv[1:], "--workers", "2", "--protocol", "sleeping"]))
"""


@posix
@pytest.mark.parametrize(("signum", "status"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGKILL", -9)])
def test_workers_end_with_their_parent(tmp_path, signum, status):
    """They hold its standard output, which would never close otherwise."""
    fill(tmp_path, "a", "b", "c")
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    command = [sys.executable, tmp_path / "sleeper.py", tmp_path / "pred", tmp_path / "alpha"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
    )
    try:
        workers = {process.stdout.readline() for _ in range(2)}
        assert len(workers) == 2, process.stderr.read()
        os.killpg(process.pid, signal.SIGINT) if signum == "SIGINT" else process.send_signal(signal.Signals[signum])
        _, errors = process.communicate(timeout=60)  # until nobody holds the pipes
    finally:
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
    assert process.returncode == status
    said = [line for line in errors.decode().splitlines() if "image/s" not in line and line]
    if status > 0:  # of a killed one Python itself says what it left open
        assert said == [f"mattekit: stopped by {signum}"]


# ---- predict


class Grey(torch.nn.Module):
    """Every matte is grey."""

    def forward(self, image):
        return type("Output", (), {"alpha": torch.full_like(image[:, :1], 0.5)})


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Three photos of noise, which nothing compresses, and a network that takes no time."""
    monkeypatch.setattr("mattekit.models.pp_matting", lambda weights: Grey())
    monkeypatch.setattr("mattekit.inference.prepare", lambda model, **_: model)
    for seed, name in enumerate("abc"):
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 96, 3), dtype=np.uint8)
        write_image(tmp_path / "photos" / f"{name}.png", pixels)
    return tmp_path / "photos"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def predict(photos, out, *options):
    return cli.main(["predict", str(photos), "--out", str(out), *map(str, options)])


@posix
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_after_the_photo_in_work(tmp_path, photos, capsys, monkeypatch, signum, status):
    from mattekit import inference

    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    real = inference.predict

    def interrupted(*args, **options):
        os.kill(os.getpid(), signum)
        return real(*args, **options)

    monkeypatch.setattr("mattekit.inference.predict", interrupted)
    assert predict(photos, tmp_path / "out") == status
    assert names(tmp_path / "out") == ["a_alpha.png", "a_cutout.png"]
    out, err = capsys.readouterr()
    assert out.startswith("wrote 1 of 3 mattes")
    assert f"mattekit predict: stopped by {signum.name}, after 1 of 3 photos\n" in err
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers


@posix
def test_a_signal_ends_after_those_in_work_together(tmp_path, photos, capsys, monkeypatch):
    from mattekit import inference

    for n, name in enumerate("defghi"):
        shutil.copy(photos / f"{'abc'[n % 3]}.png", photos / f"{name}.png")
    real, sent = inference.predict, []

    def interrupted(*args, **options):
        if not sent:
            sent.append(None)
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **options)

    monkeypatch.setattr("mattekit.inference.predict", interrupted)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert predict(photos, tmp_path / "out") == 143
    finally:
        torch.set_num_threads(before)
    found = names(tmp_path / "out")
    done = len(found) // 2
    assert found == [f"{name}_{kind}.png" for name in "abcdefghi"[:done] for kind in ("alpha", "cutout")]
    assert 1 <= done < 9
    out, err = capsys.readouterr()
    assert out.startswith(f"wrote {done} of 9 mattes")
    assert f"mattekit predict: stopped by SIGTERM, after {done} of 9 photos\n" in err


@posix
def test_a_second_signal_ends_at_once(tmp_path, photos, capsys, monkeypatch):
    def interrupted(*args, **options):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on")

    monkeypatch.setattr("mattekit.inference.predict", interrupted)
    assert predict(photos, tmp_path / "out") == 130
    assert not (tmp_path / "out").exists()
    assert capsys.readouterr().err.splitlines()[-1] == "mattekit: stopped by SIGINT"


def started(tmp_path, out):
    """A real process that mattes forty photos, several at once."""
    for seed in range(40):
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 96, 3), dtype=np.uint8)
        write_image(tmp_path / "photos" / f"{seed:02}.png", pixels)
    command = [sys.executable, "-m", "mattekit", "predict", str(tmp_path / "photos"), "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def check_whole_pairs(folder):
    """Both files of a photo or neither, all of which can be read; how many photos have theirs."""
    found = names(folder)
    assert found == [f"{n:02}_{kind}.png" for n in sorted({int(name[:2]) for name in found}) for kind in PAIR]
    for name in found:
        with Image.open(folder / name) as image:
            image.load()
    return len(found) // 2


PAIR = "alpha", "cutout"


@posix
def test_a_real_process_is_told_to_end(tmp_path):
    out = tmp_path / "out"
    process = started(tmp_path, out)
    while process.poll() is None and not list(out.glob("*_alpha.png")):
        time.sleep(0.002)
    process.terminate()
    said, complaint = process.communicate(timeout=100)
    assert process.returncode == 143
    done = check_whole_pairs(out)
    assert 1 <= done < 40
    assert said == f"wrote {done} of 40 mattes, with their cut-outs, to {out}\n"
    assert complaint.endswith(f"mattekit predict: stopped by SIGTERM, after {done} of 40 photos\n")


def test_a_real_process_runs_out_of_disk(tmp_path, small_disk):
    process = started(tmp_path, small_disk)
    said, complaint = process.communicate(timeout=100)
    assert process.returncode == 1
    done = check_whole_pairs(small_disk)
    assert 1 <= done < 40
    assert said == f"wrote {done} of 40 mattes, with their cut-outs, to {small_disk}\n"
    assert "No space left on device: " in complaint
    assert complaint.endswith(f".png', after {done} of 40 photos\n")


@posix
def test_a_signal_that_the_caller_ignores_stays_ignored(tmp_path, photos, monkeypatch):
    from mattekit import inference

    real = inference.predict

    def interrupted(*args, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **options)

    monkeypatch.setattr("mattekit.inference.predict", interrupted)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert predict(photos, tmp_path / "out") == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_full_disk_ends_with_whole_pairs(photos, small_disk, capsys):
    """64 kB hold the files of two photos and the matte of the third, and not its cut-out, of about 18 kB each."""
    assert predict(photos, small_disk) == 1
    found = names(small_disk)
    assert found[:2] == ["a_alpha.png", "a_cutout.png"]
    assert len(found) % 2 == 0
    assert len(found) < 6
    out, err = capsys.readouterr()
    assert out.startswith(f"wrote {len(found) // 2} of 3 mattes")
    assert err.count("failed: ") == 1
    assert "No space left on device: " in err
    assert err.endswith(f".png', after {len(found) // 2} of 3 photos\n")
    for name in found:
        with Image.open(small_disk / name) as image:
            image.load()


class Sips(io.RawIOBase):
    """An output that takes a few bytes at a time, as any may that PYTHONUNBUFFERED leaves without a buffer."""

    def __init__(self):
        self.taken = b""

    def writable(self):
        return True

    def write(self, data):
        self.taken += bytes(data[:1000])
        return min(len(data), 1000)


def test_standard_output_gets_all_of_a_file(photos, monkeypatch):
    output = Sips()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, write_through=True))
    assert predict(photos / "a.png", "-") == 0
    with Image.open(io.BytesIO(output.taken)) as image:
        image.load()


@posix
def test_a_reader_of_a_file_may_go_away(photos, monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert predict(photos / "a.png", "-") == 0
    assert "failed" not in capfd.readouterr().err


def test_standard_input_may_be_closed(tmp_path, photos, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert predict("-", tmp_path / "out") == 2
    assert "failed: -: standard input is closed\n" in capsys.readouterr().err


@posix
def test_predict_clears_what_a_killed_run_left(tmp_path, photos):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".0123456789abcdef.mattekit.part").write_bytes(b"half")
    assert predict(photos, tmp_path / "out") == 0
    assert len(names(tmp_path / "out")) == 6


@posix
@pytest.mark.parametrize(
    "command",
    [
        ["info"],
        ["predict", "a.png", "--weights"],
        ["export", "--half", "a.onnx"],
        ["train", "--print-config", "--config"],
    ],
)
def test_a_pipe_is_no_weights_and_no_settings(tmp_path, capsys, command):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = [*command[:-1], str(pipe), command[-1]] if command[0] == "export" else [*command, str(pipe)]
    assert cli.main(words) == 2
    assert f"{str(pipe)!r} is no regular file, but a pipe, a socket or a device\n" in capsys.readouterr().err


@posix
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_processes_forked_from_a_command_leave_sigint_to_it():
    """As a DataLoader's workers do, which a terminal's Ctrl-C reaches too."""
    with stopping():
        child = os.fork()
        if not child:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGINT)


@posix
def test_a_pipe_is_no_photo(tmp_path, photos, capsys):
    os.mkfifo(photos / "pipe.png")
    assert predict(photos / "pipe.png", tmp_path / "out") == 2
    assert f"failed: {photos / 'pipe.png'}: " in capsys.readouterr().err

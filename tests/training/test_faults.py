"""What stops a run, what is said, and what is left."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from mattekit import checkpoints
from mattekit.data import SampleError
from mattekit.data.loader import epoch_order
from mattekit.training import ResumeError, StepResult, TrainingError, reproduce, train, validate
from mattekit.training.checkpoint import write_state
from training.test_resume import assert_equal, log, run, state
from training.tiny import SOURCE, TRANSFORM, Convolutions, ConvolutionStep, settings


class Exploding(ConvolutionStep):
    """Its loss, or only its gradient, becomes NaN once a sample's number is met."""

    def __init__(self, model, *, calls, where="loss"):
        super().__init__(model)
        self.calls = calls
        self.where = where

    def forward(self, batch):
        result = super().forward(batch)
        self.calls -= 1
        if self.calls >= 0:
            return result
        total = result.losses["total"]
        if self.where == "loss":
            return StepResult({"total": total * float("nan")}, result.output)
        return StepResult({"total": total + (result.output.alpha.sum() * 0).sqrt()}, result.output)  # 0 · ∞


@pytest.mark.parametrize(("where", "said"), [("loss", "total is nan"), ("gradient", "the gradient is not finite in ")])
def test_nan_stops_with_names_and_a_dump_that_reproduces_it(tmp_path, where, said):
    with pytest.raises(TrainingError) as caught:
        run(tmp_path, step=Exploding(Convolutions(), calls=6, where=where), iterations=8, accumulate=2)
    message = str(caught.value)
    assert message.startswith("iteration 3 stopped: " + said)
    assert message.count(" 3/") == 8, "the names of the eight samples of two batches"
    assert f"the last checkpoint, {tmp_path / 'state.pt'}, is good" in message
    assert state(tmp_path)["progress"]["iteration"] == 2

    again = Exploding(Convolutions(), calls=0, where=where)
    results = reproduce(tmp_path / "failed-3-0.pt", again)
    assert len(results) == 2
    assert torch.isnan(results[0].losses["total"]) == (where == "loss")
    assert not all(parameter.grad.isfinite().all() for parameter in again.parameters())
    # with the same weights, samples and random numbers a good step gives what it gave then, in every call
    good = [reproduce(tmp_path / "failed-3-0.pt", ConvolutionStep(Convolutions())) for _ in range(2)]
    assert good[0][1].losses["total"].isfinite()
    assert torch.equal(good[0][1].output.alpha, good[1][1].output.alpha)

    run(tmp_path, iterations=8, accumulate=2, resume=True)  # mended, it goes on


class Bad:
    """A source with samples that cannot be read."""

    fingerprint = "bad"

    def __init__(self, *bad):
        self.bad = bad

    def __len__(self):
        return len(SOURCE)

    def __call__(self, index, rng):
        if index in self.bad:
            raise OSError("broken.jpg is truncated")
        return SOURCE(index, rng)


class Drawn:
    """A few samples for validation, of which some cannot be read."""

    def __init__(self, length, bad=()):
        self.length = length
        self.bad = bad
        self.fingerprint = "drawn"

    def __len__(self):
        return self.length

    def __call__(self, index, rng):
        return Bad(*self.bad)(index, rng)


def test_a_bad_sample_is_named(tmp_path):
    with pytest.raises(SampleError, match=r"sample 4 of epoch 0: OSError: broken\.jpg is truncated"):
        run(tmp_path, Bad(4), iterations=3)


def test_bad_samples_are_skipped_and_counted_if_asked(tmp_path):
    run(tmp_path, Bad(4, 7), iterations=5, skip_errors=True)  # two epochs of ten samples
    assert state(tmp_path)["progress"]["skipped"] == 4
    assert (tmp_path / "log.csv").read_text().splitlines()[-1].split(",")[5] == "4"


def test_a_log_that_cannot_be_written_stops_a_run_midway(tmp_path, monkeypatch):
    def full(path, row):
        raise OSError("No space left on device")

    monkeypatch.setattr("mattekit.training.logs._append", full)
    with pytest.raises(TrainingError, match="iteration 1 stopped: OSError: No space left on device; there is no"):
        run(tmp_path, iterations=3, log_every=1)


class Failing(ConvolutionStep):
    """Its fourth call has no memory left."""

    calls = 0

    def forward(self, batch):
        self.calls += 1
        if self.calls == 4:
            raise RuntimeError("out of memory")
        return super().forward(batch)


def test_whatever_stops_a_run_midway_says_how_far_it_was(tmp_path):
    message = r"^iteration 3 stopped: RuntimeError: out of memory; the last checkpoint, .*state\.pt, is good$"
    with pytest.raises(TrainingError, match=message) as caught:
        run(tmp_path, step=Failing(Convolutions()), iterations=6)
    assert not isinstance(caught.value, ResumeError), "which the command line takes for a run that did not begin"


def test_a_batch_without_a_sample_is_passed_over(tmp_path):
    bad = int(epoch_order(0, 0, len(SOURCE))[3])
    run(tmp_path, Bad(bad), iterations=9, batch_size=1, checkpoint_every=9, skip_errors=True)
    progress = state(tmp_path)["progress"]
    assert progress["skipped"] == 1
    assert progress["position"] == {"epoch": 1, "index": 0}


def test_a_source_without_any_sample_stops_a_run(tmp_path):
    message = r"in a whole epoch no batch has a sample for every process; left out of the last:\n  sample \d of epoch 1"
    with pytest.raises(SampleError, match=message):
        run(tmp_path, Bad(*range(10)), iterations=1, skip_errors=True)


def test_processes_that_find_different_checkpoints_are_refused(tmp_path, monkeypatch):
    run(tmp_path, iterations=2)
    monkeypatch.setattr("mattekit.training.processes.gathered", lambda own, found: [found, "no checkpoint"])
    message = (
        r"state\.pt must be the same for all processes, got iteration 2 in process 0, no checkpoint in process 1: "
    )
    with pytest.raises(ResumeError, match=message):
        run(tmp_path, iterations=2, resume=True)


FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from training.tiny import SOURCE, TRANSFORM, Convolutions, ConvolutionStep, settings
from mattekit.training import TrainingError, train
folder = Path(sys.argv[1])
train(ConvolutionStep(Convolutions()), SOURCE, settings(iterations=2), folder / "a", transform=TRANSFORM)
size = (folder / "a" / "state.pt").stat().st_size
class Filling(ConvolutionStep):
    def forward(self, batch):
        if (folder / "b" / "state.pt").exists():  # from now on no file may grow to a checkpoint's size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, resource.RLIM_INFINITY))
        return super().forward(batch)
try:
    train(Filling(Convolutions()), SOURCE, settings(iterations=4), folder / "b", transform=TRANSFORM)
except TrainingError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    command = [sys.executable, "-c", FULL_DISK, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=__file__.rpartition("/training/")[0])
    assert done.returncode == 0, done.stderr
    path = tmp_path / "b" / "state.pt"
    assert done.stdout.startswith(f"a checkpoint could not be written to {path}: ")
    assert f"the last checkpoint, {path}, is whole: make room and resume" in done.stdout
    assert state(tmp_path / "b")["progress"]["iteration"] == 2
    assert not [name for name in (tmp_path / "b").iterdir() if name.suffix == ".part"]
    train(
        ConvolutionStep(Convolutions()),
        SOURCE,
        settings(iterations=4),
        tmp_path / "b",
        transform=TRANSFORM,
        resume=True,
    )
    run(tmp_path / "c", iterations=4)
    assert_equal(state(tmp_path / "b"), state(tmp_path / "c"))


VALIDATED = {"iterations": 4, "checkpoint_every": 4, "validate_every": 2, "validation": Drawn(4)}


def files(folder):
    """What a run leaves, but for the times in its log."""
    kept = {name: load_file(folder / f"{name}.safetensors") for name in ("best", "last")}
    return {**kept, "state": state(folder), "validation": (folder / "validation.csv").read_text(), "log": log(folder)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    run(folder, **VALIDATED)
    return files(folder)


@pytest.mark.parametrize("at", [3, 4, 6, 7])
def test_a_run_killed_between_two_files_is_the_run_left_alone(tmp_path, monkeypatch, alone, at):
    """At iterations 2 and 4 it writes last.safetensors, state.pt, perhaps best.safetensors, and state.pt again."""

    def counted(write):
        def writes(*arguments):
            nonlocal left
            left -= 1
            if not left:
                raise KeyboardInterrupt
            write(*arguments)

        return writes

    left = at
    monkeypatch.setattr("mattekit.training.run.write_state", counted(write_state))
    monkeypatch.setattr("mattekit.checkpoints.save", counted(checkpoints.save))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, **VALIDATED)
    run(tmp_path, **VALIDATED, resume=True)
    assert_equal(files(tmp_path), alone)


def test_a_bad_validation_sample_costs_no_iteration(tmp_path, alone):
    bad = {**VALIDATED, "validation": Drawn(4, bad=[1])}
    with pytest.raises(SampleError, match=r"^validation sample 1: OSError: broken\.jpg is truncated$"):
        run(tmp_path, **bad)
    assert state(tmp_path)["progress"]["iteration"] == 2
    with pytest.raises(SampleError, match="validation sample 1: "):
        run(tmp_path, **bad, resume=True)
    with pytest.warns(UserWarning, match=r"cannot be read: 1 samples\n  validation sample 1: OSError: broken\.jpg"):
        run(tmp_path, **bad, resume=True, skip_errors=True)
    assert_equal(files(tmp_path)["last"], alone["last"])
    assert log(tmp_path) == alone["log"]
    assert [row.split(",")[0] for row in (tmp_path / "validation.csv").read_text().splitlines()[1:]] == ["2", "4"]


def test_a_validation_without_any_sample_stops():
    none = pytest.raises(SampleError, match="none of the 2 validation samples can be read")
    with pytest.warns(UserWarning, match="cannot be read: 2 samples"), none:
        validate(Convolutions(), Drawn(2, bad=[0, 1]), skip_errors=True)


def test_a_run_that_a_bad_sample_stopped_goes_on_without_it(tmp_path):
    with pytest.raises(SampleError):
        run(tmp_path / "run", Bad(4), iterations=5)
    run(tmp_path / "run", Bad(4), iterations=5, resume=True, skip_errors=True)
    run(tmp_path / "alone", Bad(4), iterations=5, skip_errors=True)
    assert_equal(state(tmp_path / "run"), state(tmp_path / "alone"))


def test_a_damaged_log_is_named(tmp_path):
    run(tmp_path, iterations=2, log_every=1)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("abc,1\n")
    message = r"log\.csv, line 4 must begin with an iteration, got 'abc': mend or delete the line"
    with pytest.raises(ResumeError, match=message):
        run(tmp_path, iterations=2, log_every=1, resume=True)

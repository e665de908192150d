"""What stops a run, what is said, and what is left."""

import subprocess
import sys

import pytest
import torch

from mattekit.data import SampleError
from mattekit.training import StepResult, TrainingError, reproduce, train
from training.test_resume import assert_equal, run, state
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
    assert "the last checkpoint, if there is one, is good" in message
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
    with pytest.raises(TrainingError, match="iteration 1 stopped: No space left on device; the last checkpoint"):
        run(tmp_path, iterations=3, log_every=1)


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

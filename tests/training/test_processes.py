"""Two processes are one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mattekit.training import TrainingError
from training.test_resume import assert_equal, log, run, state
from training.tiny import network


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "-m", "training.two_processes", folder]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4, "the run must be killed before it is done"
    return folder


def change(folder):
    """What was learned: the difference from the first weights, of all parameters."""
    first = network()
    learned = state(folder)["step"]
    return torch.cat(
        [(learned[f"model.{name}"] - value.detach()).flatten() for name, value in first.named_parameters()]
    )


def test_two_processes_learn_what_one_does(runs):
    """Each process weighs its means by what they are taken over, so that only the order of the sums differs: some
    1e-7 of a gradient a step, which the four steps amplify. Plain averages of the processes' losses are far off."""
    one, two, plain = (change(runs / name) for name in ("one", "two", "unweighted"))
    assert one.norm() > 0.05
    assert (two - one).norm() < 1e-4 * one.norm()
    assert (plain - one).norm() > 1e-2 * one.norm()


def test_their_logs_agree(runs):
    for one, two in zip(log(runs / "one"), log(runs / "two"), strict=True):
        for name in one:
            assert float(two[name]) == pytest.approx(float(one[name]), rel=1e-4), name


def test_two_killed_processes_resume(runs):
    assert_equal(state(runs / "alone"), state(runs / "killed"))


def test_another_number_of_processes_is_refused(runs):
    with pytest.raises(TrainingError, match="number of processes is 1, was 2"):
        run(runs / "two", resume=True, iterations=4, checkpoint_every=2, learning_rate=0.05)

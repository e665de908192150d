"""Two processes are one."""

import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
from torch import nn

from mattekit.data.loader import epoch_order
from mattekit.training import TrainingError
from mattekit.training.processes import distribute
from training.test_resume import assert_equal, log, run, state
from training.tiny import SOURCE, network
from training.two_processes import SomeUnreadable


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


def test_they_pass_over_a_batch_that_leaves_one_of_them_without_a_sample(runs):
    """And count what both of them skip."""
    order = [(epoch, index) for epoch in range(4) for index in epoch_order(0, epoch, len(SOURCE))]
    at = skipped = iterations = 0
    while iterations < 4:
        readable = [index not in SomeUnreadable.bad for _, index in order[at : at + 4]]
        at += 4
        skipped += readable.count(False)
        iterations += any(readable[:2]) and any(readable[2:])
    progress = state(runs / "alone")["progress"]
    assert progress["skipped"] == skipped
    assert progress["position"] == dict(zip(("epoch", "index"), divmod(at, len(SOURCE)), strict=True))


def test_another_number_of_processes_is_refused(runs):
    with pytest.raises(TrainingError, match="number of processes is 1, was 2"):
        run(runs / "two", resume=True, iterations=4, checkpoint_every=2, learning_rate=0.05)


@pytest.mark.parametrize(
    ("device", "asked", "kind"),
    [("cuda", True, nn.SyncBatchNorm), ("cuda", False, nn.BatchNorm2d), ("cpu", True, nn.BatchNorm2d)],
)
def test_batch_norms_are_synchronised_on_gpus_alone(device, asked, kind):
    """Which layers a process gets; that they agree over GPUs is torch's own to show."""
    accelerator = MagicMock(device=torch.device(device), num_processes=2)
    accelerator.prepare_model.side_effect = lambda module, **_: module
    called = distribute(accelerator, nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), sync_batch_norm=asked)
    assert type(called[1]) is kind

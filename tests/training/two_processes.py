"""Train on one process and on two, and again on two that are killed: python -m training.two_processes FOLDER.

The processes are forked from this one, which has imported everything and started nothing.
"""

import os
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch._dynamo  # an optimiser imports it, which takes each process three seconds

from mattekit.data.loader import epoch_order
from mattekit.training import PPMattingStep, step, train
from training.tiny import SOURCE, TRANSFORM, Convolutions, ConvolutionStep, network, settings

ITERATIONS = 4


class Frozen(PPMattingStep):
    """PP-Matting whose batch norms do not look at the batch, of which each process sees a part."""

    def train(self, mode=True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        return self


class SomeLayers:
    """Of every other sample the layers are not known, so that processes have different numbers of them."""

    fingerprint = "some layers"

    def __len__(self):
        return len(SOURCE)

    def __call__(self, index, rng):
        sample = SOURCE(index, rng)
        return sample if index % 2 else replace(sample, foreground=None, background=None)


class SomeUnreadable(SomeLayers):
    """The whole share of a process in the first batch cannot be read, nor can another sample."""

    fingerprint = "some unreadable"
    bad = tuple(epoch_order(0, 0, len(SOURCE))[[0, 1, 6]].tolist())

    def __call__(self, index, rng):
        if index in self.bad:
            raise OSError("it is truncated")
        return super().__call__(index, rng)


def fork(folder, make_step, processes, source=SomeLayers, resume=False):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for rank in range(processes):
        pid = os.fork()
        if pid:
            children.append(pid)
            continue
        torch.set_num_threads(1)
        if processes > 1:
            names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
            names |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in names.items()})
        try:
            options = {"checkpoint_every": 2, "learning_rate": 0.05, "skip_errors": source is SomeUnreadable}
            chosen = settings(iterations=ITERATIONS, **options)
            train(make_step(), source(), chosen, folder, transform=TRANSFORM, resume=resume)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return children


def ended(children):
    if any(os.waitpid(pid, 0)[1] for pid in children):
        sys.exit("a process failed")


def unweighted():
    step.share_of_all = lambda *counts: torch.ones(len(counts))
    return Frozen(network())


def main():
    root = Path(sys.argv[1])
    ended(fork(root / "one", lambda: Frozen(network()), 1))
    ended(fork(root / "two", lambda: Frozen(network()), 2))
    ended(fork(root / "unweighted", unweighted, 2))
    ended(fork(root / "alone", lambda: ConvolutionStep(Convolutions()), 2, SomeUnreadable))
    children = fork(root / "killed", lambda: ConvolutionStep(Convolutions()), 2, SomeUnreadable)
    while not (root / "killed" / "state.pt").exists():
        time.sleep(0.02)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    print(torch.load(root / "killed" / "state.pt", weights_only=True)["progress"]["iteration"])
    ended(fork(root / "killed", lambda: ConvolutionStep(Convolutions()), 2, SomeUnreadable, resume=True))


if __name__ == "__main__":
    main()

"""Train in processes that are killed again and again: python -m training.kill_and_resume FOLDER KILLS SEED.

Each run is forked from this process, which has imported everything and started nothing, and so takes no time to begin.
It tells of each sample that it takes by a byte in a pipe, and is killed some samples and some milliseconds later.
Prints at which iterations the kills left the checkpoint.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # an optimiser imports it, which takes each process three seconds

from mattekit.training import train
from training.tiny import SOURCE, TRANSFORM, Convolutions, ConvolutionStep, settings

SETTINGS = settings(iterations=30, checkpoint_every=2, log_every=5, ema=0.9, accumulate=2, validate_every=10)
VALIDATION = type(SOURCE)(seed=4, size=40, length=2)


class Telling:
    """A source that writes a byte for each sample."""

    fingerprint = "telling"

    def __init__(self, pipe):
        self.pipe = pipe

    def __len__(self):
        return len(SOURCE)

    def __call__(self, index, rng):
        os.write(self.pipe, b".")
        return SOURCE(index, rng)


def fork(folder):
    """Start a run; return its process and the end of the pipe that tells of it."""
    told, telling = os.pipe()
    pid = os.fork()
    if pid:
        os.close(telling)
        return pid, told
    try:
        step = ConvolutionStep(Convolutions())
        options = {"transform": TRANSFORM, "validation": VALIDATION, "resume": True}
        train(step, Telling(telling), SETTINGS, folder, **options)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def end(folder):
    pid, told = fork(folder)
    while os.read(told, 4096):
        pass
    os.close(told)
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit("a run failed")


def main():
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    end(folder / "alone")
    rng, reached = random.Random(seed), []
    for _ in range(kills):
        pid, told = fork(folder / "killed")
        for _ in range(rng.randint(4, 48)):  # eight samples are an iteration
            os.read(told, 1)
        time.sleep(rng.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.close(told)
        os.waitpid(pid, 0)
        state = folder / "killed" / "state.pt"
        reached.append(torch.load(state, weights_only=True)["progress"]["iteration"] if state.exists() else 0)
    end(folder / "killed")
    print(*reached)


if __name__ == "__main__":
    main()

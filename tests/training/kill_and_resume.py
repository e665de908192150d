"""Train in processes that are killed again and again: python -m training.kill_and_resume FOLDER KILLS SEED.

Each run is forked from this process, which has imported everything and started nothing, and so takes no time to begin.
Prints how many were killed at which iterations.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from mattekit.training import train
from training.tiny import SOURCE, TRANSFORM, Convolutions, ConvolutionStep, settings

SETTINGS = settings(iterations=30, checkpoint_every=2, log_every=5, ema=0.9, accumulate=2, validate_every=10)
VALIDATION = type(SOURCE)(seed=4, size=40, length=2)


def run(folder):
    step = ConvolutionStep(Convolutions())
    train(step, SOURCE, SETTINGS, folder, transform=TRANSFORM, validation=VALIDATION, resume=True)


def forked(folder):
    pid = os.fork()
    if pid:
        return pid
    try:
        run(folder)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def main():
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    began = time.perf_counter()
    if os.waitpid(forked(folder / "alone"), 0)[1] != 0:
        sys.exit("the run that is left alone failed")
    whole = time.perf_counter() - began
    rng, reached = random.Random(seed), []
    for _ in range(kills):
        pid = forked(folder / "killed")
        time.sleep(rng.uniform(0.05, 0.3) * whole)  # long enough to get on, and short enough for many
        os.kill(pid, signal.SIGKILL)
        if not os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
            break  # it was done
        state = folder / "killed" / "state.pt"
        reached.append(torch.load(state, weights_only=True)["progress"]["iteration"] if state.exists() else 0)
    if os.waitpid(forked(folder / "killed"), 0)[1] != 0:
        sys.exit("the last run failed")
    print(*reached)


if __name__ == "__main__":
    main()

"""Tables 3 and 4 on synthetic mattes, on one CPU core: three seeds of each row.

    python docs/figures/ablate_synthetic.py RUNS [ITERATIONS]

Run by hand; it can be killed and started again.
"""

import sys
from pathlib import Path

import torch
from plain_network import plain_network

from mattekit.data import SyntheticMattes
from mattekit.training import PPMattingStep, Settings, ablate


def step(settings: Settings) -> PPMattingStep:
    return PPMattingStep(plain_network(settings.guidance, settings.fusion, settings.seed))


def main() -> None:
    iterations = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    settings = Settings(
        size=64,
        batch_size=8,
        workers=0,
        iterations=iterations,
        optimiser="adamw",
        learning_rate=0.003,
        warm_up=min(100, iterations // 4),
        clip=5,
        ema=0.99,
        checkpoint_every=200,
        validate_every=0,
        sheet_every=0,
    )
    validation = SyntheticMattes(seed=1, size=64, length=64)
    print(ablate(SyntheticMattes(seed=0, size=80), validation, settings, Path(sys.argv[1]), make_step=step))


if __name__ == "__main__":
    main()

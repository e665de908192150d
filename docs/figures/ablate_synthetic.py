"""Tables 3 and 4 on synthetic mattes, on one CPU core: three seeds of each row.

    python docs/figures/ablate_synthetic.py RUNS [ITERATIONS]

Run by hand; it can be killed and started again.
"""

import sys
from pathlib import Path

from plain_network import TRAINING, TRANSFORM, VALIDATION, plain_network, plain_settings

from mattekit.training import PPMattingStep, Settings, ablate


def step(settings: Settings) -> PPMattingStep:
    return PPMattingStep(plain_network(settings.guidance, settings.fusion, settings.seed))


def main() -> None:
    iterations = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    settings = plain_settings(iterations, validate_every=0, sheet_every=0)
    print(ablate(TRAINING, VALIDATION, settings, Path(sys.argv[1]), make_step=step, transform=TRANSFORM))


if __name__ == "__main__":
    main()

"""Train from scratch on synthetic mattes, on one CPU core, and write the curve and the sheet that the pages show.

    python docs/figures/train_synthetic.py RUN [ITERATIONS]

Run by hand; it can be killed and started again. The figures go to docs/_static/training.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from plain_network import TRAINING, TRANSFORM, VALIDATION, plain_network, plain_settings

from mattekit.training import PPMattingStep, train

OUT = Path(__file__).parent.parent / "_static" / "training"


def main() -> None:
    run, iterations = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3500
    settings = plain_settings(iterations, validate_every=250, sheet_every=500)
    alphas = [VALIDATION(i, np.random.default_rng(0)).alpha for i in range(len(VALIDATION))]
    zero = float(np.mean([alpha.sum() for alpha in alphas]) / 1000)
    options = {"transform": TRANSFORM, "validation": VALIDATION, "resume": True}
    scores = train(PPMattingStep(plain_network()), TRAINING, settings, run, **options)
    record = {
        "zero": round(zero, 4),
        "SAD": round(scores["SAD"], 4),
        "iterations": iterations,
        "seconds": round(seconds(run, settings.batch_size)),
    }
    print(json.dumps(record))
    draw(run, iterations, record)


def seconds(run: Path, batch_size: int) -> float:
    """What the iterations took, those before a restart included."""
    with (run / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    ends = [int(row["iteration"]) for row in rows]
    rates = [float(row["images_per_second"]) for row in rows]
    return sum((b - a) * batch_size / rate for a, b, rate in zip([0, *ends], ends, rates, strict=False))


def draw(run: Path, iterations: int, record: dict[str, float]) -> None:
    import matplotlib.pyplot as plt

    OUT.mkdir(parents=True, exist_ok=True)
    with (run / "validation.csv").open() as file:
        rows = list(csv.DictReader(file))
    plt.figure(figsize=(6, 3))
    plt.plot([int(row["iteration"]) for row in rows], [float(row["SAD"]) for row in rows], label="validation SAD")
    plt.axhline(record["zero"], color="grey", linestyle=":", label="an all-zero answer")
    plt.axhline(record["zero"] / 4, color="grey", linestyle="--", label="a quarter of that")
    plt.xlabel("iteration")
    plt.ylim(bottom=0)
    plt.legend()
    plt.tight_layout()
    plt.savefig(OUT / "curve.svg")
    Image.open(run / "sheets" / f"{iterations:07}.png").save(OUT / "sheet.webp", quality=85, method=6)
    (OUT / "scores.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

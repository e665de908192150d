"""Write what was measured, what it learned from and what it cannot do into the file that mattekit ships.

    python card.py ../../src/mattekit/weights/small.safetensors ../../docs/figures/small_weights.json

The figures are those that evaluate.py wrote; of other weights they are refused. The training data are those of
sources.json; the licence is in the file already, by export.py.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save

from mattekit.checkpoints.loading import in_order
from mattekit.export.metadata import hash_of
from mattekit.models import pp_matting
from mattekit.photos import write_atomically

# source -> number of files, what its labels are, licence as its publisher states it
SOURCES = json.loads((Path(__file__).parent / "sources.json").read_text())
MEASURED_BY = "recipes/small/evaluate.py: whole images, held out from each source; SAD, Grad and Conn in thousands"
LIMITS = (
    "It guesses the subject: where there are several, or none, it takes what looks most like one. Photos are shrunk to "
    "a short side of 384 pixels: thinner strands far from the subject's edge are lost. Glass, smoke, nets and motion "
    "come out solid or not at all. Night, drawings, screenshots and medical pictures are untried. It learned from two "
    "other networks, and what both get wrong it has learned. Most people in its photos are young, dressed for a street "
    "photo and standing; how it does on others was not measured. More, with pictures: docs/small-weights.md"
)
KINDS = {"tux": "photographed cut-outs", "flora": "branches, grass, feathers"}  # the others are called by their names
NAMES = {"mad": "MAD", "mse": "MSE", "sad": "SAD", "gradient_error": "Grad", "connectivity_error": "Conn"}


def figures_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Of each source how many photos, and every metric of ``small`` and of U²-Net-P."""
    figures: dict[str, Any] = {"by": MEASURED_BY}
    for source, measured in record["sources"].items():
        figures[KINDS.get(source, source)] = {"photos": measured["photos"]} | {
            f"{NAMES[metric]}{of}": value
            for who, of in (
                ("small", ""),
                ("refined", " of mattes refined"),
                ("u2netp", " of U²-Net-P"),
                ("isnet", " of IS-Net"),
            )
            for metric, value in measured.get(who, {}).items()
        }
    return figures


def main() -> None:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("record", type=Path)
    arguments = parser.parse_args()
    record = json.loads(arguments.record.read_text())
    own = hash_of(pp_matting(weights=arguments.weights))
    if record["weights"] != own:
        parser.error(f"{arguments.record} must be of these weights, {own}, got a record of {record['weights']}")
    with safe_open(arguments.weights, "pt") as file:
        metadata = file.metadata()
    metadata |= {
        "training_data": json.dumps(SOURCES, ensure_ascii=False),
        "figures": json.dumps(figures_of(record), ensure_ascii=False),
        "limits": LIMITS,
    }
    data = in_order(save(load_file(arguments.weights), metadata))
    write_atomically(arguments.weights, lambda file: file.write(data))
    print(f"{arguments.weights}: figures of {len(record['sources'])} sources, and limits")


if __name__ == "__main__":
    main()

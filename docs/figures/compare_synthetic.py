"""Compare the small weights with two classical methods on synthetic photos, for the guide on evaluating.

Run it by hand; what it writes is committed:

    python docs/figures/compare_synthetic.py FOLDER

FOLDER keeps photos and mattes: a run that was stopped goes on. It takes PyMatting, which compiles itself when it is
first run. The photos are none that the small weights were trained on, but of the same kind as some of those.
"""

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

from mattekit import trimap
from mattekit.data import SyntheticMattes, write_samples
from mattekit.export.metadata import hash_of
from mattekit.models import pp_matting
from mattekit.photos import list_images, read_matte, write_image

HERE = Path(__file__).parent
SOURCE = SyntheticMattes(seed=1, size=256, length=16)
WIDTH = 10  # of the trimaps' unknown band, in pixels
NETWORKS = {"small": [], "small-trimap": ["--trimaps", "trimap"]}
METHODS = ["small-trimap=small-trimap", "closed_form", "small=small", "knn"]


def main() -> None:
    folder = Path(sys.argv[1])
    write_samples(SOURCE, folder)
    for path in list_images(folder / "alpha"):
        write_image(folder / "trimap" / path.name, trimap.from_alpha(read_matte(path), width=WIDTH))
    for name, options in NETWORKS.items():
        run(folder, "predict", "image", "--only", "alpha", "--out", name, *options)
    options = ["--trimaps", "trimap", "--photos", "image", "--mattes", "classical", "--sheet", "sheet.png"]
    found = run(folder, "compare", "alpha", *METHODS, *options, "--protocol", "distinctions-646")
    unknown, whole = (f"| Methods {table}".rstrip().splitlines() for table in found.stdout.split("| Methods ")[1:])
    significance = [line.strip() for line in found.stderr.splitlines() if " p = " in line]
    failed = [line for line in found.stderr.splitlines() if line.startswith("failed")]
    record = {
        "weights": hash_of(pp_matting(weights="small")),
        "photos": len(SOURCE),
        "failed": failed,
        "unknown": unknown,
        "whole": whole,
        "significance": significance,
    }
    (HERE / "compare_synthetic.json").write_text(json.dumps(record, indent=1) + "\n")
    Image.open(folder / "sheet.png").save(HERE.parent / "_static" / "compare.webp", quality=80, method=6)
    print(found.stdout, found.stderr)


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mattekit", *words, "--quiet"]
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True)
    if done.returncode > 1:  # 1: some photos failed, which the record tells
        raise RuntimeError(done.stderr)
    return done


if __name__ == "__main__":
    main()

"""Throughput and memory of a folder of small photos: python benchmarks/many_photos.py 150 [--only alpha].

`mattekit predict` mattes copies of the demo's photos, and the network alone the same photos, read beforehand; both in
this process, turn about. Memory is what the process holds after each turn. ``--record FILE`` keeps the medians.
"""

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path

import cv2
import torch
from measure import Row, machine_name, median, record, status_bytes

from mattekit._demo.examples import EXAMPLES
from mattekit.cli import main as mattekit
from mattekit.inference import predict, prepare
from mattekit.models import pp_matting
from mattekit.photos import write_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=int, help="how many")
    parser.add_argument("--side", type=int, default=480, help="the longer one, in pixels")
    parser.add_argument("--only", choices=("alpha", "cutout"), help="given to mattekit predict")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep the medians in this file of results")
    args = parser.parse_args()
    alone, ours = [], []
    network = prepare(pp_matting(weights="small"))
    with tempfile.TemporaryDirectory() as folder:
        photos = [_shrunk(example.read(), args.side) for example in EXAMPLES]
        for k in range(args.photos):
            write_image(Path(folder, f"{k}.jpg"), photos[k % len(photos)])
        command = ["predict", folder, "--out", f"{folder}/out", "--overwrite", "--quiet"]
        if args.only:
            command += ["--only", args.only]
        predict(network, photos[0])
        for _ in range(args.turns):
            start = time.perf_counter()
            for k in range(args.photos):
                predict(network, photos[k % len(photos)])
            alone.append(1000 * (time.perf_counter() - start) / args.photos)
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()):
                assert mattekit(command) == 0
            ours.append(1000 * (time.perf_counter() - start) / args.photos)
            print(
                f"{torch.get_num_threads()} threads, {args.photos} photos: network {1000 / alone[-1]:.2f} a second, "
                f"mattekit predict {1000 / ours[-1]:.2f}, {ours[-1] / alone[-1] - 1:+.0%} time; "
                f"{(status_bytes('VmRSS') or 0) / 1e6:,.0f} MB held",
                flush=True,
            )
    if args.record:
        case = f"cpu photos of {args.side} pixels, {args.only or 'alpha and cutout'}"
        first, other = median(alone), median(ours)
        rows = [Row(case, "the network alone", first, 1.0), Row(case, "mattekit predict", other, first / other)]
        record(args.record, rows, machine_name("cpu"))


def _shrunk(photo, side):
    scale = side / max(photo.shape[:2])
    return cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()

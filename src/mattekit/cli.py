"""The command line: thin calls into the library, which is imported when a command runs."""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mattekit import __version__

if TYPE_CHECKING:
    from mattekit.metrics import FolderScores


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 done in part, 2 nothing done."""
    parser = argparse.ArgumentParser(prog="mattekit", description="Image matting from the command line.")
    parser.add_argument("--version", action="version", version=f"mattekit {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_predict(subparsers)
    _add_evaluate(subparsers)
    _add_demo(subparsers)
    args = parser.parse_args(argv)
    return args.run(args)


def _add_predict(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "predict",
        help="make mattes and cut-outs of photos",
        description="For each photo write NAME_alpha.png, the matte, and NAME_cutout.png, the photo with the matte as "
        "its alpha channel.",
        epilog="Exit status: 0 if every photo has its matte, 1 if some failed, 2 if nothing was done.",
    )
    parser.add_argument(
        "photos", metavar="PHOTO", type=Path, nargs="+", help="a photo, or a folder of them, without sub-folders"
    )
    parser.add_argument(
        "--weights",
        metavar="NAME|FILE",
        default="human-512",
        help="published weights (composition-1k, distinctions-646, human-512, human-1024), downloaded on first use, or "
        "a .safetensors, .pth or .pdparams file (default: human-512, for people)",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("mattes"), help="folder (default: mattes)")
    parser.add_argument(
        "--max-short-side",
        metavar="PIXELS",
        type=int,
        help="shrink photos until their short side is at most this (default: what the weights were trained for)",
    )
    parser.set_defaults(run=_predict)


def _predict(args: argparse.Namespace) -> int:
    import cv2
    import torch
    from tqdm import tqdm

    from mattekit._files import (
        count_others,
        cutout_paths,
        demand_apart,
        demand_writable,
        expand_folders,
        read_image,
        write_cutout,
    )
    from mattekit.inference import predict
    from mattekit.models import pp_matting

    try:
        photos = expand_folders(args.photos)
        _demand_distinct_names(photos)
        if not photos:
            raise ValueError(f"there is no photo in {', '.join(map(str, args.photos))}")
        if args.max_short_side is not None and args.max_short_side < 32:
            raise ValueError(f"--max-short-side must be at least 32, got {args.max_short_side}")
        _demand_another_folder(args.out, args.photos)
        outputs = [output for path in photos for output in cutout_paths(args.out, path.stem)]
        demand_apart(outputs, photos)
        for output in outputs:
            demand_writable(output)
        model = pp_matting(weights=args.weights).eval()
    except (OSError, ValueError, RuntimeError) as error:
        print(f"mattekit predict: {error}", file=sys.stderr)
        return 2
    for folder in filter(Path.is_dir, args.photos):
        if others := count_others(folder):
            print(f"left out of {folder}: {others} (sub-folders, and files that are no images)", file=sys.stderr)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    failures = 0
    with tqdm(photos, desc="predicting", unit="photo") as bar:
        for path in bar:
            try:
                photo = read_image(path)
                alpha = predict(model, photo, max_short_side=args.max_short_side)
                write_cutout(args.out, path.stem, photo, alpha)
            except (OSError, RuntimeError, MemoryError, cv2.error) as error:
                failures += 1
                bar.write(f"failed: {path}: {_reason(error)}", file=sys.stderr)
    print(f"wrote {len(photos) - failures} of {len(photos)} mattes, with their cut-outs, to {args.out}")
    return _status(len(photos) - failures, failures)


def _reason(error: Exception) -> str:
    """What went wrong with one photo, in a line, and what to try where memory did not suffice."""
    text = " ".join(str(error).split()) or type(error).__name__
    scarce = ("out of memory", "can't allocate memory", "failed to allocate")  # torch on a GPU and on the CPU; OpenCV
    if isinstance(error, MemoryError) or any(words in text.lower() for words in scarce):
        text += "; with a smaller --max-short-side it needs less memory"
    return text


def _status(done: int, failed: int) -> int:
    """0 if all was done, 1 if a part, 2 if nothing."""
    return 0 if not failed else 1 if done else 2


def _demand_distinct_names(photos: list[Path]) -> None:
    """Refuse photos whose results would overwrite each other."""
    by_name: dict[str, list[Path]] = {}
    for path in photos:
        by_name.setdefault(path.stem, []).append(path)
    clashes = [", ".join(map(str, paths)) for paths in by_name.values() if len(paths) > 1]
    if clashes:
        raise ValueError("photos must have distinct names without suffix, got " + "; ".join(clashes))


def _demand_another_folder(out: Path, inputs: list[Path]) -> None:
    """Refuse to write into a folder whose images are all taken for photos: the next run would take the results too."""
    from mattekit._files import identity

    for path in inputs:
        if path.is_dir() and identity(path) == identity(out):
            raise ValueError(f"--out must be another folder than {path}, whose images are all photos, got {out}")


def _add_demo(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="fit a small network to one photo and look at the matte",
        description="Fit a small PP-Matting to a photo that comes with mattekit, for about two minutes on a CPU, and "
        "write its matte, its cut-out and a contact sheet. Nothing is downloaded.",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("matte-demo"), help="folder (default: matte-demo)"
    )
    parser.set_defaults(run=_demo)


def _demo(args: argparse.Namespace) -> int:
    from mattekit import _demo
    from mattekit._files import demand_writable

    try:
        demand_writable(args.out / "contact_sheet.png")
    except OSError as error:
        print(f"mattekit demo: {error}", file=sys.stderr)
        return 2
    _demo.run(args.out)
    return 0


def _add_evaluate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="score a folder of mattes: SAD, MSE, MAD, Grad and Conn",
        description="Score each matte of a folder against the ground truth of the same name, without suffix: SAD, MSE, "
        "MAD, Grad and Conn of each image, mean and median. SAD, Grad and Conn are in thousands. NAME_alpha, as "
        "'mattekit predict' writes it, is the matte of NAME; NAME_cutout beside it is left out.",
        epilog="Exit status: 0 if all images were scored, 1 if some failed, 2 if nothing was done, as when the "
        "folders do not fit together.",
    )
    parser.add_argument("pred_dir", metavar="PRED_DIR", type=Path, help="folder of predicted mattes")
    parser.add_argument("alpha_dir", metavar="ALPHA_DIR", type=Path, help="folder of ground-truth mattes")
    parser.add_argument("--trimaps", metavar="DIR", type=Path, help="folder of trimaps: only unknown pixels count")
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help="count what a benchmark counts: composition-1k, distinctions-646, aim-500, p3m-500, am-2k or ppm-aim-195",
    )
    parser.add_argument(
        "--csv", metavar="FILE", type=Path, help="write each image's scores here, and as .json beside it"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the JSON here instead")
    parser.add_argument("--workers", metavar="N", type=int, help="processes (default: one a core)")
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from mattekit._files import demand_apart, demand_writable, expand_folders
    from mattekit.metrics import FolderError, evaluate_folders

    json_path = args.json or (args.csv and args.csv.with_suffix(".json"))
    try:
        if args.csv and args.csv == json_path:
            raise ValueError(f"--csv and the JSON must be two files, got {args.csv} for both: name one with --json")
        outputs = [path for path in (args.csv, json_path) if path]
        inputs = [folder for folder in (args.pred_dir, args.alpha_dir, args.trimaps) if folder and folder.is_dir()]
        demand_apart(outputs, expand_folders(inputs))
        for output in outputs:
            demand_writable(output)
        scores = evaluate_folders(
            args.pred_dir,
            args.alpha_dir,
            args.trimaps,
            protocol=args.protocol,
            workers=_cores() if args.workers is None else args.workers,
            progress=True,
        )
    except FolderError as error:
        problems = "".join(f"\n  {problem}" for problem in error.problems)
        print(f"mattekit evaluate: nothing was computed, because of{problems}", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f"mattekit evaluate: {error}", file=sys.stderr)
        return 2
    _print_scores(scores)
    try:
        if args.csv:
            scores.write_csv(args.csv)
        if json_path:
            scores.write_json(json_path)
    except OSError as error:
        print(f"mattekit evaluate: {error}", file=sys.stderr)
        return 1
    return _status(len(scores.images), len(scores.failures))


def _print_scores(scores: FolderScores) -> None:
    """Means and medians on stdout; on stderr what they do not show."""
    columns = ("SAD", "MSE", "MAD", "Grad", "Conn")
    print(f"{len(scores.images)} images".ljust(20) + "".join(column.rjust(12) for column in columns))
    for region in scores.regions:
        for name, values in (("mean", scores.mean(region)), ("median", scores.median(region))):
            print(f"{region} {name}".ljust(20) + "".join(f"{value:12.6g}" for value in values))
        empty = [name for name, found in scores.images.items() if math.isnan(found[region].mse)]
        if empty:
            print(f"no pixel is {region}, so that means are NaN, in {', '.join(empty)}", file=sys.stderr)
    for note in scores.notes:
        print(f"note: {note}", file=sys.stderr)
    for name, reason in scores.failures.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)


def _cores() -> int:
    """The cores that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

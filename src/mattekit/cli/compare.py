"""``mattekit compare``."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mattekit.cli.parsers import SubParsers
from mattekit.cli.scoring import add_options, check_outputs, options_of, scores_or_none, write_scores
from mattekit.cli.status import status_of

if TYPE_CHECKING:
    from mattekit.evaluation import Comparison


def add_parser(subparsers: SubParsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "compare",
        help="score several methods' folders of mattes alike, and print the paper's table",
        description="Score several folders of mattes against one ground truth, under one protocol, and print means of "
        "SAD, MSE, Grad and Conn as the paper's Tables 1 and 2 do, the least in bold; then how sure the differences "
        "are, by the paired bootstrap. SAD, Grad and Conn are in thousands.",
        epilog="Exit status: 0 if all images were scored for all methods, 1 if some failed, 2 if nothing was done.",
    )
    parser.add_argument("alpha_dir", metavar="TRUTH", type=Path, help="folder of ground-truth mattes")
    parser.add_argument(
        "methods",
        metavar="METHOD",
        nargs="+",
        type=_method,
        help="NAME=PRED_DIR, a method's name and its folder of mattes; or closed_form, knn, random_walk or "
        "learning_based, whose mattes are made from --photos and --trimaps (needs PyMatting)",
    )
    add_options(parser)
    parser.add_argument(
        "--photos", metavar="DIR", type=Path, help="folder of photos, for methods that make mattes and for --sheet"
    )
    parser.add_argument(
        "--mattes",
        metavar="DIR",
        type=Path,
        help="where mattes that are made are kept, a folder a method: what is there and still fits is not made again",
    )
    parser.add_argument("--format", choices=("markdown", "latex", "csv"), default="markdown", help="default: markdown")
    parser.add_argument(
        "--quote",
        choices=(1, 2),
        type=int,
        help="add the rows of the paper's Table 1 (Distinctions-646) or 2 (Composition-1k), marked as quoted",
    )
    parser.add_argument("--csv", metavar="FILE", type=Path, help="write the scores of each method and image here")
    parser.add_argument(
        "--sheet",
        metavar="FILE",
        type=Path,
        help="draw the images where the first two methods' SAD differs most: photo, truth, mattes, difference",
    )
    parser.add_argument(
        "--against", metavar="NAME", help="the method that others are tested against (default: the least mean SAD)"
    )
    parser.add_argument("--samples", metavar="N", type=int, default=10_000, help="of the bootstrap (default: 10000)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the bootstrap (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    found = scores_or_none("compare", lambda: _compare(args))
    if found is None:
        return 2
    status = status_of(len(found.images), len(found.failures))
    if not write_scores("compare", args.csv, found.write_csv):
        status = status or 1
    _print(found, args)
    if args.sheet and found.images and not write_scores("compare", args.sheet, lambda path: _draw(path, found, args)):
        status = status or 1
    return status


def _compare(args: argparse.Namespace) -> Comparison:
    from mattekit.evaluation import compare_folders

    classical = [name for name, folder in args.methods if folder is None]
    if classical and not (args.photos and args.trimaps and args.mattes):
        raise ValueError(f"{classical[0]} makes mattes, which needs --photos, --trimaps and --mattes")
    if (args.mattes and not classical) or (args.photos and not classical and not args.sheet):
        raise ValueError("--mattes must come with a method that makes mattes, and --photos with one or with --sheet")
    methods = _by_name([(name, folder or args.mattes / name) for name, folder in args.methods])
    if args.against is not None and args.against not in methods:
        raise ValueError(f"--against must be one of {', '.join(methods)}, got {args.against!r}")
    if args.samples < 1:
        raise ValueError(f"--samples must be at least 1, got {args.samples}")
    if args.seed < 0:
        raise ValueError(f"--seed must be at least 0, got {args.seed}")
    inputs = [*methods.values(), args.alpha_dir, args.trimaps, args.photos]
    check_outputs({"--csv": args.csv, "--sheet": args.sheet}, inputs)
    if args.sheet:
        _check_sheet(methods, args)
    failures = _make_mattes({name: methods[name] for name in classical}, args) if classical else {}
    lost = {image for _, image in failures}
    found = compare_folders(methods, args.alpha_dir, args.trimaps, but=lost, **options_of(args))
    return replace(found, failures=failures | found.failures)


def _check_sheet(methods: dict[str, Path], args: argparse.Namespace) -> None:
    """Raise before anything is computed if the sheet cannot be drawn."""
    import numpy as np

    from mattekit.evaluation.matching import match_photos
    from mattekit.photos.writing import encode

    if len(methods) < 2:
        raise ValueError(f"--sheet must be of two methods, got {next(iter(methods))} alone")
    encode(args.sheet, np.zeros((1, 1, 3), np.uint8))
    if args.photos:
        match_photos(args.photos, _names(args))


def _draw(path: Path, found: Comparison, args: argparse.Namespace) -> None:
    from mattekit.photos import write_image

    first, second, *_ = found.methods
    write_image(path, found.sheet(first, second, args.photos))


def _names(args: argparse.Namespace) -> list[str]:
    from mattekit.photos import list_images

    return [path.stem for path in list_images(args.alpha_dir)]


def _make_mattes(folders: dict[str, Path], args: argparse.Namespace) -> dict[tuple[str, str], str]:
    """Have classical methods make the mattes that are not there; what went wrong, by method and image."""
    from mattekit.evaluation import FolderError, estimate_mattes
    from mattekit.evaluation.comparing import match_all
    from mattekit.evaluation.folders import check_settings

    workers = options_of(args)["workers"]
    check_settings(args.protocol, trimaps=True, workers=workers)  # before mattes are made, which may take hours
    match_all({name: path for name, path in args.methods if path}, args.alpha_dir, args.trimaps, strict=args.strict)
    failures: dict[tuple[str, str], str] = {}
    for method, folder in folders.items():
        print(f"mattes by {method}, in {folder}:", file=sys.stderr)
        failed = estimate_mattes(
            method, args.photos, args.trimaps, folder, names=_names(args), workers=workers, progress=True
        )
        failures |= {(method, image): why for image, why in failed.items()}
    if failures and {image for _, image in failures} == set(_names(args)):
        raise FolderError([f"{method} failed: {image}: {why}" for (method, image), why in failures.items()])
    return failures


def _print(found: Comparison, args: argparse.Namespace) -> None:
    """Tables on stdout; on stderr what they are of, and what they do not show."""
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    for (method, image), reason in found.failures.items():
        print(f"failed, and left out of all methods: {image}: {method}: {reason}", file=sys.stderr)
    if not found.images:
        return
    if args.quote is not None:
        print(
            f"note: quoted rows are the paper's, of {('Distinctions-646', 'Composition-1k')[args.quote - 1]}; it does "
            "not say which pixels it counts",
            file=sys.stderr,
        )
    for region in found.regions:
        print(f"{region}, mean over images: {len(found.images)}", file=sys.stderr)
        print(found.table(region, args.format, quote=args.quote))
        empty = [
            name for name, scores in next(iter(found.methods.values())).images.items() if math.isnan(scores[region].mse)
        ]
        if empty:
            print(f"no pixel is {region}, so that means are NaN, in {', '.join(empty)}", file=sys.stderr)
    if len(found.methods) > 1:
        _print_significance(found, args)


def _print_significance(found: Comparison, args: argparse.Namespace) -> None:
    region = found.regions[0]
    if len(found.images) < 2:
        print("no bootstrap: it takes at least two images", file=sys.stderr)
        return
    against = args.against or found.best(region)
    print(f"difference from {against}, {region}: mean [95 % interval] p, paired bootstrap", file=sys.stderr)
    results = found.significance(against, region, samples=args.samples, seed=args.seed)
    titles = {"sad": "SAD", "mse": "MSE", "gradient_error": "Grad", "connectivity_error": "Conn"}
    for method, tests in results.items():
        for metric, title in titles.items():
            test = tests[metric]
            numbers = f"{test.difference:+.3g} [{test.low:+.3g}, {test.high:+.3g}] p = {test.p:.2g}"
            print(f"  {method}  {title}  {numbers}", file=sys.stderr)


def _method(text: str) -> tuple[str, Path | None]:
    """A method's name and its folder, None for one that makes its mattes."""
    from mattekit.evaluation.classical import CLASSICAL

    name, equals, folder = text.partition("=")
    if not equals and name in CLASSICAL:
        return name, None
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"must be NAME=PRED_DIR or one of {', '.join(CLASSICAL)}, got {text!r}")
    return name, Path(folder)


def _by_name(methods: list[tuple[str, Path]]) -> dict[str, Path]:
    """The folders by name; ValueError if a name comes twice."""
    found: dict[str, Path] = {}
    for name, folder in methods:
        if name in found:
            raise ValueError(f"each NAME must be of one folder, got {name} for {found[name]} and {folder}")
        found[name] = folder
    return found

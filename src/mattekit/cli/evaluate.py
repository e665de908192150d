"""``mattekit evaluate``."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mattekit.cli.parsers import SubParsers
from mattekit.cli.status import cores, status_of

if TYPE_CHECKING:
    from mattekit.evaluation import FolderScores


def add_parser(subparsers: SubParsers) -> None:
    """Describe the arguments."""
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
        "--any-trimaps",
        action="store_true",
        help="take trimaps as the reference does: 128 alone is unknown, and other values than the three fit, too",
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help="count what a benchmark counts: composition-1k, distinctions-646, aim-500, p3m-500, am-2k or ppm-aim-195",
    )
    parser.add_argument(
        "--csv",
        metavar="FILE",
        type=Path,
        help="write each image's scores here, and as .json beside it unless it is a device or a pipe",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the JSON here instead")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse mattes and trimaps without a ground truth instead of leaving them out",
    )
    parser.add_argument("--workers", metavar="N", type=int, help="processes (default: one a core)")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from mattekit.evaluation import FolderError, evaluate_folders
    from mattekit.photos.atomic import check_apart, check_writable, clear_abandoned, is_stream
    from mattekit.photos.folders import expand_folders

    beside = args.csv.with_suffix(".json") if args.csv and not is_stream(args.csv) else None
    json_path = args.json or beside
    try:
        if args.csv and args.csv == json_path:
            raise ValueError(f"--csv and the JSON must be two files, got {args.csv} for both: name one with --json")
        outputs = [path for path in (args.csv, json_path) if path]
        inputs = [folder for folder in (args.pred_dir, args.alpha_dir, args.trimaps) if folder and folder.is_dir()]
        check_apart(outputs, expand_folders(inputs))
        for output in outputs:
            check_writable(output)
            clear_abandoned(output.parent)
        scores = evaluate_folders(
            args.pred_dir,
            args.alpha_dir,
            args.trimaps,
            protocol=args.protocol,
            check_trimap=not args.any_trimaps,
            strict=args.strict,
            workers=cores() if args.workers is None else args.workers,
            progress=True,
        )
    except FolderError as error:
        problems = "".join(f"\n  {problem}" for problem in error.problems)
        print(f"mattekit evaluate: nothing was computed, because of{problems}", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f"mattekit evaluate: {error}", file=sys.stderr)
        return 2
    status = status_of(len(scores.images), len(scores.failures))
    for path, write in (args.csv, scores.write_csv), (json_path, scores.write_json):
        try:
            if path:
                write(path)
        except OSError as error:
            print(f"mattekit evaluate: {error}", file=sys.stderr)
            status = status or 1
    _print_scores(scores)
    return status


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

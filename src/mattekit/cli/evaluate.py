"""``mattekit evaluate``."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mattekit.cli.parsers import SubParsers
from mattekit.cli.scoring import add_options, check_outputs, options_of, scores_or_none, write_scores
from mattekit.cli.status import status_of

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
    add_options(parser)
    parser.add_argument(
        "--csv",
        metavar="FILE",
        type=Path,
        help="write each image's scores here, and as .json beside it unless it is a device or a pipe",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the JSON here instead")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from mattekit.photos.atomic import is_stream

    beside = args.csv.with_suffix(".json") if args.csv and not is_stream(args.csv) else None
    json_path = args.json or beside
    scores = scores_or_none("evaluate", lambda: _evaluate(args, json_path))
    if scores is None:
        return 2
    status = status_of(len(scores.images), len(scores.failures))
    for path, write in (args.csv, scores.write_csv), (json_path, scores.write_json):
        if not write_scores("evaluate", path, write):
            status = status or 1
    _print_scores(scores)
    return status


def _evaluate(args: argparse.Namespace, json_path: Path | None) -> FolderScores:
    from mattekit.evaluation import evaluate_folders

    check_outputs({"--csv": args.csv, "the JSON": json_path}, [args.pred_dir, args.alpha_dir, args.trimaps])
    return evaluate_folders(args.pred_dir, args.alpha_dir, args.trimaps, **options_of(args))


def _print_scores(scores: FolderScores) -> None:
    """Means and medians on stdout; on stderr what they do not show."""
    columns = ("SAD", "MSE", "MAD", "Grad", "Conn")
    number = len(scores.images)
    print(f"{number} image{'' if number == 1 else 's'}".ljust(20) + "".join(column.rjust(12) for column in columns))
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

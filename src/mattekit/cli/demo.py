"""``mattekit demo``."""

import argparse
import sys
from pathlib import Path

from mattekit.cli.parsers import SubParsers


def add_parser(subparsers: SubParsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "demo",
        help="matte a few photos and look at every step",
        description="Matte the photos that come with mattekit with the weights that come with it, and write mattes, "
        "cut-outs and a contact sheet of all that the network computes; a matter of seconds. Nothing is downloaded.",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("matte-demo"), help="folder (default: matte-demo)"
    )
    parser.add_argument(
        "--train",
        action="store_true",
        help="fit a network to one of the photos instead, from nothing, which takes minutes",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from mattekit._demo import showing, training
    from mattekit.photos.atomic import check_writable, clear_abandoned

    try:
        check_writable(args.out / "contact_sheet.png")
    except OSError as error:
        print(f"mattekit demo: {error}", file=sys.stderr)
        return 2
    clear_abandoned(args.out)
    try:
        (training if args.train else showing).run(args.out)
    except OSError as error:
        print(f"mattekit demo: {error}", file=sys.stderr)
        return 1
    return 0

"""``mattekit demo``."""

import argparse
import sys
from pathlib import Path

from mattekit.cli.parsers import SubParsers


def add_parser(subparsers: SubParsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "demo",
        help="fit a small network to one photo and look at the matte",
        description="Fit a small PP-Matting to a photo that comes with mattekit, for about two minutes on a CPU, and "
        "write its matte, its cut-out and a contact sheet. Nothing is downloaded.",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("matte-demo"), help="folder (default: matte-demo)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from mattekit import _demo
    from mattekit.photos.atomic import check_writable

    try:
        check_writable(args.out / "contact_sheet.png")
    except OSError as error:
        print(f"mattekit demo: {error}", file=sys.stderr)
        return 2
    _demo.run(args.out)
    return 0

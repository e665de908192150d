"""``mattekit data``: check a data set, and compose the test sets of the common benchmarks."""

import argparse
import sys
from pathlib import Path

from mattekit.cli.parsers import SubParsers


def add_parser(subparsers: SubParsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser("data", help="check a data set, or compose a benchmark's test set")
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    check = actions.add_parser(
        "check",
        help="read every file of a data set once and list all that is wrong",
        description="Read every file of a data set once, and list what is missing, unreadable, of another size or no "
        "matte. DIR holds photos and mattes (image/ and alpha/, perhaps trimap/, foreground/ and background/) or "
        "foregrounds and backgrounds (fg/ and bg/, perhaps alpha/); other common names will do too.",
        epilog="Exit status: 0 if all is well, 1 if something is wrong, 2 if DIR is no data set.",
    )
    check.add_argument("folder", metavar="DIR", type=Path, help="the data set")
    compose = actions.add_parser(
        "compose",
        help="write the composites of Composition-1k or Distinctions-646",
        description="Write the composites of a data set of foregrounds as its own script does: each foreground over "
        "its backgrounds, 20 to test and 100 to train, in the order of the data set's lists. What comes out is a "
        "folder of image/, alpha/ and, where there are any, trimap/, each file called FOREGROUND_K.png.",
        epilog="Exit status: 0 if everything was written, 1 if it stopped midway, 2 if nothing was written.",
    )
    compose.add_argument("name", metavar="NAME", choices=["composition-1k", "distinctions-646"], help="%(choices)s")
    compose.add_argument("root", metavar="ROOT", type=Path, help="the data set as it is distributed")
    compose.add_argument(
        "backgrounds",
        metavar="BACKGROUNDS",
        type=Path,
        help="folder of the backgrounds: Pascal VOC 2012's JPEGImages to test, COCO's train2014 to train",
    )
    compose.add_argument("--split", choices=["test", "train"], default="test", help="%(choices)s (default: test)")
    compose.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder to write to")
    compose.add_argument("--layers", action="store_true", help="write foreground/ and background/ too")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    return _check(args) if args.action == "check" else _compose(args)


def _check(args: argparse.Namespace) -> int:
    from mattekit.data import DataError, check_folder

    try:
        read, problems = check_folder(args.folder, progress=True)
    except (DataError, OSError) as error:
        print(f"mattekit data check: {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(problem)
    found = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}" if problems else "all is well"
    print(f"{read} files read, {found}")
    return 1 if problems else 0


def _compose(args: argparse.Namespace) -> int:
    from mattekit.data import benchmark, write_samples
    from mattekit.photos.atomic import check_apart, check_writable, clear_abandoned

    try:
        source = benchmark(args.name, args.root, args.split, backgrounds=args.backgrounds)
        check_apart([args.out], [args.root, args.backgrounds])
        check_writable(args.out / "image" / "0.png")
    except (ValueError, OSError) as error:
        print(f"mattekit data compose: {error}", file=sys.stderr)
        return 2
    for folder in args.out.iterdir() if args.out.is_dir() else ():
        clear_abandoned(folder)
    for note in source.notes:
        print(f"note: {note}", file=sys.stderr)
    try:
        write_samples(source, args.out, layers=args.layers, progress=True)
    except (ValueError, OSError) as error:
        print(f"mattekit data compose: stopped: {error}", file=sys.stderr)
        return 1
    print(f"wrote {len(source)} composites to {args.out}")
    return 0

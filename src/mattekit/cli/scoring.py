"""What ``mattekit evaluate`` and ``mattekit compare`` have in common: which pixels count, and which files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from mattekit.cli.status import cores

Found = TypeVar("Found")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options that both have."""
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
        "--strict",
        action="store_true",
        help="refuse mattes and trimaps without a ground truth instead of leaving them out",
    )
    parser.add_argument("--workers", metavar="N", type=int, help="processes (default: one a core)")


def scores_or_none(command: str, score: Callable[[], Found]) -> Found | None:
    """What a function returns, or None after it was said on stderr why nothing was computed."""
    from mattekit.evaluation import FolderError

    try:
        return score()
    except FolderError as error:
        problems = "".join(f"\n  {problem}" for problem in error.problems)
        print(f"mattekit {command}: nothing was computed, because of{problems}", file=sys.stderr)
    except (ImportError, OSError, ValueError) as error:
        print(f"mattekit {command}: {error}", file=sys.stderr)
    return None


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[Path | None]) -> None:
    """Check that files can be written, and are neither one another nor what is read, before anything is computed.

    Raises:
        OSError: If one cannot be written.
        ValueError: If two are one file, or one would take the place of what is read.
    """
    from mattekit.photos.atomic import check_apart, check_writable, clear_abandoned
    from mattekit.photos.folders import expand_folders

    given = {option: path for option, path in outputs.items() if path}
    for (option, path), (other, same) in combinations(given.items(), 2):
        if path.resolve() == same.resolve():
            raise ValueError(f"{option} and {other} must be two files, got {path} for both: name another")
    check_apart([*given.values()], expand_folders([folder for folder in inputs if folder and folder.is_dir()]))
    for output in given.values():
        check_writable(output)
        clear_abandoned(output.parent)


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """What `evaluate_folders` and `compare_folders` take by name.

    Raises:
        ValueError: If there are no trimaps for ``--any-trimaps``.
    """
    if args.any_trimaps and not args.trimaps:
        raise ValueError("--any-trimaps must come with --trimaps")
    return {
        "protocol": args.protocol,
        "check_trimap": not args.any_trimaps,
        "strict": args.strict,
        "workers": cores() if args.workers is None else args.workers,
        "progress": True,
    }


def write_scores(command: str, path: Path | None, write: Callable[[Path], None]) -> bool:
    """Write a file, if one is asked for; False after it was said on stderr why that failed."""
    try:
        if path:
            write(path)
    except OSError as error:
        print(f"mattekit {command}: {error}", file=sys.stderr)
        return False
    return True

"""The command line: one module a command, each a thin call into the library, which is imported when a command runs.

A command is a module with ``add_parser(subparsers)``, which describes its arguments, and ``run(args)``, which returns
its exit status. To add one, write the module and list it in `COMMANDS`.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from mattekit import __version__
from mattekit.cli import ablate, compare, data, demo, evaluate, export, info, predict, train
from mattekit.cli.signals import Stopped, stopping
from mattekit.cli.streams import is_lost, lenient_streams

COMMANDS = {
    "predict": predict,
    "evaluate": evaluate,
    "compare": compare,
    "export": export,
    "data": data,
    "train": train,
    "ablate": ablate,
    "info": info,
    "demo": demo,
}


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 done in part, 2 nothing done, 130 or 143 stopped by a signal.

    A signal ends a command with one line. Standard streams that are closed, full or of another encoding end it without
    one, but where nobody got the results a status of 0 becomes 1.
    """
    with lenient_streams() as (out, _), stopping():
        try:
            status = _run(argv)
        except Stopped as stopped:
            print(f"mattekit: {stopped}", file=sys.stderr)
            status = stopped.status
        except SystemExit as end:  # of argparse, which has shown its help or what is wrong
            if end.code or not is_lost(out):
                raise
            status = 0
        if is_lost(out):
            print(f"mattekit: standard output did not take everything: {out.error}", file=sys.stderr)
            status = status or 1
    return status


def _run(argv: list[str] | None) -> int:
    parser = _Parser(prog="mattekit", description="Image matting from the command line.")
    parser.add_argument("--version", action="version", version=f"mattekit {__version__}")
    subparsers = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS.values():
        command.add_parser(subparsers)
    if "_ARGCOMPLETE" in os.environ:  # set by argcomplete's hook in the shell
        with contextlib.suppress(ImportError):
            import argcomplete  # pyright: ignore[reportMissingImports] (optional)

            argcomplete.autocomplete(parser)
    args = parser.parse_args(argv)
    _accept_large_photos()
    with _without_bars() if "quiet" in args else contextlib.nullcontext():
        return COMMANDS[args.command].run(args)


class _Parser(argparse.ArgumentParser):
    """A parser of ``--quiet``, as are those of its commands and of their actions: it may stand anywhere."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.add_argument("--quiet", action="store_true", default=argparse.SUPPRESS, help="show no progress bars")


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """Hide all bars, those of other libraries by tqdm too, in this process and in those it starts."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = before


def _accept_large_photos() -> None:
    """Have photos read of up to 500 million pixels: who names files here trusts them, and phones make 200 million."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = 250_000_000  # which Pillow warns beyond, and refuses twice

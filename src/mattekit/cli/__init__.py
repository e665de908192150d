"""The command line: one module a command, each a thin call into the library, which is imported when a command runs.

A command is a module with ``add_parser(subparsers)``, which describes its arguments, and ``run(args)``, which returns
its exit status. To add one, write the module and list it in `COMMANDS`.
"""

import argparse

from mattekit import __version__
from mattekit.cli import data, demo, evaluate, predict

COMMANDS = {"predict": predict, "evaluate": evaluate, "data": data, "demo": demo}


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 done in part, 2 nothing done."""
    parser = argparse.ArgumentParser(prog="mattekit", description="Image matting from the command line.")
    parser.add_argument("--version", action="version", version=f"mattekit {__version__}")
    subparsers = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS.values():
        command.add_parser(subparsers)
    args = parser.parse_args(argv)
    return COMMANDS[args.command].run(args)

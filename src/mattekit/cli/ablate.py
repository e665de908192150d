"""``mattekit ablate``."""

import argparse

from mattekit.cli.parsers import SubParsers
from mattekit.cli.settings import chosen
from mattekit.cli.train import add_arguments, config_of, is_main, open_data, print_config, stopped


def add_parser(subparsers: SubParsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "ablate",
        help="train the rows of the paper's Tables 3 and 4 and print them",
        description="Train every row of the paper's Table 3 (which blocks guide) and Table 4 (how the two branches are "
        "fused) on the same data, for the same budget and with the same seeds, and print both tables with the spread "
        "over the seeds. The rows set guidance, fusion and seed, whatever --config says. What was done is not done "
        "again: the same command goes on after a break.",
        epilog="Exit status: 0 if all is done, 1 if it stopped midway, 2 if it did not begin.",
    )
    parser.add_argument("--table", type=int, choices=(3, 4), help="train only this table")
    parser.add_argument("--seeds", metavar="N", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    add_arguments(parser, "ablation", resumes=True, but=("guidance", "fusion", "seed"))


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if args.print_config:
        return print_config("ablate", args)
    from mattekit.training import ablate, keep_freed_memory, processes

    keep_freed_memory()
    try:
        settings = chosen(args, config_of(args))
        source, validation = open_data(args, settings)
        tables = [args.table] if args.table else [3, 4]
        result = ablate(source, validation, settings, args.out, tables=tables, seeds=args.seeds, progress=is_main())
    except (OSError, TypeError, ValueError, RuntimeError, ImportError) as error:
        return stopped("ablate", error)
    finally:
        processes.finish()
    if is_main():
        print(result)
    return 0

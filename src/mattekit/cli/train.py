"""``mattekit train``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Collection
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mattekit.cli.parsers import SubParsers
from mattekit.cli.settings import add_options, chosen

if TYPE_CHECKING:
    from mattekit.data import Source
    from mattekit.training import Settings


def add_parser(subparsers: SubParsers) -> None:
    """Describe the arguments; the settings are added when the command is asked for."""
    parser = subparsers.add_parser(
        "train",
        help="train PP-Matting on your photos and mattes",
        description="Train PP-Matting as the paper does on folders of photos and mattes (image/ and alpha/, perhaps "
        "trimap/, foreground/ and background/) or of foregrounds and backgrounds (fg/ and bg/, perhaps alpha/). The "
        "run folder gets the weights, last.safetensors and best.safetensors, a log, sheets of pictures, and what it "
        "takes to go on after a break. 'torchrun --nproc-per-node N -m mattekit train ...' and 'accelerate launch' "
        "train on several devices.",
        epilog="Exit status: 0 if the run is done, 1 if it stopped midway, 2 if it did not begin.",
    )
    add_arguments(parser, "run")


def add_arguments(
    parser: argparse.ArgumentParser, out: str, *, resumes: bool = False, but: Collection[str] = ()
) -> None:
    """Describe the arguments that ``mattekit train`` and ``mattekit ablate`` share."""
    parser.add_argument("folders", metavar="DIR", type=Path, nargs="*", help="folders of data, which are joined")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path(out), help=f"folder to keep (default: {out})")
    parser.add_argument(
        "--validation",
        metavar="DIR",
        type=Path,
        help="folder of photos and mattes to validate on (default: some of DIR's, see --holdout)",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings, as --print-config writes them")
    parser.add_argument("--print-config", action="store_true", help="print the settings as TOML, and do nothing else")
    if not resumes:
        parser.add_argument("--resume", action="store_true", help="go on with the run in --out, if there is one")
    add_options(parser, but=but)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if args.print_config:
        return print_config("train", args)
    from mattekit.training import keep_freed_memory, pp_matting_step, processes, train

    keep_freed_memory()
    try:
        settings = chosen(args, config_of(args))
        source, validation = open_data(args, settings)
        step = pp_matting_step(settings)
        if is_main() and own_settings(args) is None:
            warn_of_the_rate(settings)
        scores = train(step, source, settings, args.out, validation=validation, resume=args.resume, progress=is_main())
    except (OSError, TypeError, ValueError, RuntimeError, ImportError) as error:
        return stopped("train", error)
    finally:
        processes.finish()
    if is_main():
        shown = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        print(f"trained {settings.iterations} iterations; validation: {shown}")
        print(f"next: {predicting_with(args.out / 'best.safetensors')}")
    return 0


def warn_of_the_rate(settings: Settings) -> None:
    """Say so where the default rate would undo what trained weights know."""
    rate = settings.learning_rate
    if settings.weights is not None and rate == type(settings).learning_rate:
        print(
            f"mattekit train: the learning rate is {rate}, which is for a start from ImageNet and undoes what trained "
            "weights know; --learning-rate 0.001 suits a start from --weights",
            file=sys.stderr,
        )


def predicting_with(weights: PurePath) -> str:
    """The command that predicts with a run's weights, to be pasted: with slashes, for a backslash would be quoted."""
    return f"mattekit predict PHOTO --weights {shlex.quote(weights.as_posix())}"


def print_config(command: str, args: argparse.Namespace) -> int:
    """Print the settings, and return the exit status."""
    try:
        print(chosen(args, config_of(args)).to_toml(), end="")
    except (OSError, TypeError, ValueError) as error:
        print(f"mattekit {command}: {error}", file=sys.stderr)
        return 2
    return 0


def stopped(command: str, error: Exception) -> int:
    """Say why a run stopped, or did not begin, and return the exit status."""
    from mattekit.data import SampleError
    from mattekit.training import ResumeError, TrainingError

    print(f"mattekit {command}: {error}", file=sys.stderr)
    return 1 if isinstance(error, TrainingError | SampleError) and not isinstance(error, ResumeError) else 2


def config_of(args: argparse.Namespace) -> Path | None:
    """The file of settings: what is named, or else that of the run to be resumed."""
    return own_settings(args) if args.config is None else args.config


def own_settings(args: argparse.Namespace) -> Path | None:
    """The file of settings of the run to be resumed; None if none is, or there is none yet."""
    own = args.out / "settings.toml"
    return own if getattr(args, "resume", False) and own.is_file() else None


def open_data(args: argparse.Namespace, settings: Settings) -> tuple[Source, Source]:
    """What to train on and what to validate on.

    Raises:
        ValueError: If there is no folder, it is no data set, or it has too few samples.
    """
    from mattekit.data import Mix, open_folder
    from mattekit.training import hold_out

    if not args.folders:
        raise ValueError("name a folder of photos and mattes to train on")
    sources = [open_folder(folder) for folder in args.folders]
    source = sources[0] if len(sources) == 1 else Mix(sources)
    if args.validation is not None:
        return source, open_folder(args.validation)
    if not settings.holdout:
        raise ValueError("holdout must be above 0, or --validation name a folder: a run is validated on something")
    return hold_out(source, settings.holdout)


def is_main() -> bool:
    """Whether this is the first of the processes that torchrun or accelerate launched, or the only one."""
    return os.environ.get("RANK", "0") == "0"

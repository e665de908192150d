"""``mattekit predict``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mattekit._progress import hidden
from mattekit.cli.parsers import SubParsers
from mattekit.cli.signals import Stopped, finishing
from mattekit.cli.status import status_of
from mattekit.cli.steps import Steps
from mattekit.cli.tasks import STREAM, Results, Task, find_hints, find_tasks, say_what_is_left_out

if TYPE_CHECKING:
    from mattekit.inference.prepare import PreparedMatting


def add_parser(subparsers: SubParsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "predict",
        help="make mattes and cut-outs of photos",
        description="For each photo write NAME_alpha.png, the matte, and NAME_cutout.png, the subject in its own "
        "colours with the matte as its alpha channel, in the photo's depth and profile. Photos whose results are "
        "there already are skipped.",
        epilog="Exit status: 0 if every photo has its matte, 1 if some failed, 2 if nothing was done, 130 or 143 if a "
        "signal ended it.",
    )
    parser.add_argument(
        "photos",
        metavar="PHOTO",
        type=Path,
        nargs="+",
        help="a photo, a folder of them, or -, which reads one from standard input",
    )
    parser.add_argument("--recursive", action="store_true", help="take photos from folders within folders, too")
    parser.add_argument(
        "--weights",
        metavar="NAME|FILE",
        default="small",
        help="small, which comes with mattekit and is for any photo with a subject; published weights (human-512 and "
        "human-1024 for people, composition-1k, distinctions-646), downloaded on first use; or a .safetensors, .pth or "
        ".pdparams file (default: small)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder (default: mattes), or -, which writes one file to standard output (default for -)",
    )
    parser.add_argument("--only", choices=["alpha", "cutout"], help="write the matte alone, or the cut-out")
    parser.add_argument("--overwrite", action="store_true", help="make again what is there already")
    _add_hints(parser.add_argument_group("which subject"))
    _add_looks(parser.add_argument_group("how results look"))
    _add_means(parser.add_argument_group("what it may take"))


def _add_hints(group: Any) -> None:
    hints = group.add_mutually_exclusive_group()
    hints.add_argument(
        "--trimaps",
        metavar="DIR",
        type=Path,
        help="folder of trimaps of the photos' names: what they know comes out as given, the network decides the rest",
    )
    hints.add_argument("--masks", metavar="DIR", type=Path, help="folder of rough masks of the photos' names")
    hints.add_argument("--alpha-as-mask", action="store_true", help="take a photo's own alpha channel for a rough mask")


def _add_looks(group: Any) -> None:
    group.add_argument(
        "--refine",
        action="store_true",
        help="draw hair and edges anew by the photo's own colours; takes less than a second a megapixel, of thin "
        "things about three",
    )
    group.add_argument(
        "--format", choices=["png", "tif", "webp", "jpg"], default="png", help="%(choices)s (default: png)"
    )
    group.add_argument(
        "--bits",
        type=int,
        choices=[8, 16],
        help="bits a channel (default: as many as the photo has; webp and jpg have 8)",
    )
    group.add_argument(
        "--background", metavar="COLOUR|IMAGE", help="lay cut-outs over a colour (white, '#20a040') or an image"
    )


def _add_means(group: Any) -> None:
    group.add_argument(
        "--max-short-side",
        metavar="PIXELS",
        type=int,
        help="shrink photos until their short side is at most this (default: what the weights were trained for)",
    )
    group.add_argument(
        "--max-memory", metavar="BYTES", type=_bytes, help="what a photo's prediction may take, such as 2G"
    )
    group.add_argument("--device", help="cpu, cuda, cuda:1, mps … (default: cuda where there is one)")
    group.add_argument(
        "--precision",
        choices=["float32", "bfloat16", "float16"],
        default="float32",
        help="of the convolutions: %(choices)s (default: float32)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from mattekit.checkpoints.loading import check_weights
    from mattekit.cli.looks import Look, read_background
    from mattekit.photos.atomic import check_apart, check_writable, clear_abandoned

    out = args.out or (STREAM if STREAM in args.photos else Path("mattes"))
    kinds = (args.only,) if args.only else ("cutout",) if out == STREAM else ("alpha", "cutout")
    results = Results(out, kinds, f".{args.format}")
    try:
        _check_options(args, kinds)
        tasks = find_tasks(args.photos, recursive=args.recursive, out=out)
        hints = find_hints("--trimaps", args.trimaps) | find_hints("--masks", args.masks)
        outputs = [path for task in tasks for path in results.paths(task).values()]
        backgrounds = [Path(args.background)] if args.background else []  # a colour is no file, and fits none
        check_apart(outputs, [*(task.photo for task in tasks), *hints.values(), *backgrounds])
        for output in outputs:
            check_writable(output)
        look = Look(results.suffix, args.bits, read_background(args.background) if args.background else None)
        say_what_is_left_out([path for path in args.photos if path.is_dir()], recursive=args.recursive, out=out)
        missing = [task for task in tasks if args.overwrite or not results.are_there(task)]
        check_weights(args.weights)
        if not missing:
            print(f"nothing to do: {len(tasks)} of {len(tasks)} results are in {out}; --overwrite makes them again")
            return 0
        steps = Steps(_load(args), args, hints, results, look)
    except (ImportError, OSError, ValueError, RuntimeError) as error:  # of an encoder that needs timm, the first
        print(f"mattekit predict: {error}", file=sys.stderr)
        return 2
    for folder in {path.parent for path in outputs}:
        clear_abandoned(folder)
    return _predict_all(missing, len(tasks), steps)


def _check_options(args: argparse.Namespace, kinds: tuple[str, ...]) -> None:
    """Refuse what does not go together; ValueError says why."""
    if args.out is not None and _looks_like_a_file(args.out):
        raise ValueError(f"--out must be a folder, got {args.out}: for one file of your own name, say --out - > FILE")
    if args.max_short_side is not None and args.max_short_side < 32:
        raise ValueError(f"--max-short-side must be at least 32, got {args.max_short_side}")
    if "cutout" in kinds and args.format == "jpg" and not args.background:
        raise ValueError("--format jpg has no alpha channel for cut-outs: give --only alpha, or --background")
    if args.background and "cutout" not in kinds:
        raise ValueError("--background is laid under cut-outs, and --only alpha writes none: leave one of them out")
    if args.refine and args.max_memory is not None:
        raise ValueError("--refine cannot keep to --max-memory: leave one of them out")
    if args.bits == 16 and args.format not in ("png", "tif"):
        raise ValueError(f"--bits 16 needs --format png or tif, got {args.format}")


def _looks_like_a_file(out: Path) -> bool:
    """Whether it is one, or would be a folder with the name of an image, which nobody means."""
    from mattekit.photos.folders import IMAGE_SUFFIXES

    return out != STREAM and not out.is_dir() and (out.exists() or out.suffix.lower() in IMAGE_SUFFIXES)


def _load(args: argparse.Namespace) -> PreparedMatting:
    import torch

    from mattekit.inference import prepare
    from mattekit.models import pp_matting

    args.device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    model = pp_matting(weights=args.weights)
    try:
        model.to(args.device)
    except (AssertionError, RuntimeError) as error:  # of torch: unknown, not built in, or full
        raise RuntimeError(f"--device must be one that torch can use here, got {args.device!r}: {error}") from error
    if torch.device(args.device).type == "meta":
        raise ValueError(f"--device must be one that computes, got {args.device!r}")
    return prepare(model, precision=args.precision)


def _predict_all(tasks: list[Task], total: int, steps: Steps) -> int:
    from tqdm import tqdm

    from mattekit.photos.atomic import is_disk_full

    done = failures = 0
    ended: BaseException | None = None
    with finishing() as pending, tqdm(total=len(tasks), desc="predicting", unit="photo", disable=hidden()) as bar:

        def is_stopped() -> bool:
            return ended is not None or pending.stopped is not None

        for task, error in steps.run(tasks, is_stopped):
            bar.update()
            if error is None:
                done += 1
                continue
            failures += 1
            bar.write(f"failed: {task.photo}: {_reason(error, task.photo)}", file=sys.stderr)
            ended = ended or (error if is_disk_full(error) else None)
        ended = ended or pending.stopped
    _say(done, len(tasks), total, steps)
    if ended is not None:
        print(f"mattekit predict: {_reason(ended)}, after {done} of {len(tasks)} photos", file=sys.stderr)
    return ended.status if isinstance(ended, Stopped) else status_of(done, failures)


def _say(done: int, tried: int, total: int, steps: Steps) -> None:
    out, kinds = steps.results.out, steps.results.kinds
    what = "mattes, with their cut-outs," if len(kinds) == 2 else "mattes" if kinds == ("alpha",) else "cut-outs"
    where = "standard output" if out == STREAM else out
    print(f"wrote {done} of {tried} {what} to {where}", file=sys.stderr if out == STREAM else sys.stdout)
    if total > tried:
        print(f"skipped {total - tried} whose results are there; --overwrite makes them again", file=sys.stderr)
    if steps.ignored:
        print(
            f"alpha channels were ignored in {steps.ignored} of {tried} photos; --alpha-as-mask takes them as masks",
            file=sys.stderr,
        )
    if steps.unmasked:
        print(
            f"no alpha channel, or one that is the same everywhere, in {steps.unmasked} of {tried} photos: there the "
            "network chose the subject",
            file=sys.stderr,
        )


def _bytes(text: str) -> int:
    """The number of bytes that 2G, 500MB or 1000000 is."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)i?b?", text.strip().lower())
    if not match:
        raise argparse.ArgumentTypeError(f"must be a number of bytes, such as 500M or 2G, got {text}")
    return round(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))


def _reason(error: BaseException, photo: str | os.PathLike[str] = "") -> str:
    """What went wrong with one photo, in a line, and what to try where memory did not suffice."""
    from mattekit.photos.decoding import reason

    text = reason(photo, error)
    scarce = ("out of memory", "can't allocate memory", "failed to allocate")  # torch on a GPU and on the CPU; OpenCV
    if isinstance(error, MemoryError) or any(words in text.lower() for words in scarce):
        text += "; with --max-memory, or a smaller --max-short-side, it needs less memory"
    return text

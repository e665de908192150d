"""``mattekit predict``."""

import argparse
import sys
from pathlib import Path

from mattekit.cli.parsers import SubParsers
from mattekit.cli.signals import Stopped, finishing
from mattekit.cli.status import status_of


def add_parser(subparsers: SubParsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "predict",
        help="make mattes and cut-outs of photos",
        description="For each photo write NAME_alpha.png, the matte, and NAME_cutout.png, the photo with the matte as "
        "its alpha channel.",
        epilog="Exit status: 0 if every photo has its matte, 1 if some failed, 2 if nothing was done.",
    )
    parser.add_argument(
        "photos", metavar="PHOTO", type=Path, nargs="+", help="a photo, or a folder of them, without sub-folders"
    )
    parser.add_argument(
        "--weights",
        metavar="NAME|FILE",
        default="human-512",
        help="published weights (composition-1k, distinctions-646, human-512, human-1024), downloaded on first use, or "
        "a .safetensors, .pth or .pdparams file (default: human-512, for people)",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("mattes"), help="folder (default: mattes)")
    parser.add_argument(
        "--max-short-side",
        metavar="PIXELS",
        type=int,
        help="shrink photos until their short side is at most this (default: what the weights were trained for)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    import cv2
    import torch
    from tqdm import tqdm

    from mattekit.inference import predict, prepare
    from mattekit.models import pp_matting
    from mattekit.photos import read_image
    from mattekit.photos.atomic import check_apart, check_writable, clear_abandoned, is_disk_full
    from mattekit.photos.folders import count_others, expand_folders
    from mattekit.photos.writing import cutout_paths, write_cutout

    try:
        photos = expand_folders(args.photos)
        _check_distinct_names(photos)
        if not photos:
            raise ValueError(f"there is no photo in {', '.join(map(str, args.photos))}")
        if args.max_short_side is not None and args.max_short_side < 32:
            raise ValueError(f"--max-short-side must be at least 32, got {args.max_short_side}")
        _check_another_folder(args.out, args.photos)
        outputs = [output for path in photos for output in cutout_paths(args.out, path.stem)]
        check_apart(outputs, photos)
        for output in outputs:
            check_writable(output)
        model = pp_matting(weights=args.weights).eval()
    except (OSError, ValueError, RuntimeError) as error:
        print(f"mattekit predict: {error}", file=sys.stderr)
        return 2
    for folder in filter(Path.is_dir, args.photos):
        if others := count_others(folder):
            print(f"left out of {folder}: {others} (sub-folders, and files that are no images)", file=sys.stderr)
    network = prepare(model.to("cuda" if torch.cuda.is_available() else "cpu"))
    clear_abandoned(args.out)
    done = failures = 0
    ended: BaseException | None = None
    with finishing() as pending, tqdm(photos, desc="predicting", unit="photo") as bar:
        for path in bar:
            if (ended := pending.stopped) is not None:
                break
            try:
                photo = read_image(path)
                alpha = predict(network, photo, max_short_side=args.max_short_side)
                write_cutout(args.out, path.stem, photo, alpha)
                done += 1
            except (OSError, RuntimeError, MemoryError, cv2.error) as error:
                failures += 1
                bar.write(f"failed: {path}: {_reason(error)}", file=sys.stderr)
                if is_disk_full(error):
                    ended = error
                    break
        ended = ended or pending.stopped
    print(f"wrote {done} of {len(photos)} mattes, with their cut-outs, to {args.out}")
    if ended is not None:
        print(f"mattekit predict: {_reason(ended)}, after {done} of {len(photos)} photos", file=sys.stderr)
    return ended.status if isinstance(ended, Stopped) else status_of(done, failures)


def _reason(error: BaseException) -> str:
    """What went wrong with one photo, in a line, and what to try where memory did not suffice."""
    text = " ".join(str(error).split()) or type(error).__name__
    scarce = ("out of memory", "can't allocate memory", "failed to allocate")  # torch on a GPU and on the CPU; OpenCV
    if isinstance(error, MemoryError) or any(words in text.lower() for words in scarce):
        text += "; with a smaller --max-short-side it needs less memory"
    return text


def _check_distinct_names(photos: list[Path]) -> None:
    """Refuse photos whose results would overwrite each other."""
    by_name: dict[str, list[Path]] = {}
    for path in photos:
        by_name.setdefault(path.stem, []).append(path)
    clashes = [", ".join(map(str, paths)) for paths in by_name.values() if len(paths) > 1]
    if clashes:
        raise ValueError("photos must have distinct names without suffix, got " + "; ".join(clashes))


def _check_another_folder(out: Path, inputs: list[Path]) -> None:
    """Refuse to write into a folder whose images are all taken for photos: the next run would take the results too."""
    from mattekit.photos.atomic import identity

    for path in inputs:
        if path.is_dir() and identity(path) == identity(out):
            raise ValueError(f"--out must be another folder than {path}, whose images are all photos, got {out}")

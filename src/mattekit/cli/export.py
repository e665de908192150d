"""``mattekit export``."""

import argparse
import sys
from pathlib import Path

from mattekit.cli.parsers import SubParsers


def add_parser(subparsers: SubParsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "export",
        help="write a network as ONNX, or as a program of torch.export",
        description="Write a network as one file that takes images of any batch, height and width, RGB in [0, 1], and "
        "returns mattes. The file is checked beside the network before it takes its name.",
        epilog="Exit status: 0 if the file was written, 2 if not.",
    )
    parser.add_argument("weights", metavar="WEIGHTS", help="as of 'mattekit predict --weights'")
    parser.add_argument(
        "file", metavar="FILE", type=Path, help=".onnx for ONNX; .pt2 for torch.export.load, which gives all maps"
    )
    parser.add_argument(
        "--outputs",
        metavar="MAP",
        nargs="+",
        help="maps that an ONNX file returns: alpha, detail, semantic_logits (default: alpha)",
    )
    parser.add_argument(
        "--half", action="store_true", help="store the weights of an ONNX file in float16, for half the file"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from mattekit import export
    from mattekit.models import pp_matting
    from mattekit.photos.atomic import check_apart, check_writable

    try:
        to_onnx = args.file.suffix == ".onnx"
        if args.file.suffix not in (".onnx", ".pt2"):
            raise ValueError(f"FILE must end in .onnx or .pt2, got {args.file}")
        if not to_onnx and (args.outputs or args.half):
            raise ValueError("--outputs and --half are for ONNX files; a program returns all maps, in float32")
        check_apart([args.file], [Path(args.weights)])
        check_writable(args.file)
        model = pp_matting(weights=args.weights)
        if to_onnx:
            half = "float16" if args.half else "float32"
            exported = export.onnx(model, args.file, outputs=args.outputs or ("alpha",), weights=half)
        else:
            exported = export.program(model, args.file)
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        print(f"mattekit export: {error}", file=sys.stderr)
        return 2
    print(
        f"wrote {exported.path}, {exported.bytes / 1e6:.1f} MB, which returns {', '.join(exported.outputs)}; "
        f"it differs from the network by {exported.difference:.1e} at most"
    )
    return 0

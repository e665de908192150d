"""onnxruntime beside torch at sizes that were not traced: every encoder, each row of Tables 3 and 4, the small weights.

    python benchmarks/export_differences.py [NAME …]

NAMEs choose the cases whose names hold one of them; none means all. Untrained networks get weights whose maps differ
from pixel to pixel. Where two classes tie, rounding decides and alpha jumps: such pixels are counted apart.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from mattekit import encoders, export
from mattekit.encoders import FeaturePyramid
from mattekit.export.network import folded, reference_of
from mattekit.models import PPMattingOutput, pp_matting
from mattekit.training.ablation import TABLES
from oracles.networks import lively

SIZES = [(1, 3, 32, 32), (2, 3, 96, 160), (1, 3, 224, 352), (1, 3, 333, 250), (1, 3, 512, 288)]
SMALLEST = "hrnet_w18_small_v1"  # of the tables' rows


def cases():
    """Networks by name, made when they are asked for."""
    found = {"small": lambda: pp_matting(weights="small")}
    for name in encoders.__all__:
        if name.startswith("hrnet_"):
            found[name] = lambda name=name: balanced(lively(pp_matting(name)))
        elif name.startswith("efficientnet_"):
            found[name] = lambda name=name: balanced(lively(pp_matting(of_efficientnet(name))))
    for number, rows in TABLES.items():
        for row in rows:
            found[f"Table {number}, {row.title}"] = lambda row=row: balanced(
                lively(pp_matting(SMALLEST, guidance=row.guidance, fusion=row.fusion))
            )
    return found


def of_efficientnet(name):
    """With a pyramid, which the small weights have too."""
    encoder = getattr(encoders, name)()
    return FeaturePyramid(encoder, (32,) * len(encoder.channels))


@torch.no_grad()
def balanced(network):
    """All three classes turn up: foreground, transition, whose alpha is the detail map, and background."""
    classify = [module for module in network.context.modules() if isinstance(module, nn.Conv2d)][-1]
    classify.bias.sub_(network(torch.rand(1, 3, 224, 352)).semantic_logits.mean((0, 2, 3)))
    return network


def main():
    import onnxruntime

    print("| network | weights | MB | alpha | detail | pixels that tie and differ | refused by name |")
    print("|---|---|--:|--:|--:|--:|---|", flush=True)
    for name, make in cases().items():
        if len(sys.argv) > 1 and not any(part in name for part in sys.argv[1:]):
            continue
        torch.manual_seed(0)
        network = make().eval()
        for weights in ("float32", "float16"):
            with tempfile.TemporaryDirectory() as folder:
                done = export.onnx(network, f"{folder}/a.onnx", outputs=("alpha", "detail"), weights=weights)
                session = onnxruntime.InferenceSession(done.path, providers=["CPUExecutionProvider"])
            alpha, detail, tied = differences(network if weights == "float32" else rounded(network), session)
            row = [name, weights, f"{done.bytes / 1e6:.1f}", f"{alpha:.1e}", f"{detail:.1e}", f"{tied:.1e}"]
            print(f"| {' | '.join(row)} | {refusal(session)} |", flush=True)


def rounded(network):
    """What a float16 file computes: the network folded, with the weights of its convolutions rounded."""
    copied = folded(reference_of(network))
    for module in copied.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.half().float()
    return lambda image: PPMattingOutput(*copied(image))


@torch.inference_mode()
def differences(network, session):
    """The largest over all sizes: of alpha where no classes tie, of the detail map, and the share of other pixels."""
    largest = np.zeros(3)
    for size in SIZES:
        image = torch.rand(size)
        expected = network(image)
        alpha, detail = session.run(None, {"image": image.numpy()})
        first, second = expected.semantic_logits.topk(2, dim=1).values.split(1, dim=1)
        tied = (first - second < 1e-4 * expected.semantic_logits.abs().max()).numpy()
        apart = np.abs(alpha - expected.alpha.numpy())
        own = np.abs(detail - expected.detail.numpy()).max()
        largest = np.maximum(largest, [apart[~tied].max(initial=0), own, ((apart > 1e-4) & tied).mean()])
    return largest


def refusal(session):
    try:
        session.run(None, {"image": np.zeros((1, 3, 31, 64), np.float32)})
    except Exception as error:
        return "yes" if "image_must_have_sides_from_32_up" in str(error) else "by another name"
    return "no"


if __name__ == "__main__":
    main()

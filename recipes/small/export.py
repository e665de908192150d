"""Write the averaged network of a training run as the file that mattekit ships.

    python export.py RUN/state.pt ../../src/mattekit/weights/small.safetensors --short-side 384

The file holds what `mattekit.checkpoints.save` writes, so that `pp_matting(weights=...)` builds the network from it,
and its card: licence, training data by source, labels, date. Kernels are stored in float16 and come back as float32;
biases and batch norms, 1 % of the numbers, stay float32.
"""

import argparse
import datetime
import json
from dataclasses import replace
from pathlib import Path

import torch
from network import small_network
from safetensors.torch import save
from torch import Tensor, nn

from mattekit import __version__
from mattekit.models import PPMatting, describe
from mattekit.photos import write_atomically

LICENCE = "Apache-2.0"
# source -> number of files, what its labels are, licence as its publisher states it
SOURCES = json.loads((Path(__file__).parent / "sources.json").read_text())


def averaged_network(state: dict, short_side: int) -> PPMatting:
    """The averaged network of a run, ready to predict photos of that short side."""
    network = small_network()
    averaged = nn.ModuleDict({"network": network}).state_dict()
    network.load_state_dict({name.removeprefix("network."): state["averaged"][name] for name in averaged})
    network.preprocessing = replace(network.preprocessing, max_short_side=short_side)
    return network.eval()


def stored(tensor: Tensor) -> Tensor:
    """Kernels as float16, everything else as it is.

    Raises:
        ValueError: If a number is too large for float16.
    """
    if tensor.ndim < 2 or not tensor.is_floating_point():
        return tensor.contiguous()
    half = tensor.half()
    if not half.isfinite().all():
        raise ValueError(f"kernels must lie within ±65504 to be stored in float16, got {tensor.abs().max():.3g}")
    return half.contiguous()


def card(state: dict, date: str) -> dict[str, str]:
    """What the file says of itself, beyond its description."""
    return {
        "name": "small",
        "licence": LICENCE,
        "training_data": json.dumps(SOURCES, ensure_ascii=False),
        "recipe": f"recipes/small, {state['step']} steps of the whole network",
        "date": date,
    }


def main() -> None:
    """Export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--short-side", type=int, default=384, help="what predict shrinks a photo's short side to")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    arguments = parser.parse_args()
    state = torch.load(arguments.state, map_location="cpu", weights_only=True)
    network = averaged_network(state, arguments.short_side)
    tensors = {name: stored(tensor) for name, tensor in network.state_dict().items()}
    metadata = {"format": "pt", "mattekit": __version__, "description": json.dumps(describe(network))}
    data = save(tensors, metadata | card(state, arguments.date))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(arguments.out, lambda file: file.write(data))
    print(f"{arguments.out}: {len(data) / 1e6:.1f} MB, {sum(p.numel() for p in network.parameters()):,} parameters")


if __name__ == "__main__":
    main()

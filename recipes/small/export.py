"""Write the averaged network of training runs as the file that mattekit ships.

    python export.py RUN/state.pt OTHER/state.pt ../../src/mattekit/weights/small.safetensors

Of several runs that began with the same network the mean of their weights is taken: it does better on photos that none
saw than each of them (Wortsman et al. 2022, "Model soups").

The file holds what `mattekit.checkpoints.save` writes, so that `pp_matting(weights=...)` builds the network from it,
and of its card the licence, the recipe and the date; card.py writes the rest. Kernels are stored in float16 and come
back as float32; biases and batch norms, 1 % of the numbers, stay float32.
"""

import argparse
import datetime
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from network import averaged_network, read_states
from safetensors.torch import save
from torch import Tensor

from mattekit import __version__
from mattekit.checkpoints.loading import in_order
from mattekit.models import describe
from mattekit.photos import write_atomically

LICENCE = "Apache-2.0"


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


def card(steps: Sequence[int], date: str) -> dict[str, str]:
    """What the file says of itself, beyond its description."""
    runs = "the mean of runs" if len(steps) > 1 else "a run"
    return {
        "name": "small",
        "licence": LICENCE,
        "recipe": f"recipes/small, {runs} of {' and '.join(map(str, steps))} steps",
        "date": date,
    }


def main() -> None:
    """Export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("states", type=Path, nargs="+", metavar="state")
    parser.add_argument("out", type=Path)
    parser.add_argument("--short-side", type=int, default=384, help="what predict shrinks a photo's short side to")
    parser.add_argument("--context-side", type=int, default=224, help="what the context branch sees of that")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    arguments = parser.parse_args()
    states = read_states(arguments.states)
    network = averaged_network(states).eval()
    network.preprocessing = replace(
        network.preprocessing,
        max_short_side=arguments.short_side,
        context_short_side=arguments.context_side,
        antialias=True,
        guided=True,
    )
    tensors = {name: stored(tensor) for name, tensor in network.state_dict().items()}
    metadata = {"format": "pt", "mattekit": __version__, "description": json.dumps(describe(network))}
    data = in_order(save(tensors, metadata | card([state["step"] for state in states], arguments.date)))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(arguments.out, lambda file: file.write(data))
    print(f"{arguments.out}: {len(data) / 1e6:.1f} MB, {sum(p.numel() for p in network.parameters()):,} parameters")


if __name__ == "__main__":
    main()

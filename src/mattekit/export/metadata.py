"""What a file says of itself."""

import hashlib
import json

import torch

from mattekit import __version__
from mattekit.models import PPMatting, describe


def metadata_of(model: PPMatting, **more: object) -> dict[str, str]:
    """Description, preprocessing and hash of a network, as strings; ``more`` goes with them."""
    preprocessing = model.preprocessing
    return {
        "mattekit": __version__,
        "description": json.dumps(describe(model)),
        "preprocessing": json.dumps(
            {
                "input": "RGB in [0, 1], float32, (N, 3, H, W), sides from 32 up; normalised inside",
                "mean": list(preprocessing.mean),
                "std": list(preprocessing.std),
                "max_short_side": preprocessing.max_short_side,
                "antialias": preprocessing.antialias,
                "guided": preprocessing.guided,
            }
        ),
        "weights_sha256": hash_of(model),
        **{name: str(value) for name, value in more.items()},
    }


def hash_of(model: PPMatting) -> str:
    """SHA-256 of a network's weights: of each tensor, by name, the name, dtype, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # as bytes, since NumPy has no bfloat16
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()

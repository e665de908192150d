"""Deterministic weights for PaddleSeg's names: what the reference outputs in tests/data/paddleseg were made with."""

import json
import pickle
import zlib
from pathlib import Path

import numpy as np

PADDLESEG = Path(__file__).parent.parent / "data" / "paddleseg"


def seeded(name, shape):
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    if name.endswith("_mean"):
        return rng.normal(0, 0.1, shape).astype("float32")
    if name.endswith("_variance"):
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    if len(shape) == 4:
        fan_in = shape[1] * shape[2] * shape[3]
        gain = 0.01 if name == "hrdb.detail_conv.weight" else 1.0
        return (gain * rng.normal(0, (2 / fan_in) ** 0.5, shape)).astype("float32")
    if name.endswith(".bias"):
        return rng.normal(0, 0.1, shape).astype("float32")
    low, high = (0.25, 0.55) if name.startswith("backbone.") else (1.0, 1.4)
    return rng.uniform(low, high, shape).astype("float32")


def paddle_shapes(encoder="hrnet_w18"):
    return json.loads((PADDLESEG / f"{encoder}_parameters.json").read_text())


def paddle_state_dict(encoder="hrnet_w18"):
    return {name: seeded(name, shape) for name, shape in paddle_shapes(encoder).items()}


def write(path, content):
    """A file as ``paddle.save`` writes it."""
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


def write_pdparams(path, encoder="hrnet_w18"):
    return write(path, paddle_state_dict(encoder))

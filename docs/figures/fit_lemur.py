"""Fit the demo's small network to the lemur and write the pictures that the pages show of it.

Run it by hand, a few minutes on two cores, when the network or the demo changes; what it writes into
docs/_static/lemur is committed, so that the pages build in seconds:

    python docs/figures/fit_lemur.py
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mattekit import metrics, trimap
from mattekit._demo.examples import lemur
from mattekit._demo.training import fit, small_network
from mattekit.compositing import composite
from mattekit.inference import predict

OUT = Path(__file__).parent.parent / "_static" / "lemur"
SIZE = (440, 680)
STEPS = 320


def main() -> None:
    torch.manual_seed(0)
    photo, truth = lemur()
    model = small_network()
    fit(model, photo, truth, steps=STEPS)

    kept: dict[str, Tensor] = {}
    keep_outputs(model, kept)
    image = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        output = model(image)

    alpha = predict(model, photo)
    cutout = composite(image, (0.16, 0.32, 0.62), torch.from_numpy(alpha)[None, None])
    save("photo", photo)
    save("matte", to_uint8(alpha))
    save("cutout", to_uint8(cutout[0].permute(1, 2, 0).numpy()))
    save("semantic", trimap.from_semantic(output.semantic_logits)[0, 0].numpy())
    save("detail", to_uint8(output.detail[0, 0].numpy()))
    for name, feature in kept.items():
        save(name, to_uint8(stretch(feature)))
    scores = metrics.evaluate(alpha, truth)
    record = {"steps": STEPS, "sad": round(scores.sad, 2), "mse": round(scores.mse, 5)}
    (OUT / "scores.json").write_text(json.dumps(record, indent=1) + "\n")
    print(record)


def keep_outputs(model: torch.nn.Module, kept: dict[str, Tensor]) -> None:
    """Keep what Figure 5 shows: the encoder's first feature, s1 to s3 of the context, g1 to g3 of the gates."""

    def keep_context(module, inputs, result):
        for name, block in (("s1", 0), ("s2", 2), ("s3", 4)):
            kept[name] = result.guidance[block].mean(1, keepdim=True)

    model.encoder.register_forward_hook(lambda m, i, features: kept.__setitem__("low_level", features[0].mean(1, True)))
    model.context.register_forward_hook(keep_context)
    for name, gate in zip(("g1", "g2", "g3"), ("1", "3", "5"), strict=True):
        model.detail.gates[gate].register_forward_hook(lambda m, i, d, name=name: kept.__setitem__(name, d[:, :1]))


def stretch(feature: Tensor) -> np.ndarray:
    """A map at the photo's size, its 1st to 99th percentile stretched over black to white."""
    shown = F.interpolate(feature, size=SIZE, mode="nearest")[0, 0].numpy()
    low, high = np.percentile(shown, (1, 99))
    return ((shown - low) / max(high - low, 1e-12)).clip(0, 1)


def to_uint8(x: np.ndarray) -> np.ndarray:
    return (x * 255).round().astype(np.uint8)


def save(name: str, pixels: np.ndarray) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(OUT / f"{name}.webp", quality=82, method=6)


if __name__ == "__main__":
    main()

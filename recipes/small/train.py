"""Train the small network, in two phases, and go on from where the last run stopped.

    python train.py semantic DATA MATTES RUN --encoder efficientnet-lite0.pth --side 192 --steps 4000
    python train.py whole DATA MATTES RUN --side 256 --steps 4000

The semantic phase trains the encoder, the pyramid and the coarse half of the context branch by heads at a quarter of
the image, for a third of what the whole network costs an image. The whole phase trains all of it. ``RUN/state.pt``
holds network, averaged network, optimiser and step, and is written every few minutes; ``RUN/log.jsonl`` grows a line
each time.
"""

import argparse
import json
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mix import Mixture
from network import CoarseHeads, freeze_encoder, quarter, small_network
from torch import Tensor, nn

from mattekit import checkpoints
from mattekit.losses import alpha_loss, gradient_loss


def wide_classes(alpha: np.ndarray, radius: float) -> np.ndarray:
    """Classes 0 foreground, 1 transition, 2 background, the transition widened by ``radius`` pixels on either side."""
    size = 2 * max(1, round(radius)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    foreground = cv2.erode((alpha > 0.95).astype(np.uint8), kernel)
    background = cv2.erode((alpha < 0.05).astype(np.uint8), kernel)
    return np.where(foreground, 0, np.where(background, 2, 1)).astype(np.int64)


def batch(mixture: Mixture, size: int, side: int, seed: tuple[int, ...]) -> dict[str, Tensor]:
    """Draw a batch; the seed alone decides what is in it."""
    rng = np.random.default_rng(seed)
    views = [mixture(rng) for _ in range(size)]
    classes = [wide_classes(view.alpha, side * np.exp(rng.uniform(np.log(0.015), np.log(0.07)))) for view in views]
    return {
        "image": torch.from_numpy(np.stack([view.image for view in views])).permute(0, 3, 1, 2).float() / 255,
        "alpha": torch.from_numpy(np.stack([view.alpha for view in views]).astype(np.float32))[:, None],
        "weight": torch.from_numpy(np.stack([view.weight for view in views]).astype(np.float32)),
        "classes": torch.from_numpy(np.stack(classes)),
        "exactness": torch.tensor([view.exactness for view in views]).view(-1, 1, 1, 1),
    }


def semantic_term(logits: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy over the pixels that are trusted."""
    return (F.cross_entropy(logits, classes, reduction="none") * weight).sum() / weight.sum()


def coarse_losses(network: nn.Module, heads: CoarseHeads, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The semantic phase: both heads against labels at a quarter of the image."""
    semantic, matte = heads(network, given["image"].contiguous(memory_format=torch.channels_last))
    classes, weight = given["classes"][:, 2::4, 2::4], given["weight"][:, 2::4, 2::4]
    error = (matte.sigmoid() - quarter(given["alpha"])).abs()[:, 0] * weight
    return {"semantic": semantic_term(semantic, classes, weight), "matte": error.sum() / weight.sum()}


def whole_losses(network: nn.Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The whole phase: L_s, L_d and L_f, with L_d a little beyond the transition too."""
    out = network(given["image"].contiguous(memory_format=torch.channels_last))
    alpha, exactness = given["alpha"], given["exactness"]
    unknown = (given["classes"] == 1)[:, None].float()
    where = (unknown + 0.15) * given["weight"][:, None] * (0.4 + 0.6 * exactness)
    edges = unknown * exactness
    matte = ((out.detail - alpha).abs() * where).sum() / where.sum()
    gradient = gradient_loss(out.detail, alpha, reduction="none") * edges
    fused = alpha_loss(out.alpha, alpha, reduction="none") * given["weight"][:, None]
    return {
        "semantic": semantic_term(out.semantic_logits, given["classes"], given["weight"]),
        "matte": 2 * matte,
        "gradient": gradient.sum() / edges.sum().clamp(min=1),
        "fusion": fused.sum() / given["weight"].sum(),
    }


def learning_rate(step: int, steps: int, *, warm_up: int = 200, floor: float = 0.02) -> float:
    """A factor: a linear start, then a cosine down to the floor."""
    if step < warm_up:
        return (step + 1) / warm_up
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1, (step - warm_up) / max(1, steps - warm_up))))


def save(path: Path, state: dict) -> None:
    """Write a file whole or not at all."""
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    os.replace(partial, path)


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=("semantic", "whole"))
    parser.add_argument("data", type=Path)
    parser.add_argument("mattes", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--encoder", type=Path, help="ImageNet weights to begin with")
    parser.add_argument("--start", type=Path, help="state of another run, whose networks to begin with")
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--encoder-rate", type=float, default=0.3, help="the encoder's share of the rate")
    parser.add_argument("--frozen-blocks", type=int, default=3)
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    arguments.run.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)

    network = small_network()
    heads = CoarseHeads(network)
    if arguments.encoder:
        checkpoints.load(network.encoder.encoder, arguments.encoder)
    trained = nn.ModuleDict({"network": network, "heads": heads})
    averaged = {name: value.clone() for name, value in trained.state_dict().items()}
    state_path = arguments.run / "state.pt"
    beginning = state_path if state_path.exists() else arguments.start
    state = torch.load(beginning, weights_only=True) if beginning else {}
    if state:
        trained.load_state_dict(state["trained"])
        averaged = state["averaged"]
    if beginning == arguments.start and state:  # another run's average is this run's beginning
        trained.load_state_dict(averaged)
    trained.to(memory_format=torch.channels_last).train()
    freeze_encoder(network, arguments.frozen_blocks)
    backbone = [p for p in network.encoder.encoder.parameters() if p.requires_grad]
    taken = {id(p) for p in backbone}
    rest = [p for p in trained.parameters() if p.requires_grad and id(p) not in taken]
    optimiser = torch.optim.AdamW(
        [{"params": rest, "share": 1.0}, {"params": backbone, "share": arguments.encoder_rate}], weight_decay=1e-2
    )
    first = 0
    if beginning == state_path:
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]

    mixture = Mixture(arguments.data, arguments.mattes, arguments.side)
    pool = ThreadPoolExecutor(1)

    def ahead(step: int):
        return pool.submit(batch, mixture, arguments.batch, arguments.side, (arguments.side, step))

    waiting = ahead(first)
    sums: dict[str, float] = {}
    counted, begun, saved = 0, time.monotonic(), time.monotonic()
    for step in range(first, arguments.steps):
        given, waiting = waiting.result(), ahead(step + 1)
        for group in optimiser.param_groups:
            group["lr"] = arguments.rate * group["share"] * learning_rate(step, arguments.steps)
        losses = coarse_losses(network, heads, given) if arguments.phase == "semantic" else whole_losses(network, given)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise RuntimeError(f"the loss is {total.item()} at step {step}")
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(trained.parameters(), 5.0)
        optimiser.step()
        keep = min(arguments.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in trained.state_dict().items():
                if value.is_floating_point():
                    averaged[name].lerp_(value, 1 - keep)
                else:
                    averaged[name].copy_(value)
        counted += 1
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        if (step + 1) % 50 == 0 or step + 1 == arguments.steps:
            line = {"step": step + 1} | {name: round(value / counted, 4) for name, value in sums.items()}
            line["images_per_second"] = round(counted * arguments.batch / (time.monotonic() - begun), 2)
            line["cpu_seconds"] = round(time.process_time(), 1)
            with (arguments.run / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            sums, counted, begun = {}, 0, time.monotonic()
        if time.monotonic() - saved > 180 or step + 1 == arguments.steps:
            save(
                state_path,
                {
                    "trained": trained.state_dict(),
                    "averaged": averaged,
                    "optimiser": optimiser.state_dict(),
                    "step": step + 1,
                },
            )
            saved = time.monotonic()


if __name__ == "__main__":
    main()

"""Train the small network, in three phases, by `mattekit.training`.

    python train.py semantic DATA MATTES RUN --encoder efficientnet-lite0.pth --side 192 --steps 2200
    python train.py whole DATA MATTES RUN --start OTHER/state.pt --side 288 --context-side 192 --steps 460
    python train.py detail DATA MATTES RUN --start OTHER/state.pt --side 288 --context-side 224 --steps 700 --batch 8

The semantic phase trains the encoder, the pyramid and the coarse half of the context branch by heads at a quarter of
the image, for a third of what the whole network costs an image. The whole phase trains all of it, and the detail phase
what draws edges: the pyramid's fine levels and the detail branch. Each may be killed at any time, and the same command
goes on. ``RUN/training`` is the run, with its log; at its end ``RUN/state.pt`` gets the averaged network, with which
the next phase and ``export.py`` begin.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mix import Mixture
from network import (
    CoarseHeads,
    averaged_network,
    freeze_encoder,
    freeze_semantics,
    quarter,
    read_states,
    sharpen,
    small_network,
)
from safetensors.torch import load_file
from torch import Tensor

from mattekit import checkpoints
from mattekit.data import Batch, Compose, Sample, collate
from mattekit.losses import alpha_loss, gradient_loss, semantic_loss
from mattekit.models import PPMatting, PPMattingOutput
from mattekit.photos import write_atomically
from mattekit.training import Settings, Step, StepResult, keep_freed_memory, train
from mattekit.trimap import BACKGROUND, FOREGROUND, UNKNOWN
from mattekit.windows import Window

ENCODER_RATE = 0.3  # its share of the learning rate
FROZEN_BLOCKS = 3


@dataclass(frozen=True, kw_only=True)
class TrustedSample(Sample):
    """A sample with how far to trust it: each pixel's class (H, W), and its alpha altogether, each 0 to 1."""

    weight: np.ndarray
    exactness: float


@dataclass(frozen=True, kw_only=True)
class TrustedBatch(Batch):
    """Likewise a batch: (N, 1, H, W) and (N, 1, 1, 1)."""

    weight: Tensor
    exactness: Tensor


class Squares:
    """The mixture as a source: a square and its trimap, drawn anew for each index of each epoch."""

    def __init__(self, mixture: Mixture, side: int, length: int = 10_000) -> None:
        self.mixture, self.side, self.length = mixture, side, length

    def __len__(self) -> int:
        return self.length

    def __call__(self, index: int, rng: np.random.Generator) -> TrustedSample:
        """A square that the generator decides alone."""
        view = self.mixture(rng)
        trimap = wide_trimap(view.alpha, self.side * np.exp(rng.uniform(np.log(0.015), np.log(0.07))))
        alpha, weight = view.alpha.astype(np.float32), view.weight.astype(np.float32)
        return TrustedSample(
            view.image, alpha, trimap=trimap, name=f"square {index}", weight=weight, exactness=view.exactness
        )


def wide_trimap(alpha: np.ndarray, radius: float) -> np.ndarray:
    """A trimap (H, W) whose transition is widened by ``radius`` pixels on either side."""
    size = 2 * max(1, round(radius)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    foreground = cv2.erode((alpha > 0.95).astype(np.uint8), kernel)
    background = cv2.erode((alpha < 0.05).astype(np.uint8), kernel)
    return np.where(foreground, FOREGROUND, np.where(background, BACKGROUND, UNKNOWN)).astype(np.uint8)


def trusted(samples: Sequence[TrustedSample], **others: Any) -> TrustedBatch:
    """`collate`, with how far to trust what."""
    weight = torch.from_numpy(np.stack([sample.weight for sample in samples])[:, None])
    exactness = torch.tensor([sample.exactness for sample in samples], dtype=torch.float32).view(-1, 1, 1, 1)
    return TrustedBatch(**vars(collate(samples, **others)), weight=weight, exactness=exactness)


class SmallStep(Step):
    """The small network, whose encoder keeps its batch statistics and its first blocks, and learns at a share."""

    model: PPMatting

    def __init__(self, model: PPMatting) -> None:
        super().__init__(model)
        self.train()

    def train(self, mode: bool = True) -> "SmallStep":
        """Set the mode, but not the encoder's."""
        super().train(mode)
        freeze_encoder(self.model, FROZEN_BLOCKS)
        return self

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The rest, and the encoder within the pyramid."""
        encoder = {id(parameter) for parameter in self.model.encoder.encoder.parameters()}
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [
            {"params": [p for p in trained if id(p) not in encoder], "rate": 1.0},
            {"params": [p for p in trained if id(p) in encoder], "rate": ENCODER_RATE},
        ]

    def forward(self, batch: TrustedBatch) -> StepResult:
        """The phase's losses, and their sum to learn from."""
        losses = self.losses(batch)
        return StepResult({"total": torch.stack(list(losses.values())).sum(), **losses}, None)

    def losses(self, batch: TrustedBatch) -> dict[str, Tensor]:
        """The whole phase: L_s, L_d and L_f."""
        out = self.model(batch.image)
        semantic = semantic_loss(out.semantic_logits, batch.trimap, batch.weight)
        return {"semantic": semantic, **drawing_losses(out, batch)}


def drawing_losses(out: PPMattingOutput, batch: TrustedBatch) -> dict[str, Tensor]:
    """L_d, a little beyond the transition too, and L_f."""
    unknown = (batch.trimap == UNKNOWN).float()
    where = (unknown + 0.15) * batch.weight * (0.4 + 0.6 * batch.exactness)
    return {
        "matte": 2 * alpha_loss(out.detail, batch.alpha, where),
        "gradient": gradient_loss(out.detail, batch.alpha, unknown * batch.exactness),
        "fusion": 2 * alpha_loss(out.alpha, batch.alpha, batch.weight),
    }


class CoarseStep(SmallStep):
    """The semantic phase: two heads against labels at a quarter of the image."""

    def __init__(self, model: PPMatting) -> None:
        super().__init__(model)
        self.heads = CoarseHeads(model)

    def losses(self, batch: TrustedBatch) -> dict[str, Tensor]:
        """Both heads', and that of their fusion."""
        logits, matte = self.heads(self.model, batch.image)
        trimap, weight = batch.trimap[..., 2::4, 2::4], batch.weight[..., 2::4, 2::4]
        alpha, matte = quarter(batch.alpha), matte.sigmoid()
        return {
            "semantic": semantic_loss(logits, trimap, weight),
            "matte": alpha_loss(matte, alpha, weight),
            "fusion": 2 * alpha_loss(self.model.fusion(logits, matte), alpha, weight),
        }


class DetailStep(SmallStep):
    """The detail phase: what draws learns, and all that finds the subject stays as it is.

    With a ``window`` half of the batches show what draws a part of that side of large squares, which the context branch
    sees all of, and the other half all of the squares, shrunk to that side.
    """

    def __init__(self, model: PPMatting, window: int | None = None) -> None:
        super().__init__(model)
        self.window = window

    def train(self, mode: bool = True) -> "DetailStep":
        """Set the mode of what draws."""
        Step.train(self, mode)
        freeze_semantics(self.model, mode)
        return self

    def losses(self, batch: TrustedBatch) -> dict[str, Tensor]:
        """Both losses that reach what draws."""
        if self.window is None:
            return drawing_losses(self.model(batch.image), batch)
        if torch.rand(()) < 0.5:
            small = shrunk(batch, self.window)
            return drawing_losses(self.model(small.image), small)
        window = busiest(batch, self.window)
        out = self.model.decode(self.model.encode(batch.image), window)
        part = {name: getattr(batch, name)[inside(window)] for name in ("alpha", "trimap", "weight")}
        return drawing_losses(out, replace(batch, **part))


def shrunk(batch: TrustedBatch, side: int) -> TrustedBatch:
    """All of the squares at a smaller side."""
    means = {name: F.adaptive_avg_pool2d(getattr(batch, name), side) for name in ("image", "alpha", "weight")}
    return replace(batch, trimap=F.interpolate(batch.trimap.float(), side).to(batch.trimap.dtype), **means)


def busiest(batch: TrustedBatch, side: int, tries: int = 3) -> Window:
    """Of some windows drawn at random the one with the most of the transition."""
    room = batch.image.shape[-1] - side + 1
    windows = [Window(int(top), int(left), side, side) for top, left in torch.randint(room, (tries, 2))]
    unknown = batch.trimap == UNKNOWN
    return max(windows, key=lambda window: int(unknown[inside(window)].sum()))


def inside(window: Window) -> tuple:
    """The index of a window in a batch's maps."""
    top, left, height, width = window
    return np.s_[..., top : top + height, left : left + width]


STEPS = {"semantic": CoarseStep, "whole": SmallStep, "detail": DetailStep}


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=STEPS)
    parser.add_argument("data", type=Path)
    parser.add_argument("mattes", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--encoder", type=Path, help="ImageNet weights to begin with")
    parser.add_argument("--start", type=Path, nargs="+", help="states of other runs, whose mean to begin with")
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument(
        "--context-side", type=int, help="side at which the context branch sees the squares; default: all"
    )
    parser.add_argument("--sharpness", type=float, default=1.0, help="what to multiply the semantic logits by at first")
    parser.add_argument("--window", type=int, help="of the detail phase: side of the part of a square that it draws")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=1e-3, help="peak of the learning rate")
    parser.add_argument("--seed", type=int, default=0, help="another one draws other squares")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.window is not None and arguments.phase != "detail":
        parser.error(f"--window is of the detail phase, got it for the {arguments.phase} one")
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(arguments.seed)

    network = averaged_network(read_states(arguments.start)) if arguments.start else small_network()
    if arguments.encoder:
        checkpoints.load(network.encoder.encoder, arguments.encoder)
    sharpen(network, arguments.sharpness)
    network.preprocessing = replace(network.preprocessing, context_short_side=arguments.context_side)
    step = DetailStep(network, arguments.window) if arguments.phase == "detail" else STEPS[arguments.phase](network)
    settings = Settings(
        size=arguments.side,
        batch_size=arguments.batch,
        workers=1,
        iterations=arguments.steps,
        optimiser="adamw",
        learning_rate=arguments.rate,
        weight_decay=1e-2,
        schedule="cosine",
        warm_up=min(200, arguments.steps // 10),
        floor=0.02,
        clip=5.0,
        ema=max(0.9, 1 - 5 / arguments.steps),  # over the last fifth of the steps
        checkpoint_every=50,
        seed=arguments.seed,
    )
    mixture = Mixture(arguments.data, arguments.mattes, arguments.side)
    if mixture.empty:
        print(f"no sample to train on, and left out: {', '.join(mixture.empty)}")
    source = Squares(mixture, arguments.side)
    training = arguments.run / "training"
    train(step, source, settings, training, transform=Compose([]), collate=trusted, resume=True, progress=True)
    averaged = {f"network.{name}": tensor for name, tensor in load_file(training / "last.safetensors").items()}
    state = {"averaged": averaged, "step": arguments.steps}
    write_atomically(arguments.run / "state.pt", lambda file: torch.save(state, file))


if __name__ == "__main__":
    main()

"""The network of the experiments that fit a CPU: all parts of PP-Matting, narrow, on an encoder of ten convolutions."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mattekit.blocks import (
    ConvBNReLU,
    ConvFusion,
    DetailFusion,
    HighResolutionDetailBranch,
    PyramidPooling,
    ReplaceFusion,
    SemanticContextBranch,
)
from mattekit.data import RandomFlip, SyntheticMattes
from mattekit.models import PPMatting
from mattekit.training import Settings

TRAINING = SyntheticMattes(seed=0, size=32, length=200_000)
VALIDATION = SyntheticMattes(seed=1, size=32, length=64)
TRANSFORM = RandomFlip()  # each sample comes once, and is drawn as those of the validation are
FUSIONS = {"replace": ReplaceFusion, "conv": ConvFusion, "detail": DetailFusion}


class PlainEncoder(nn.Module):
    """Five stages of two convolutions, the first two of which halve the size: of 32² that leaves 8²."""

    channels = (32, 32, 32, 64, 96)
    strides = (2, 4, 4, 4, 4)

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *self.channels[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, step, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), ConvBNReLU(b, b))
            for a, b, step in zip(inputs, self.channels, (2, 2, 1, 1, 1), strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def plain_settings(iterations: int, **others: Any) -> Settings:
    """The recipe of the experiments, on one core."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    recipe = {"size": 32, "batch_size": 16, "workers": 0, "optimiser": "adamw", "learning_rate": 0.003, "clip": 5}
    warm_up = min(50, iterations // 4)
    return Settings(iterations=iterations, warm_up=warm_up, ema=0.99, checkpoint_every=200, **recipe, **others)


def plain_network(guidance: Sequence[int] = (1, 3, 5), fusion: str = "replace", seed: int = 0) -> PPMatting:
    """0.8 million parameters, the same for a seed."""
    torch.manual_seed(seed)
    encoder = PlainEncoder()
    widths = ((64, 32), (32, 32), (32, 16), (16, 8), (8, 8))
    context = SemanticContextBranch(
        encoder.channels[-1], pooling=PyramidPooling(encoder.channels[-1], 48), widths=widths
    )
    detail = HighResolutionDetailBranch(
        encoder.channels[:2], context.guidance_channels, guidance=guidance, widths=(32, 32, 24, 16)
    )
    return PPMatting(encoder, context, detail, FUSIONS[fusion]())

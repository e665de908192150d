"""The network of the experiments that fit a CPU: all parts of PP-Matting, narrow, on an encoder of ten convolutions."""

from collections.abc import Sequence

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
from mattekit.models import PPMatting

FUSIONS = {"replace": ReplaceFusion, "conv": ConvFusion, "detail": DetailFusion}


class PlainEncoder(nn.Module):
    """Five stages of two convolutions, each stage at half the size of the one before."""

    channels = (16, 24, 32, 64, 96)
    strides = (2, 4, 8, 16, 32)

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *self.channels[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), ConvBNReLU(b, b))
            for a, b in zip(inputs, self.channels, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def plain_network(guidance: Sequence[int] = (1, 3, 5), fusion: str = "replace", seed: int = 0) -> PPMatting:
    """0.3 million parameters, the same for a seed."""
    torch.manual_seed(seed)
    encoder = PlainEncoder()
    widths = ((64, 32), (32, 32), (32, 16), (16, 16), (16, 16))
    context = SemanticContextBranch(
        encoder.channels[-1], pooling=PyramidPooling(encoder.channels[-1], 48), widths=widths
    )
    detail = HighResolutionDetailBranch(
        encoder.channels[:2], context.guidance_channels, guidance=guidance, widths=(16, 16, 16, 8)
    )
    return PPMatting(encoder, context, detail, FUSIONS[fusion]())

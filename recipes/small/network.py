"""The small network, the mean of several, and the heads that train its coarse half alone."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mattekit.blocks import HighResolutionDetailBranch, PyramidPooling, SemanticContextBranch, SoftFusion
from mattekit.encoders import FeaturePyramid, efficientnet_lite0
from mattekit.models import PPMatting
from mattekit.windows import resize_bilinear


def small_network() -> PPMatting:
    """PP-Matting in narrow: EfficientNet-Lite0 with a feature pyramid, SCB from 96 to 8 channels, HRDB of 32 to 16.

    The detail branch works at half of the image's size.
    """
    encoder = FeaturePyramid(efficientnet_lite0(), (16, 32, 64, 96, 96), keep=(0, 1, 3), plain=0, channels=(16, 16, 96))
    context = SemanticContextBranch(
        encoder.channels[-1],
        pooling=PyramidPooling(encoder.channels[-1], 96),
        widths=((96, 64), (64, 48), (48, 32), (24, 16), (16, 8)),
    )
    detail = HighResolutionDetailBranch(
        encoder.channels[:2], context.guidance_channels, widths=(32, 16, 16, 16), upscale_factor=2
    )
    return PPMatting(encoder, context, detail, SoftFusion())


def read_states(paths: Sequence[Path]) -> list[dict]:
    """What `train.py` left at the end of runs: the averaged network and the number of steps."""
    return [torch.load(path, map_location="cpu", weights_only=True) for path in paths]


def averaged_network(states: Sequence[dict]) -> PPMatting:
    """The small network with the mean of what several runs averaged."""
    network = small_network()
    runs = [state["averaged"] for state in states]
    network.load_state_dict({name: _mean([run[f"network.{name}"] for run in runs]) for name in network.state_dict()})
    return network


def _mean(tensors: list[Tensor]) -> Tensor:
    """Of numbers their mean, of counts of batches the last."""
    return torch.stack(tensors).mean(0) if tensors[0].is_floating_point() else tensors[-1]


@torch.no_grad()
def sharpen(network: PPMatting, factor: float) -> None:
    """Multiply the semantic logits, so that the soft fusion takes their side where they are hardly in doubt."""
    for parameter in network.context.head[-1].parameters():
        parameter *= factor


class CoarseHeads(nn.Module):
    """1×1 heads at a quarter of the image, which exist in training alone.

    The first reads the context branch's third block, the second the pyramid's level that the detail branch reads. They
    train all that knows what is in the photo at a third of the whole network's cost.
    """

    def __init__(self, network: PPMatting) -> None:
        super().__init__()
        self.semantic = nn.Conv2d(network.context.guidance_channels[2], 3, 1)
        self.matte = nn.Conv2d(network.encoder.channels[1], 1, 1)

    def forward(self, network: PPMatting, image: Tensor) -> tuple[Tensor, Tensor]:
        """Semantic logits (N, 3, H/4, W/4) and logits of a coarse matte (N, 1, H/4, W/4)."""
        features = network.encoder(network.normalise(image))
        context, quarter = network.context, features[1].shape[-2:]
        pooled = context.pooling(features[-1])
        out = context.blocks[0](torch.cat([pooled, features[-1]], 1))
        for side, block, scale in zip(context.sides, context.blocks[1:3], (1, 2), strict=False):
            size = [length * scale for length in features[-1].shape[-2:]]
            out = resize_bilinear(out, size)
            out = block(torch.cat([resize_bilinear(side(pooled), size), out], 1))
        return self.semantic(resize_bilinear(out, quarter)), self.matte(features[1])


def freeze_encoder(network: PPMatting, blocks: int) -> None:
    """Keep the encoder's batch statistics, and train nothing of its stem and first blocks."""
    encoder = network.encoder.encoder
    encoder.eval()
    for part in (encoder.stem, *encoder.blocks[:blocks]):
        part.requires_grad_(False)


def freeze_semantics(network: PPMatting, training: bool) -> None:
    """Train what draws alone: the detail branch, and the pyramid's levels finer than the context branch's."""
    pyramid = network.encoder
    network.eval().requires_grad_(False)
    parts = (pyramid.laterals, pyramid.descents, pyramid.outputs, pyramid.heads)
    finer = [part[level] for part in parts for level in part if int(level) < pyramid.keep[-1]]
    for module in (network.detail, *finer):
        module.train(training).requires_grad_()


def quarter(alpha: Tensor) -> Tensor:
    """A matte at a quarter of its size."""
    return F.avg_pool2d(alpha, 4)

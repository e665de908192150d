"""Networks for tests: small ones, and weights that behave as trained ones do."""

from itertools import pairwise

import torch
from torch import nn

from mattekit.blocks import HighResolutionDetailBranch, PyramidPooling, ReplaceFusion, SemanticContextBranch, SoftFusion
from mattekit.encoders import EfficientNetLite, FeaturePyramid, HRNet
from mattekit.models import PPMatting


def small(*, guidance=(1, 3, 5), padding="same", wider=0, **options):
    """Every part of PP-Matting, each a few channels wide, or so many more."""
    ones = (1, 1, 1, 1)
    a, b, c, d = (width + wider for width in (4, 6, 8, 10))
    encoder = HRNet((a, b, c, d), modules=ones, blocks=ones, stage1_width=4, padding=padding, outputs=(0, 1, 4))
    widths = ((c, b), (b, 5), (5, a), (a, 4), (4, a))
    context = SemanticContextBranch(d, pooling=PyramidPooling(d, 9), widths=widths)
    detail = HighResolutionDetailBranch((64, a), context.guidance_channels, guidance=guidance, widths=(c, b, 5, a))
    return PPMatting(encoder, context, detail, ReplaceFusion(), **options)


def small_pyramid(**options):
    """The network of the small weights, in narrow: EfficientNet-Lite with a feature pyramid."""
    encoder = FeaturePyramid(
        EfficientNetLite(width=0.25, depth=0.4), (6, 8, 10, 12, 12), keep=(0, 1, 3), plain=0, channels=(4, 4, 12)
    )
    widths = ((8, 6), (6, 5), (5, 4), (4, 4), (4, 4))
    context = SemanticContextBranch(12, pooling=PyramidPooling(12, 9), widths=widths)
    detail = HighResolutionDetailBranch(
        (4, 4), context.guidance_channels, guidance=(1, 2, 3, 4, 5), widths=(8, 6, 5, 4), upscale_factor=2
    )
    return PPMatting(encoder, context, detail, SoftFusion(), **options)


class Convolutions(nn.Module):
    """An encoder of five convolutions, for what traces a network: torch.export takes a minute for all of HRNet's."""

    channels, strides = (4, 5, 6), (2, 4, 32)

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise((3, 4, 5, 6, 6, 6))
        )

    def forward(self, image):
        features = [image]
        for layer in self.layers:
            features.append(layer(features[-1]))
        return [features[1], features[2], features[5]]


def of_convolutions():
    """Every part of PP-Matting on an encoder of five convolutions."""
    context = SemanticContextBranch(6, pooling=PyramidPooling(6, 6), widths=((6, 6), (6, 5), (5, 4), (4, 4), (4, 4)))
    detail = HighResolutionDetailBranch(
        (4, 5), context.guidance_channels, guidance=(1, 4), widths=(8, 6, 5, 4), upscale_factor=2
    )
    return PPMatting(Convolutions(), context, detail, ReplaceFusion())


def trained_looking(model):
    """Random weights that keep activations and logits of ordinary size in evaluation mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.6)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()


def lively(model):
    """Random weights and statistics, and maps that differ from pixel to pixel as those of trained weights do."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    trained_looking(model)
    with torch.no_grad():
        output = model(torch.rand(1, 3, 64, 96))
        for part, logits in ((model.context, output.semantic_logits), (model.detail, output.detail.logit())):
            last = [m for m in part.modules() if isinstance(m, nn.Conv2d) and m.out_channels == logits.shape[1]][-1]
            last.weight.mul_(2 / logits.std().clamp(min=1e-3))
    return model

"""Networks for tests: small ones, and weights that behave as trained ones do."""

from torch import nn

from mattekit.blocks import HighResolutionDetailBranch, PyramidPooling, ReplaceFusion, SemanticContextBranch
from mattekit.encoders import HRNet
from mattekit.models import PPMatting


def small(*, guidance=(1, 3, 5), **options):
    """Every part of PP-Matting, each a few channels wide."""
    encoder = HRNet((4, 6, 8, 10), modules=(1, 1, 1, 1), blocks=(1, 1, 1, 1), stage1_width=4)
    widths = ((8, 6), (6, 5), (5, 4), (4, 4), (4, 4))
    context = SemanticContextBranch(10, pooling=PyramidPooling(10, 9), widths=widths)
    detail = HighResolutionDetailBranch((64, 4), context.guidance_channels, guidance=guidance, widths=(8, 6, 5, 4))
    return PPMatting(encoder, context, detail, ReplaceFusion(), **options)


def trained_looking(model):
    """Random weights that keep activations and logits of ordinary size in evaluation mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.6)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()

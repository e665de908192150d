"""Initialisation shared by encoders and blocks."""

from torch import nn


def he_normal_(module: nn.Module) -> None:
    """Initialise convolutions as He et al. (2015) for ReLU, with biases at zero, and batch norms at identity.

    Source: the official HRNet's image classification code, but by fan in instead of fan out: the same but for
    strides and changes of width, and right for the convolutions to one channel, which fan out would start far too
    large. The biases that PaddleSeg's context branch has before its batch norms do nothing in training.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)


def small_normal_(layer: nn.Conv2d) -> None:
    """Initialise a convolution to logits with small weights: its map starts undecided and free to move."""
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)

"""Initialisation shared by encoders and blocks."""

from torch import nn


def he_normal_(module: nn.Module) -> None:
    """Initialise convolutions as He et al. (2015) for ReLU, with biases at zero, and batch norms at identity.

    Source: the official HRNet image classification code initialises so (normal, fan out). The biases that PP-Matting's
    context branch has before its batch norms have no effect in training; zero keeps them out of the way.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)

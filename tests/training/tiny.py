"""The smallest PP-Matting there is, data for it, and settings for runs of a second."""

from typing import NamedTuple

import torch

from mattekit.blocks import HighResolutionDetailBranch, PyramidPooling, ReplaceFusion, SemanticContextBranch
from mattekit.data import Resize, SyntheticMattes
from mattekit.encoders import HRNet
from mattekit.models import PPMatting
from mattekit.training import PPMattingStep, Settings, Step, StepResult

SOURCE = SyntheticMattes(seed=3, size=40, length=10)
TRANSFORM = Resize(32)


def network(guidance=(1, 3, 5)):
    torch.manual_seed(0)
    ones = (1, 1, 1, 1)
    encoder = HRNet((4, 4, 8, 8), modules=ones, blocks=ones, stage1_width=4, outputs=(0, 1, 4))
    widths = ((8, 8), (8, 8), (8, 4), (4, 4), (4, 4))
    context = SemanticContextBranch(
        encoder.channels[-1], pooling=PyramidPooling(encoder.channels[-1], 8), widths=widths
    )
    detail = HighResolutionDetailBranch(
        encoder.channels[:2], context.guidance_channels, guidance=guidance, widths=(8, 4, 4, 4)
    )
    return PPMatting(encoder, context, detail, ReplaceFusion())


class Matte(NamedTuple):
    alpha: torch.Tensor


class Convolutions(torch.nn.Module):
    """Two of them, with batch norm and dropout between: whatever a run keeps, it keeps of this one too."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        parts = torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.BatchNorm2d(6), torch.nn.ReLU(), torch.nn.Dropout(0.2)
        self.layers = torch.nn.Sequential(*parts, torch.nn.Conv2d(6, 1, 3, padding=1))

    def forward(self, image):
        return Matte(self.layers(image).sigmoid())


class ConvolutionStep(Step):
    def forward(self, batch):
        output = self.model(batch.image)
        return StepResult({"total": (output.alpha - batch.alpha).abs().mean()}, output)


class Dropping(PPMattingStep):
    """PP-Matting's step with some dropout, so that a run depends on torch's generator."""

    def forward(self, batch):
        drop = torch.nn.functional.dropout(batch.image, 0.1, self.training)
        return super().forward(type(batch)(**{**vars(batch), "image": drop.clamp(0, 1)}))


def settings(**changes):
    base = {"size": 32, "batch_size": 4, "workers": 0, "iterations": 6, "checkpoint_every": 2, "log_every": 2}
    return Settings(**{**base, **changes})

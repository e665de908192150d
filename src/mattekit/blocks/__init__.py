"""The blocks of PP-Matting, one file each under the paper's name for it."""

from mattekit.blocks.conv import ConvBNReLU
from mattekit.blocks.fusion import ConvFusion, DetailFusion, ReplaceFusion, SoftFusion
from mattekit.blocks.gated_conv import GatedConv
from mattekit.blocks.hrdb import HighResolutionDetailBranch
from mattekit.blocks.ppm import PyramidPooling
from mattekit.blocks.scb import SemanticContext, SemanticContextBranch

__all__ = [
    "ConvBNReLU",
    "ConvFusion",
    "DetailFusion",
    "GatedConv",
    "HighResolutionDetailBranch",
    "PyramidPooling",
    "ReplaceFusion",
    "SemanticContext",
    "SemanticContextBranch",
    "SoftFusion",
]

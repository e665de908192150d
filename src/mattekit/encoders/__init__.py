"""Encoders: backbones that turn an image into features of several resolutions."""

from mattekit.encoders.efficientnet_lite import (
    EfficientNetLite,
    efficientnet_lite0,
    efficientnet_lite1,
    efficientnet_lite2,
    efficientnet_lite3,
    efficientnet_lite4,
)
from mattekit.encoders.feature_pyramid import FeaturePyramid
from mattekit.encoders.hrnet import (
    HRNet,
    hrnet_w18,
    hrnet_w18_small_v1,
    hrnet_w18_small_v2,
    hrnet_w30,
    hrnet_w32,
    hrnet_w40,
    hrnet_w44,
    hrnet_w48,
    hrnet_w64,
)
from mattekit.encoders.protocol import Encoder
from mattekit.encoders.timm import TimmEncoder

__all__ = [
    "EfficientNetLite",
    "Encoder",
    "FeaturePyramid",
    "HRNet",
    "TimmEncoder",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_lite3",
    "efficientnet_lite4",
    "hrnet_w18",
    "hrnet_w18_small_v1",
    "hrnet_w18_small_v2",
    "hrnet_w30",
    "hrnet_w32",
    "hrnet_w40",
    "hrnet_w44",
    "hrnet_w48",
    "hrnet_w64",
]

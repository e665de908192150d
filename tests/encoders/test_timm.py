import builtins
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mattekit.encoders import Encoder, TimmEncoder
from mattekit.models import pp_matting


def test_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without_timm(name, *rest):
        if name == "timm":
            raise RuntimeError("operator torchvision::nms does not exist")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_timm)
    with pytest.raises(ImportError, match=r"pip install timm torchvision \(RuntimeError: operator torchvision"):
        TimmEncoder("resnet34")


class FakeFeatures(nn.Module):
    """What ``create_model(features_only=True)`` promises: features, and what they are."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 6, 2, 2), nn.Conv2d(6, 8, 4, 4)])
        self.feature_info = SimpleNamespace(channels=lambda: [4, 6, 8], reduction=lambda: [4, 8, 32])

    def forward(self, image):
        features = []
        for layer in self.layers:
            features.append(layer(features[-1] if features else image))
        return features


def test_adapts_features_only(monkeypatch):
    calls = []

    def create_model(name, **options):
        calls.append((name, options))
        return FakeFeatures()

    config = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    data = SimpleNamespace(resolve_model_data_config=lambda model: config)
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model, data=data))
    encoder = TimmEncoder("convnext_tiny")
    assert calls == [("convnext_tiny", {"pretrained": False, "features_only": True})]
    assert isinstance(encoder, Encoder)
    assert (encoder.channels, encoder.strides) == ((4, 6, 8), (4, 8, 32))
    model = pp_matting(encoder).eval()
    torch.testing.assert_close(model.mean.flatten(), torch.tensor(config["mean"]))
    torch.testing.assert_close(model.std.flatten(), torch.tensor(config["std"]))
    assert model(torch.rand(1, 3, 64, 96)).alpha.shape == (1, 1, 64, 96)


def test_with_timm_itself():
    pytest.importorskip("timm", reason="timm, and a torchvision that fits torch, are not installed", exc_type=Exception)
    encoder = TimmEncoder("resnet18").eval()
    features = encoder(torch.rand(1, 3, 64, 96))
    assert [f.shape[1] for f in features] == list(encoder.channels)
    assert [64 // f.shape[2] for f in features] == list(encoder.strides)

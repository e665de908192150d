"""Activations that convolutions apply."""

import copy
import math
import sys

import pytest
import torch
from torch import nn

from mattekit.blocks import ConvBNReLU
from mattekit.inference import activations, prepare
from mattekit.inference.activations import OneDNNConv2d, cpu_has_bfloat16, direct_pointwise, fuse_activations
from mattekit.windows import halo
from oracles.networks import lively, small

needs_bfloat16 = pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no instructions for bfloat16")
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
trace_warns = pytest.mark.filterwarnings("ignore:.*torch.jit")  # torch.jit.trace, which torch.onnx uses, too


@needs_onednn
@trace_warns
@pytest.mark.parametrize("activation", [nn.ReLU(inplace=True), nn.ReLU6()], ids=["ReLU", "ReLU6"])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (5, 3), "padding": "same", "dilation": (1, 2), "bias": False},
        {"kernel_size": 3, "padding": 1, "stride": 2, "groups": 4},
        {"kernel_size": 1, "padding": "valid"},
    ],
    ids=str,
)
@torch.no_grad()
def test_is_both_one_after_the_other(settings, memory_format, activation):
    torch.manual_seed(0)
    pair = nn.Sequential(nn.Conv2d(8, 12, **settings), activation).to(memory_format=memory_format)
    image = (20 * torch.randn(2, 8, 33, 47)).to(memory_format=memory_format)
    expected, seen = pair(image), halo(pair, stride=pair[0].stride[0])
    fused = copy.deepcopy(pair)
    assert fuse_activations(fused) == 1
    assert isinstance(fused[0], OneDNNConv2d)
    torch.testing.assert_close(fused(image), expected, rtol=1e-5, atol=1e-5)  # sums in another order
    assert (expected == 0).any()
    assert halo(fused, stride=fused[0].stride[0]) == seen
    double = copy.deepcopy(fused).double()
    torch.testing.assert_close(double(image.double()), expected.double(), rtol=1e-5, atol=1e-5)
    torch.compiler.reset()  # torch 2.6 traces a function for eight modules at most
    for traced in (torch.export.export(fused, (image,)).module(), torch.jit.trace(fused, image)):
        torch.testing.assert_close(traced(image), expected, rtol=1e-5, atol=1e-5)


@needs_onednn
@needs_bfloat16
@pytest.mark.parametrize("groups", [1, 8])
@torch.no_grad()
def test_bfloat16_is_both_one_after_the_other(groups):
    torch.manual_seed(0)
    pair = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1, groups=groups), nn.ReLU6()).bfloat16()
    image = (20 * torch.randn(2, 8, 33, 47)).bfloat16()
    fused = copy.deepcopy(pair)
    assert fuse_activations(fused) == 1
    expected = pair(image)
    torch.testing.assert_close(fused(image), expected, rtol=2**-7, atol=1e-3)  # the last bit, by another order of sums
    assert expected.unique().tolist() != [0, 6]
    image[0, 0, 0, 0] = math.nan
    assert fused(image)[0, :, 0, 0].isnan().any()


@needs_onednn
@torch.no_grad()
def test_bfloat16_without_its_instructions_is_left_to_torch(monkeypatch):
    for module in (activations, sys.modules["mattekit.inference.prepare"]):
        monkeypatch.setattr(module, "cpu_has_bfloat16", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_convolution_pointwise", lambda *_: pytest.fail("oneDNN was called"))
    pair = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU6()).bfloat16()
    image = torch.randn(2, 8, 33, 47).bfloat16()
    expected = pair(image)
    fuse_activations(pair)
    assert pair(image).equal(expected)
    with pytest.warns(UserWarning, match="this CPU has no instructions for bfloat16"):
        assert "activations" not in repr(prepare(lively(small()), precision="bfloat16"))


@needs_onednn
@trace_warns
@torch.no_grad()
def test_pointwise_convolutions_call_onednn():
    torch.manual_seed(0)
    even = [nn.Conv2d(8, 6, 1), nn.Conv2d(6, 6, 1, groups=3, bias=False), nn.Conv2d(6, 4, 1, stride=2)]
    network = nn.Sequential(*even, nn.Conv2d(4, 4, 1, padding=1), nn.Conv2d(4, 4, 3, padding=1))
    image = torch.randn(2, 8, 33, 47)
    expected = network(image)
    direct = copy.deepcopy(network)
    direct_pointwise(direct)
    assert [isinstance(module, OneDNNConv2d) for module in direct] == [True, True, True, False, False]
    torch.testing.assert_close(direct(image), expected, rtol=1e-5, atol=1e-5)  # sums in another order
    torch.testing.assert_close(torch.jit.trace(direct, image)(image), expected, rtol=1e-5, atol=1e-5)
    image[0, 0, 0, 0] = math.nan
    assert direct[0](image)[0, :, 0, 0].isnan().all()


def test_only_what_is_known_and_unwatched():
    class Own(nn.Sequential):
        def forward(self, x):
            return self[1](self[0](x) + 1)

    def pair(**settings):
        return [nn.Conv2d(3, 3, **{"kernel_size": 3, "padding": 1, **settings}), nn.ReLU()]

    watched, replaced, watched_before = (nn.Sequential(*pair()) for _ in range(3))
    watched[1].register_forward_hook(lambda *_: None)
    watched_before[0].register_forward_hook(lambda *_: None)
    replaced[0].forward = lambda x: x
    reflecting = nn.Sequential(*pair(padding_mode="reflect"))
    lopsided = nn.Sequential(*pair(kernel_size=2, padding="same"))
    normalised = ConvBNReLU(3, 3).eval()  # its batch norm stands between
    other = nn.Sequential(nn.Conv2d(3, 3, 1), nn.GELU())
    for module in (Own(*pair()), watched, watched_before, replaced, reflecting, lopsided, normalised, other):
        before = [type(child) for child in module.children()]
        assert fuse_activations(module) == 0
        assert [type(child) for child in module.children()] == before


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e30])
def test_damaged_weights_stay_visible(value):
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.ReLU())
    nn.init.constant_(network[2].weight, value)
    assert fuse_activations(network) == 0


def test_nothing_without_onednn(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert fuse_activations(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())) == 0
    direct_pointwise(network := nn.Sequential(nn.Conv2d(1, 1, 1)))
    assert type(network[0]) is nn.Conv2d


@needs_onednn
@pytest.mark.filterwarnings("ignore:this CPU has no instructions for bfloat16")
def test_prepare_does_it_and_leaves_shared_activations():
    """HRNet's blocks apply one ReLU in two places, of which only one follows a convolution."""
    torch.manual_seed(0)
    model = lively(small())
    fused = prepare(model)
    assert "activations applied by the convolutions before them" in repr(fused)
    stage = [m for m in fused.network.encoder.stage2.modules() if isinstance(m, OneDNNConv2d)]
    assert all(type(module.activation) is nn.Identity for module in stage)
    assert isinstance(fused.network.context.head[0].conv, OneDNNConv2d)
    assert not any(type(m) is nn.Conv2d and m.kernel_size == (1, 1) for m in fused.network.modules())
    image = torch.rand(1, 3, 96, 64)
    for ours, expected in zip(fused(image), model(image), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert ("activations" in repr(prepare(model, precision="bfloat16"))) == cpu_has_bfloat16()

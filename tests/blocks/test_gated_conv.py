import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mattekit.blocks import GatedConv


def randomised(module):
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5) if name.endswith("running_var") else nn.init.normal_(tensor, 0, 0.5)
    return module


def test_is_equations_2_and_3():
    gate = randomised(GatedConv(3, guidance_channels=5)).double().eval()
    d, s = torch.randn(2, 3, 8, 12, dtype=torch.double), torch.randn(2, 5, 4, 6, dtype=torch.double)

    def normalise(x, bn):
        mean, var, weight, bias = (t.view(1, -1, 1, 1) for t in (bn.running_mean, bn.running_var, bn.weight, bn.bias))
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def pointwise(x, conv):
        out = torch.einsum("oi,nihw->nohw", conv.weight[:, :, 0, 0], x)
        return out if conv.bias is None else out + conv.bias.view(1, -1, 1, 1)

    projected = F.interpolate(pointwise(s, gate.project), size=(8, 12), mode="bilinear", align_corners=False)
    bn, inner, _, outer, bn_out, _ = gate.gate
    c = normalise(pointwise(pointwise(normalise(torch.cat([d, projected], 1), bn), inner).relu(), outer), bn_out)
    g = 1 / (1 + torch.exp(-c))  # equation 2
    expected = pointwise(d * g + d, gate.weight)  # equation 3
    torch.testing.assert_close(gate(d, s), expected, rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_bfloat16_gates_every_channel_alike():
    """Where torch is slow to spread one channel over many, they are written out: equation 3 has the same bits."""
    gate = randomised(GatedConv(8, guidance_channels=5)).eval().bfloat16()
    gate.weight.weight.copy_(torch.eye(8)[:, :, None, None])
    d, s = torch.randn(2, 8, 8, 12).bfloat16(), torch.randn(2, 5, 8, 12).bfloat16()
    g = gate.gate(torch.cat([d, gate.project(s)], 1))
    expected = (d.float() + d.float() * g.float()).bfloat16()
    torch.testing.assert_close(gate(d, s), expected, rtol=2**-8, atol=0)  # the last bit


def test_its_convolutions_can_be_wrapped():
    """By an adapter such as LoRA's, which gives what the convolution gives and more, and has no ``in_channels``."""
    gate, wrapped = GatedConv(3, 5), GatedConv(3, 5)
    wrapped.load_state_dict(gate.state_dict())
    for name in ("project", "weight"):
        setattr(wrapped, name, nn.Sequential(getattr(wrapped, name), nn.Identity()))
    d, s = torch.rand(1, 3, 8, 8), torch.rand(1, 5, 4, 4)
    torch.testing.assert_close(wrapped(d, s), gate(d, s), rtol=0, atol=0)


def test_bad_channels():
    with pytest.raises(ValueError, match=r"guidance must have shape \(N, 5, H, W\), got \(1, 4, 4, 4\)"):
        GatedConv(3, 5)(torch.rand(1, 3, 8, 8), torch.rand(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"detail must have shape \(N, 3, H, W\)"):
        GatedConv(3, 5)(torch.rand(1, 2, 8, 8), torch.rand(1, 5, 4, 4))

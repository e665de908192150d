"""Convolutions that call oneDNN: with the activation after them, which it applies while a result is in the cache."""

import functools
import math
from typing import Any

import torch
from torch import Tensor, nn

from mattekit._checks import is_traced
from mattekit.inference.folding import is_plain, neighbours
from mattekit.windows import halo

_ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
_NAMES = {**_ACTIVATIONS, nn.Identity: ("none", [])}
_HUGE = 1e6


def fuse_activations(network: nn.Module, *, sequences: bool = True) -> int:
    """Let convolutions apply the activation that follows them, put `nn.Identity` in its place, and say how many do.

    Those are taken that modules declare as ``folds`` and, with ``sequences``, neighbours within an ``nn.Sequential``.
    What carries hooks or a ``forward`` of its own stays as it is. So does everything where torch was built without
    oneDNN, and in a network with damaged weights, huge or not finite: oneDNN's ReLU makes 0 of NaN, which would hide
    them under a clean matte.
    """
    if not _is_there():
        return 0
    if not all((parameter.abs() < _HUGE).all() for parameter in network.parameters()):
        return 0
    fused = 0
    for module in list(network.modules()):
        for conv_name, name in neighbours(module, sequences=sequences):
            conv: Any = getattr(module, conv_name, None)
            activation: Any = getattr(module, name, None)
            if is_plain(activation, *_ACTIVATIONS) and is_plain(conv, nn.Conv2d) and _is_even(conv):
                setattr(module, conv_name, OneDNNConv2d(conv, activation))
                setattr(module, name, nn.Identity())
                fused += 1
    return fused


def direct_pointwise(network: nn.Module) -> None:
    """Have 1×1 convolutions call oneDNN themselves: with one thread, torch takes a slower routine for them."""
    if not _is_there():
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            conv: Any = child
            if is_plain(conv, nn.Conv2d) and conv.kernel_size == (1, 1) and _is_even(conv):
                setattr(module, name, OneDNNConv2d(conv, nn.Identity()))


def _is_there() -> bool:
    """Whether torch was built with oneDNN, and with what is called here."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")


def runs_in_onednn(dtype: torch.dtype) -> bool:
    """Whether convolutions of this type are called here: others oneDNN has not, or this CPU has no instructions for."""
    return dtype == torch.float32 or (dtype == torch.bfloat16 and cpu_has_bfloat16())


@functools.cache
def cpu_has_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16, without which a network runs several times slower in it."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # torch without oneDNN cannot tell
        return True


def _is_even(conv: nn.Conv2d) -> bool:
    """Whether the same zeros stand on all sides, as oneDNN has them: then it is known how far it sees."""
    return halo(conv, stride=conv.stride[0]) is not None


class OneDNNConv2d(nn.Conv2d):
    """A convolution that keeps its weights, with the ReLU or ReLU6 after it, or `nn.Identity` for none.

    On a CPU both are one pass over memory, in float32, and in bfloat16 where it has instructions for it. Elsewhere, and
    for compilers and exporters, they are two steps. So they are where the input is not finite: oneDNN's ReLU makes 0 of
    NaN, which would hide what a part did wrong.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module) -> None:
        own: Any = conv  # torch's types lose how many numbers there are
        super().__init__(
            own.in_channels, own.out_channels, own.kernel_size, own.stride, own.padding, own.dilation, own.groups,
            own.bias is not None, device="meta",
        )  # fmt: skip
        self.weight, self.bias, self.activation = conv.weight, conv.bias, activation
        self._around = [gap * (side - 1) // 2 for gap, side in zip(conv.dilation, conv.kernel_size, strict=True)]

    @property
    def halo(self) -> int:
        """How far it sees, as far as there are zeros around."""
        return max(self._around)

    def forward(self, input: Tensor) -> Tensor:
        """Return (N, out_channels, H, W) of (N, in_channels, H, W)."""
        known = input.dtype == self.weight.dtype and runs_in_onednn(input.dtype)
        fits = input.device.type == "cpu" and known and input.ndim == 4
        name, numbers = _NAMES[type(self.activation)]
        apart = is_traced() or not fits or input.requires_grad
        if apart or (name != "none" and not math.isfinite(input.sum().item())):
            return self.activation(super().forward(input))
        place = (self._around, self.stride, self.dilation, self.groups)
        return torch.ops.mkldnn._convolution_pointwise(input, self.weight, self.bias, *place, name, numbers, "")

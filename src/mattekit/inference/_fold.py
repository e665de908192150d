"""Batch normalisation folded into the convolutions beside it, in place, in modules whose forward is known."""

import copy
import itertools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TypeGuard

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mattekit.blocks.conv import ConvBNReLU
from mattekit.blocks.hrdb import _ResidualBlock
from mattekit.encoders.hrnet import HRNet, _BasicBlock, _Bottleneck, _SameConv2d

# Of each module whose forward is known: the convolutions that a batch norm follows at once, and those batch norms.
_PAIRS: Mapping[type[nn.Module], tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        ConvBNReLU: (("conv", "bn"),),
        HRNet: (("conv1", "bn1"), ("conv2", "bn2")),
        _BasicBlock: (("conv1", "bn1"), ("conv2", "bn2")),
        _Bottleneck: (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")),
        _ResidualBlock: (("conv2", "bn2"),),
    }
)


def fold_batch_norms(network: nn.Module) -> int:
    """Fold what can be folded exactly, put `nn.Identity` in its place, and return how many batch norms are gone.

    A subclass, a module that carries hooks, and a batch norm that uses the statistics of its batch stay as they are.
    """
    folded = 0
    for module in list(network.modules()):
        for conv_name, bn_name in _conv_then_bn(module):
            conv, bn = module.get_submodule(conv_name), module.get_submodule(bn_name)
            if _is_conv(conv) and _is_fixed_bn(bn):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, bn))
                setattr(module, bn_name, nn.Identity())
                folded += 1
        for bn_name, conv_name in _neighbours(module):  # after the loop above: what is left follows no convolution
            bn, conv = module.get_submodule(bn_name), module.get_submodule(conv_name)
            if _is_fixed_bn(bn) and _is_conv(conv) and _sees_one_pixel(conv):
                setattr(module, conv_name, _fuse_bn_conv(bn, conv))
                setattr(module, bn_name, nn.Identity())
                folded += 1
    return folded


def _conv_then_bn(module: nn.Module) -> Iterator[tuple[str, str]]:
    yield from _PAIRS.get(type(module), ())
    yield from _neighbours(module)


def _neighbours(module: nn.Module) -> Iterator[tuple[str, str]]:
    if type(module) is nn.Sequential:
        names = [name for name, _ in module.named_children()]
        yield from itertools.pairwise(names)


def _is_conv(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return type(module) in (nn.Conv2d, _SameConv2d) and not has_hooks(module)


def _is_fixed_bn(module: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    return type(module) is nn.BatchNorm2d and module.running_mean is not None and not has_hooks(module)


def _sees_one_pixel(conv: nn.Conv2d) -> bool:
    """Whether no padding stands between a batch norm and this convolution: the padded zeros would need its shift."""
    return conv.kernel_size == (1, 1) and conv.padding in ((0, 0), "valid", "same") and conv.groups == 1


def has_hooks(module: nn.Module) -> bool:
    """Whether something observes or changes what a module is given or gives."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _fuse_bn_conv(bn: nn.BatchNorm2d, conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution of one pixel that takes what ``bn`` takes: W(s x + t) + b = (W s) x + (W t + b)."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = (bn.running_var + bn.eps).rsqrt()
    if bn.weight is not None:
        scale = scale * bn.weight
    shift = -bn.running_mean * scale
    if bn.bias is not None:
        shift = shift + bn.bias
    bias = conv.weight.flatten(1) @ shift
    fused = copy.deepcopy(conv)
    fused.weight = nn.Parameter(conv.weight * scale[:, None, None], requires_grad=False)
    fused.bias = nn.Parameter(bias if conv.bias is None else bias + conv.bias, requires_grad=False)
    return fused

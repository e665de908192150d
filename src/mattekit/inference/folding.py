"""Batch normalisation folded into the convolutions beside it, in place, where modules say that it can be."""

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from mattekit.windows import declared, has_hooks, in_sequence
from mattekit.windows.declarations import BATCH_NORMS


def fold_batch_norms(network: nn.Module, *, sequences: bool = True) -> int:
    """Fold what can be folded exactly, put `nn.Identity` in its place, and return how many batch norms are gone.

    What can be folded is what modules declare as ``folds`` and, with ``sequences``, neighbours within an
    ``nn.Sequential``: whoever holds one may use it as a list, too. A module that carries hooks, and a batch norm that
    uses the statistics of its batch, stay as they are.
    """
    folded = 0
    for module in list(network.modules()):
        for conv_name, bn_name in neighbours(module, sequences=sequences):
            conv, bn = getattr(module, conv_name, None), getattr(module, bn_name, None)
            if is_convolution(conv) and _is_fixed_batch_norm(bn):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, bn))
                setattr(module, bn_name, nn.Identity())
                folded += 1
        # what is left after the loop above follows no convolution
        for bn_name, conv_name in neighbours(module, sequences=sequences):
            bn, conv = getattr(module, bn_name, None), getattr(module, conv_name, None)
            if _is_fixed_batch_norm(bn) and is_convolution(conv) and _sees_one_pixel(conv):
                setattr(module, conv_name, _fuse_bn_conv(bn, conv))
                setattr(module, bn_name, nn.Identity())
                folded += 1
    return folded


def check_weights(network: nn.Module) -> None:
    """Check that weights are there, and that no variance is infinite.

    A parameter on the meta device has no values: the network was never given its weights. A batch norm with an infinite
    variance would return its bias whatever it takes, and hide that.

    Raises:
        RuntimeError: If a parameter or buffer is on the meta device, or a variance is infinite.
    """
    buffers = dict(network.named_buffers())
    for name, x in itertools.chain(network.named_parameters(), buffers.items()):
        if x.is_meta:
            raise RuntimeError(f"the model's {name} must hold values, got none on the meta device: load weights first")
    variances = {name: x.flatten() for name, x in buffers.items() if name.endswith("running_var")}
    if not variances:
        return
    device = next(iter(variances.values())).device
    if torch.cat([x.to(device) for x in variances.values()]).isinf().any():  # all at once: each look waits for a GPU
        name = next(name for name, x in variances.items() if x.isinf().any())
        raise RuntimeError(
            f"the model's {name} must be finite, got infinity: was the network brought to float16, which ends at "
            "65504? Then take bfloat16, or leave it in float32 and call prepare(model, precision='float16')"
        )


def neighbours(module: nn.Module, *, sequences: bool) -> Iterator[tuple[str, str]]:
    """Names of modules within one, of which the second takes what the first gives, and nothing else does."""
    chains: list[Sequence[str]] = [*(declared(module, "folds") or ())]
    if sequences:
        chains.append([name for name, _ in in_sequence(module) or ()])
    for chain in chains:
        names = [name for name in chain if not is_plain(getattr(module, name, None), nn.Identity)]
        yield from itertools.pairwise(names)


def is_plain(module: Any, *types: type[nn.Module]) -> bool:
    """Whether a module is of one of these types, without hooks and with no ``forward`` of its own."""
    return type(module) in types and not has_hooks(module) and "forward" not in vars(module)


def is_convolution(module: object) -> TypeGuard[nn.Conv2d]:
    """Whether weight and bias are all that decides what a module does: torch's convolution, or one that says so."""
    if not isinstance(module, nn.Conv2d) or is_parametrized(module):
        return False
    return is_plain(module, nn.Conv2d) or bool(declared(module, "affine"))


def _is_fixed_batch_norm(module: Any) -> TypeGuard[nn.BatchNorm2d | nn.SyncBatchNorm]:
    return is_plain(module, *BATCH_NORMS) and module.running_mean is not None


def _sees_one_pixel(conv: nn.Conv2d) -> bool:
    """Whether no padding stands between a batch norm and this convolution: the padded zeros would need its shift."""
    return conv.kernel_size == (1, 1) and conv.padding in ((0, 0), "valid", "same") and conv.groups == 1


def _fuse_bn_conv(bn: nn.BatchNorm2d | nn.SyncBatchNorm, conv: nn.Conv2d) -> nn.Conv2d:
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

"""The few argument checks that public functions share.

Each names the argument, the rule and what came. Only `check_unit` and `check_from_zero` look at values, and wait for no
GPU: on the CPU they read them; on a GPU and in compiled code they leave an assertion that the device checks in its own
time, as torch does for the classes of a cross-entropy.
torch is imported only by the checks that need it: NumPy callers of the metrics never do.
"""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor


def check_nchw(name: str, x: object, channels: int | None = None) -> None:
    """Check that it is a tensor of shape (N, channels, H, W); ``None`` admits any number of channels."""
    import torch

    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}")
    if x.ndim != 4 or (channels is not None and x.shape[1] != channels):
        rule = "C" if channels is None else channels
        raise ValueError(f"{name} must have shape (N, {rule}, H, W), got {tuple(x.shape)}")


def check_module(name: str, x: object) -> None:
    """Check that it is a module."""
    from torch import nn

    if not isinstance(x, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {type(x).__name__}")


def check_floating(name: str, x: Tensor) -> None:
    """Check that a tensor is floating-point."""
    if not x.is_floating_point():
        raise TypeError(f"{name} must be floating-point, got {x.dtype}")


def check_dtype(name: str, x: Tensor, dtype: torch.dtype) -> None:
    """Check a tensor's dtype."""
    if x.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, got {x.dtype}")


def check_same_shape(name: str, x: Tensor, other_name: str, other: Tensor) -> None:
    """Check that two shapes are equal."""
    if x.shape != other.shape:
        raise ValueError(f"{name} must have the shape of {other_name}, {tuple(other.shape)}, got {tuple(x.shape)}")


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Check that a value is one of a few."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_pixels(name: str, x: Tensor | np.ndarray) -> None:
    """Check that there is at least one pixel; there may be no images."""
    if 0 in x.shape[-2:]:
        raise ValueError(f"{name} must have at least one pixel, got shape {tuple(x.shape)}")


def check_compiler(device: torch.device) -> None:
    """Check that torch.compile has what it needs, before it fails in the middle of something."""
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise RuntimeError("compile=True needs Triton on a GPU, which is not installed; or leave compile out")
        return
    compilers = [os.environ.get("CXX", "g++"), "clang++", "cl"]
    if not any(map(shutil.which, compilers)):
        raise RuntimeError(
            "compile=True needs a C++ compiler on the CPU, such as g++, and none is on the PATH; or leave compile out"
        )


def check_number(name: str, value: object, kind: type = Real) -> None:
    """Check that a value is a real number, or, with ``Integral``, a whole one; True and False are none."""
    if not isinstance(value, kind) or isinstance(value, bool):
        whole = "an integer" if kind is Integral else "a number"
        raise TypeError(f"{name} must be {whole}, got {value!r}")


def is_span(value: object, kind: type = Real) -> bool:
    """Whether it is a least and a largest, two finite numbers; with ``Integral``, whole ones."""
    import numpy as np

    if not isinstance(value, Sequence | np.ndarray) or len(value) != 2:
        return False
    return all(isinstance(end, kind) and math.isfinite(end) for end in value) and bool(value[0] <= value[1])


def check_positive(name: str, value: float) -> None:
    """Check that a number is above zero, and finite."""
    check_number(name, value)
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    _check_not_infinite(name, value)


def check_nonnegative(name: str, value: float) -> None:
    """Check that a number is not below zero, and finite."""
    check_number(name, value)
    if not value >= 0:
        raise ValueError(f"{name} must not be negative, got {value!r}")
    _check_not_infinite(name, value)


def _check_not_infinite(name: str, value: float) -> None:
    if value == math.inf:
        raise ValueError(f"{name} must be finite, got {value!r}")


def check_guidance(guidance: Sequence[int]) -> None:
    """Check that context blocks, which are to guide, are an increasing choice of 1 to 5."""
    if not isinstance(guidance, Sequence):
        raise TypeError(f"guidance must be a sequence of blocks, such as (1, 3, 5), got {guidance!r}")
    if not set(guidance) <= {1, 2, 3, 4, 5} or list(guidance) != sorted(set(guidance)):
        raise ValueError(f"guidance must name blocks 1 to 5, each once and in order, got {guidance}")


def check_unmasked(name: str, x: object) -> None:
    """Check that it is no masked array: nothing here would see the mask."""
    import numpy as np

    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array, whose mask would be ignored: pass {name}.filled(...)")


def check_no_mask(name: str, highest: int) -> None:
    """Check by the highest of a matte's integers that they are no 0 and 1, which are black and nearly black."""
    if highest == 1:
        raise ValueError(
            f"{name} must not hold 0 and 1 and nothing else if it holds integers, as 1 of 255 is nearly black: is it a "
            "mask? Then multiply it by 255"
        )


def unit_slack(eps: float) -> float:
    """How far a value may lie outside [0, 1] and still be taken for 0 or 1, by its dtype's ``eps``.

    A few units in the last place, as filters and sums leave them, of single precision at least, which most mattes have
    gone through: 1e-6 is 1/4000 of a step of 8 bits.
    """
    return max(4 * eps, 1e-6)


def needs_clamp(rule: str, low: float, high: float, eps: float) -> bool:
    """Whether values that reach from ``low`` to ``high`` leave [0, 1] by a few ulp, and are to be brought there.

    Raises:
        ValueError: If they leave it by more, or are NaN; it begins with the rule.
    """
    if low >= 0 and high <= 1:
        return False
    slack = unit_slack(eps)
    if low >= -slack and high <= 1 + slack:
        return True
    raise ValueError(f"{rule}, {outside_unit(low, high)}")


def is_traced() -> bool:
    """Whether what runs is being compiled or exported, so that a size is one of many."""
    import torch

    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def is_readable(*tensors: Tensor) -> bool:
    """Whether values can be looked at without waiting for a device or breaking a graph."""
    import torch

    return not torch.compiler.is_compiling() and all(
        x.device.type == "cpu"
        and type(x) in (torch.Tensor, torch.nn.Parameter)
        and not torch._C._functorch.is_functorch_wrapped_tensor(x)  # pyright: ignore[reportAttributeAccessIssue]
        for x in tensors
    )


def check_unit(name: str, x: Tensor, mask: Tensor | None = None) -> None:
    """Check that values lie in [0, 1], but for a few ulp; where there is a mask, only where it is not 0."""
    import torch

    if not x.numel():
        return
    slack = unit_slack(torch.finfo(x.dtype).eps)
    if is_readable(x):
        low, high = (float(end) for end in x.detach().aminmax())
        if not (low >= -slack and high <= 1 + slack) and mask is not None:
            low, high = (float(end) for end in torch.where(mask != 0, x.detach(), 0).aminmax())
        if not (low >= -slack and high <= 1 + slack):
            raise ValueError(f"{name} must lie in [0, 1], {outside_unit(low, high)}")
    elif has_async_assertions(x):
        good = (x >= -slack) & (x <= 1 + slack)
        good = good if mask is None else good | (mask == 0)
        assert_async(good.all(), f"{name} must lie in [0, 1]")


def check_from_zero(name: str, x: Tensor) -> None:
    """Check that no value is negative, infinite or NaN."""
    if not x.numel():
        return
    rule = f"{name} must be finite and not negative anywhere"
    if is_readable(x):
        low, high = (float(end) for end in x.detach().aminmax())
        if not (low >= 0 and high < math.inf):
            raise ValueError(f"{rule}, got {high if low >= 0 else low:g}")
    elif has_async_assertions(x):
        assert_async(((x >= 0) & (x < math.inf)).all(), rule)


def has_async_assertions(x: Tensor) -> bool:
    """Whether a device can check an assertion in its own time."""
    import torch

    return x.device.type == "cuda" or (x.device.type == "cpu" and torch.compiler.is_compiling())


def assert_async(condition: Tensor, message: str) -> None:
    """Leave an assertion to the device: nothing waits for it, and a compiler keeps it in its graph."""
    import torch

    torch._assert_async(condition, message)  # pyright: ignore[reportPrivateImportUsage]


def outside_unit(low: float, high: float) -> str:
    """For an error: a range that is not within [0, 1], in digits enough to show it, and the likely cause."""
    if math.isnan(low):
        return "got NaN"
    shown = (f"{x:g}" if float(f"{x:g}") == x else repr(x) for x in (float(low), float(high)))
    guess = "did you pass 0..255? Divide it by 255" if high >= 1.5 else "clamp it first"
    return f"got {' to '.join(shown)}: {guess}"

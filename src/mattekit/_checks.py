"""The few argument checks that public functions share.

Each names the argument, the rule and what came. None of them reads a tensor's values, so none waits for a GPU.
torch is imported only by the check that needs it: NumPy callers of the metrics never do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor


def check_nchw(name: str, x: object, channels: int | None = None) -> None:
    """Demand a tensor of shape (N, channels, H, W); ``None`` admits any number of channels."""
    import torch

    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}")
    if x.ndim != 4 or (channels is not None and x.shape[1] != channels):
        rule = "C" if channels is None else channels
        raise ValueError(f"{name} must have shape (N, {rule}, H, W), got {tuple(x.shape)}")


def check_floating(name: str, x: Tensor) -> None:
    """Demand a floating-point tensor."""
    if not x.is_floating_point():
        raise TypeError(f"{name} must be floating-point, got {x.dtype}")


def check_dtype(name: str, x: Tensor, dtype: torch.dtype) -> None:
    """Demand one dtype."""
    if x.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, got {x.dtype}")


def check_same_shape(name: str, x: Tensor, other_name: str, other: Tensor) -> None:
    """Demand two equal shapes."""
    if x.shape != other.shape:
        raise ValueError(f"{name} must have the shape of {other_name}, {tuple(other.shape)}, got {tuple(x.shape)}")


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Demand one of a few values."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_pixels(name: str, x: Tensor | np.ndarray) -> None:
    """Demand at least one pixel; there may be no images."""
    if 0 in x.shape[-2:]:
        raise ValueError(f"{name} must have at least one pixel, got shape {tuple(x.shape)}")


def check_number(name: str, value: object, kind: type = Real) -> None:
    """Demand a real number, or, with ``Integral``, a whole one."""
    if not isinstance(value, kind):
        whole = "an integer" if kind is Integral else "a number"
        raise TypeError(f"{name} must be {whole}, got {value!r}")


def check_positive(name: str, value: float) -> None:
    """Demand a number above zero."""
    check_number(name, value)
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value!r}")


def check_nonnegative(name: str, value: float) -> None:
    """Demand a number that is not below zero."""
    check_number(name, value)
    if not value >= 0:
        raise ValueError(f"{name} must not be negative, got {value!r}")


def outside_unit(low: float, high: float) -> str:
    """For an error: a range that is not within [0, 1], in digits enough to show it, and the likely cause."""
    if math.isnan(low):
        return "got NaN"
    shown = (f"{x:g}" if float(f"{x:g}") == x else repr(x) for x in (float(low), float(high)))
    guess = "did you pass 0..255? Divide it by 255, or pass uint8" if high >= 1.5 else "clamp it first"
    return f"got {' to '.join(shown)}: {guess}"

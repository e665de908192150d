"""The three values of a trimap: checking them, and applying them to a matte."""

import numpy as np
import torch
from torch import Tensor

from mattekit._checks import assert_async, has_async_assertions, is_readable
from mattekit.trimap._forms import (
    BACKGROUND,
    FOREGROUND,
    UNKNOWN,
    Array,
    check_values,
    like,
    matte_tensor,
    merge,
    trimap_tensor,
)


def validate(trimap: Array, *, round: bool = False) -> Array:
    """Check a trimap's form and its three values, or bring damaged values back to them.

    It looks at every pixel, so on a GPU it waits for the result: check what was read from disk, not what a training
    step hands on.

    Args:
        trimap: uint8, a tensor (N, 1, H, W) or an array (H, W) or (N, H, W).
        round: Take each pixel to the nearest of the three values instead of complaining, as a trimap that went
            through JPEG needs. A value midway, 64, becomes unknown.

    Returns:
        The trimap itself, or a repaired copy where ``round`` is set.

    Raises:
        TypeError: If it is neither tensor nor array, or not uint8.
        ValueError: If its shape is wrong, or if it holds other values; they are counted and located.

    Example:
        >>> damaged = np.array([[0, 3, 126], [128, 255, 251]], dtype=np.uint8)
        >>> validate(damaged)
        Traceback (most recent call last):
        ValueError: trimap must hold only 0, 128 and 255, got 3 in 1 pixel, first at (0, 1), and 2 other values
        >>> validate(damaged, round=True)
        array([[  0,   0, 128], [128, 255, 255]], dtype=uint8)
    """
    tensor = trimap_tensor(trimap)
    if round:
        return like(trimap, merge(tensor >= (UNKNOWN + FOREGROUND + 1) // 2, tensor < (BACKGROUND + UNKNOWN) // 2))
    check_values("trimap", tensor, (BACKGROUND, UNKNOWN, FOREGROUND))
    return trimap


def demand_three(trimap: Tensor) -> None:
    """Check the three values of a trimap, (N, 1, H, W) uint8; a GPU checks them in its own time."""
    if is_readable(trimap):
        values = trimap.numpy()  # which is ten times as fast as torch at bytes
        if not ((values == BACKGROUND) | (values == UNKNOWN) | (values == FOREGROUND)).all():
            validate(trimap)
    elif has_async_assertions(trimap):
        good = (trimap == BACKGROUND) | (trimap == UNKNOWN) | (trimap == FOREGROUND)
        assert_async(good.all(), "trimap must hold only 0, 128 and 255")


def unknown_mask(trimap: Array) -> Array:
    """Say where the trimap leaves the matte open.

    Args:
        trimap: uint8, a tensor (N, 1, H, W) or an array (H, W) or (N, H, W).

    Returns:
        bool, of the trimap's shape.

    Raises:
        TypeError: If the trimap is not uint8.
        ValueError: If its shape is wrong, or it holds other values than the three, of which none would be unknown; a
            GPU checks that in its own time.

    Example:
        >>> unknown_mask(np.array([[0, 128, 255]], dtype=np.uint8))
        array([[False,  True, False]])
    """
    tensor = trimap_tensor(trimap)
    demand_three(tensor)
    return like(trimap, tensor == UNKNOWN)


def apply(pred: Array, trimap: Array) -> Array:
    """Overwrite a predicted matte where the trimap knows better: 0 in the background, 1 in the foreground.

    Args:
        pred: Predicted alpha of the trimap's shape: floating-point in [0, 1], or uint8 in 0 to 255.
        trimap: uint8, a tensor (N, 1, H, W) or an array (H, W) or (N, H, W).

    Returns:
        A new matte of the type of ``pred``. In the unknown region it is ``pred``, and gradients reach it there only.

    Raises:
        TypeError: If the trimap is not uint8, ``pred`` is neither floating-point nor uint8, or one is a tensor and
            the other an array.
        ValueError: If the shapes are wrong or differ.

    Example:
        >>> apply(np.array([[0.25, 0.25, 0.25]]), np.array([[0, 128, 255]], dtype=np.uint8))
        array([[0.  , 0.25, 1.  ]])
    """
    known, matte = trimap_tensor(trimap), matte_tensor("pred", pred)
    if isinstance(pred, np.ndarray) != isinstance(trimap, np.ndarray):
        raise TypeError(f"pred and trimap must be of one kind, got {type(pred).__name__} and {type(trimap).__name__}")
    if pred.shape != trimap.shape:
        raise ValueError(f"pred must have the shape of trimap, {tuple(trimap.shape)}, got {tuple(pred.shape)}")
    one = 255 if matte.dtype == torch.uint8 else 1
    return like(pred, matte.masked_fill(known == BACKGROUND, 0).masked_fill(known == FOREGROUND, one))

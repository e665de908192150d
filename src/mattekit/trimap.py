"""Making, checking, converting and applying trimaps.

A trimap is uint8 and says of each pixel whether it is `BACKGROUND` (0), `UNKNOWN` (128) or `FOREGROUND` (255). Every
function here takes tensors of shape (N, 1, H, W) on any device, or NumPy arrays of shape (H, W) or (N, H, W), and
returns what it was given.
"""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from mattekit._checks import check_nchw

__all__ = [
    "BACKGROUND",
    "FOREGROUND",
    "UNKNOWN",
    "apply",
    "to_classes",
    "unknown_mask",
    "validate",
]

BACKGROUND = 0
UNKNOWN = 128
FOREGROUND = 255

Array = TypeVar("Array", Tensor, np.ndarray)


def validate(trimap: Array, *, round: bool = False) -> Array:
    """Demand a trimap's form and its three values, or bring damaged values back to them.

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
    _check_trimap(trimap)
    if round:
        return _merge(trimap >= (UNKNOWN + FOREGROUND + 1) // 2, trimap < (BACKGROUND + UNKNOWN) // 2)
    _check_values("trimap", trimap, (BACKGROUND, UNKNOWN, FOREGROUND))
    return trimap


def unknown_mask(trimap: Array) -> Array:
    """Say where the trimap leaves the matte open.

    Args:
        trimap: uint8, a tensor (N, 1, H, W) or an array (H, W) or (N, H, W).

    Returns:
        bool, of the trimap's shape.

    Raises:
        TypeError: If the trimap is not uint8.
        ValueError: If its shape is wrong.

    Example:
        >>> unknown_mask(np.array([[0, 128, 255]], dtype=np.uint8))
        array([[False,  True, False]])
    """
    _check_trimap(trimap)
    return trimap.eq(UNKNOWN) if isinstance(trimap, Tensor) else np.equal(trimap, UNKNOWN)


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
    _check_trimap(trimap)
    _check_matte("pred", pred)
    if type(pred) is not type(trimap):
        raise TypeError(f"pred and trimap must be of one kind, got {type(pred).__name__} and {type(trimap).__name__}")
    if pred.shape != trimap.shape:
        raise ValueError(f"pred must have the shape of trimap, {tuple(trimap.shape)}, got {tuple(pred.shape)}")
    one = FOREGROUND if _is_uint8(pred) else 1
    if isinstance(pred, Tensor):
        return pred.masked_fill(trimap == BACKGROUND, 0).masked_fill(trimap == FOREGROUND, one)
    result = pred.copy()
    result[trimap == BACKGROUND] = 0
    result[trimap == FOREGROUND] = one
    return result


def to_classes(trimap: Array) -> Array:
    """Turn a trimap into the network's classes: 0 foreground, 1 transition, 2 background.

    Args:
        trimap: uint8, a tensor (N, 1, H, W) or an array (H, W) or (N, H, W).

    Returns:
        int64, of the trimap's shape. Every value other than 0 and 255 becomes 1.

    Raises:
        TypeError: If the trimap is not uint8.
        ValueError: If its shape is wrong.

    Source:
        The order of classes is that of the published weights of PP-Matting.

    Example:
        >>> to_classes(np.array([[0, 128, 255]], dtype=np.uint8))
        array([[2, 1, 0]])
    """
    _check_trimap(trimap)
    if isinstance(trimap, Tensor):
        return 1 + trimap.eq(BACKGROUND).long() - trimap.eq(FOREGROUND).long()
    return 1 + np.equal(trimap, BACKGROUND).astype(np.int64) - np.equal(trimap, FOREGROUND)


def _merge(is_foreground: Array, is_background: Array) -> Array:
    """The trimap of two masks that do not overlap."""
    if isinstance(is_foreground, Tensor):
        trimap = torch.full_like(is_foreground, UNKNOWN, dtype=torch.uint8)
        return trimap.masked_fill_(is_foreground, FOREGROUND).masked_fill_(is_background, BACKGROUND)
    trimap = np.full(is_foreground.shape, UNKNOWN, dtype=np.uint8)
    trimap[is_foreground] = FOREGROUND
    trimap[is_background] = BACKGROUND
    return trimap


def _check_map(name: str, x: object) -> None:
    """Demand one value a pixel: a tensor (N, 1, H, W), or an array (H, W) or (N, H, W)."""
    if not isinstance(x, np.ndarray):
        check_nchw(name, x, 1)
    elif x.ndim not in (2, 3):
        raise ValueError(f"{name} must have shape (H, W) or (N, H, W) as an array, got {x.shape}")


def _is_uint8(x: Tensor | np.ndarray) -> bool:
    return x.dtype in (torch.uint8, np.uint8)


def _check_trimap(trimap: Tensor | np.ndarray) -> None:
    _check_map("trimap", trimap)
    if not _is_uint8(trimap):
        raise TypeError(f"trimap must be uint8, got {trimap.dtype}")


def _check_matte(name: str, matte: Tensor | np.ndarray) -> None:
    _check_map(name, matte)
    is_floating = matte.is_floating_point() if isinstance(matte, Tensor) else np.issubdtype(matte.dtype, np.floating)
    if not (is_floating or _is_uint8(matte)):
        raise TypeError(f"{name} must be floating-point or uint8, got {matte.dtype}")


def _check_values(name: str, x: Tensor | np.ndarray, allowed: tuple[int, ...]) -> None:
    """Demand a few integer values; what else there is gets counted and located."""
    pixels = x.detach().cpu().numpy() if isinstance(x, Tensor) else x
    bad = ~np.isin(pixels, allowed)
    if not bad.any():
        return
    values, counts = np.unique(pixels[bad], return_counts=True)
    commonest = counts.argmax()
    value, count = int(values[commonest]), int(counts[commonest])
    *image, row, column = (int(i) for i in np.argwhere(pixels == value)[0])
    rule = " and ".join([", ".join(map(str, allowed[:-1])), str(allowed[-1])])
    where = f"first at ({row}, {column})" + (f" of image {image[0]}" if image and len(pixels) > 1 else "")
    others = len(values) - 1
    more = f", and {others} other value{'s' * (others > 1)}" if others else ""
    raise ValueError(f"{name} must hold only {rule}, got {value} in {count} pixel{'s' * (count > 1)}, {where}{more}")

"""The three values, and the two forms in which maps come: tensors (N, 1, H, W), and arrays (H, W) or (N, H, W).

Public functions take either, work on tensors, and hand back what they were given; on the CPU nothing is copied for it.
"""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from mattekit._checks import check_nchw, check_pixels, check_unmasked, needs_clamp

BACKGROUND = 0
UNKNOWN = 128
FOREGROUND = 255

Array = TypeVar("Array", Tensor, np.ndarray)


def to_tensor(name: str, x: Tensor | np.ndarray) -> Tensor:
    """Check that there is one value a pixel, and return it as (N, 1, H, W)."""
    if not isinstance(x, (Tensor, np.ndarray)):
        raise TypeError(f"{name} must be a torch.Tensor or a numpy.ndarray, got {type(x).__name__}")
    if isinstance(x, Tensor):
        check_nchw(name, x, 1)
        check_pixels(name, x)
        return x
    check_unmasked(name, x)
    if x.ndim not in (2, 3):
        raise ValueError(f"{name} must have shape (H, W) or (N, H, W) as an array, got {x.shape}")
    check_pixels(name, x)
    if x.ndim == 3 and x.shape[-1] in (1, 3, 4) and len(x) > 4:  # no crop is that narrow, and no batch of such ones
        looks = f"which looks like (H, W, channels): pass one channel, such as {name}[..., 0]"
        raise ValueError(f"{name} must have shape (H, W) or (N, H, W) as an array, got {x.shape}, {looks}")
    return wrap(x if x.ndim == 3 else x[None])[:, None]


def wrap(x: np.ndarray) -> Tensor:
    """An array as a tensor, sharing its memory where torch can: not of read-only arrays, nor of turned ones."""
    return torch.from_numpy(x if x.flags.writeable and x.flags.c_contiguous else x.copy())


def like(x: Array, result: Tensor, *, batched: bool | None = None) -> Array:
    """Give a result (N, C, H, W) in the form of the argument; one channel of an array is none."""
    if isinstance(x, Tensor):
        return result
    array = (result[:, 0] if result.shape[1] == 1 else result).numpy()
    batched = x.ndim == 3 if batched is None else batched
    return array if batched else array[0]


def trimap_tensor(trimap: Tensor | np.ndarray) -> Tensor:
    """Check the form of a trimap; its values are not looked at."""
    tensor = to_tensor("trimap", trimap)
    if tensor.dtype != torch.uint8:
        raise TypeError(f"trimap must be uint8, got {trimap.dtype}")
    return tensor


def matte_tensor(name: str, matte: Tensor | np.ndarray) -> Tensor:
    """Check the form of a matte: floating-point in [0, 1] or uint8; its values are not looked at."""
    tensor = to_tensor(name, matte)
    if not (tensor.is_floating_point() or tensor.dtype == torch.uint8):
        raise TypeError(f"{name} must be floating-point or uint8, got {matte.dtype}")
    return tensor


def merge(is_foreground: Tensor, is_background: Tensor) -> Tensor:
    """The trimap of two masks that do not overlap."""
    foreground, background = is_foreground.view(torch.uint8), is_background.view(torch.uint8)
    if foreground.device.type == "cpu":  # NumPy is three times as fast at bytes
        foreground, background = foreground.numpy(), background.numpy()
    trimap = foreground * (FOREGROUND - UNKNOWN)
    trimap += UNKNOWN
    trimap -= background * (UNKNOWN - BACKGROUND)
    return torch.from_numpy(trimap) if isinstance(trimap, np.ndarray) else trimap


def check_values(name: str, x: Tensor, allowed: tuple[int, ...]) -> None:
    """Check that there are these integer values alone; others are counted and located. This waits for a GPU."""
    bad = torch.stack([x != value for value in allowed]).all(0)
    if not bad.any():
        return
    values, counts = x[bad].unique(return_counts=True)
    commonest = int(counts.argmax())
    value, count = int(values[commonest]), int(counts[commonest])
    image, _, row, column = (int(i) for i in (x == value).nonzero()[0])
    rule = ", ".join(map(str, allowed[:-1])) + f" and {allowed[-1]}"
    where = f"first at ({row}, {column})" + (f" of image {image}" if len(x) > 1 else "")
    others = len(values) - 1
    more = f", and {others} other value{'s' * (others > 1)}" if others else ""
    raise ValueError(f"{name} must hold only {rule}, got {value} in {count} pixel{'s' * (count > 1)}, {where}{more}")


def check_unit(name: str, x: Tensor) -> None:
    """Check that values are from 0 to 1, but for a few ulp. This waits for a GPU."""
    if x.numel():
        low, high = (float(end) for end in x.detach().aminmax())
        needs_clamp(f"{name} must lie in [0, 1]", low, high, torch.finfo(x.dtype).eps)

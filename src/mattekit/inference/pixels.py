"""The forms in which photos come, and what of them a network is given."""

import numpy as np
import torch
from torch import Tensor

from mattekit._checks import check_unmasked, needs_clamp

FLOATS = (np.float16, np.float32, np.float64)


def to_pixels(image: object) -> np.ndarray:
    """Return a photo as an array, (H, W, 3), of uint8, of uint16, or of float32 in [0, 1].

    Raises:
        TypeError: If ``image`` is neither array nor tensor, or has another dtype.
        ValueError: If it has another shape, or leaves [0, 1] where it is floating-point.
    """
    check_unmasked("image", image)
    if isinstance(image, Tensor):
        pixels = image.detach().cpu()
        if pixels.ndim == 4 and pixels.shape[0] == 1:
            pixels = pixels[0]
        if pixels.ndim != 3 or pixels.shape[0] != 3:
            raise ValueError(f"image must be a tensor (3, H, W) or (1, 3, H, W), got {tuple(image.shape)}")
        if pixels.dtype != torch.uint8 and not pixels.is_floating_point():
            raise TypeError(f"image must be floating-point or uint8, got {pixels.dtype}")
        pixels = pixels.permute(1, 2, 0)
        pixels = np.ascontiguousarray((pixels.float() if pixels.is_floating_point() else pixels).numpy())
    elif isinstance(image, np.ndarray):
        if image.dtype not in (np.uint8, np.uint16):
            raise TypeError(f"image must be uint8 or uint16 where it is an array, got {image.dtype}")
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image must be an array (H, W, 3), got {image.shape}")
        pixels = image
    else:
        raise TypeError(f"image must be a numpy.ndarray or a torch.Tensor, got {type(image).__name__}")
    if min(pixels.shape) == 0:
        raise ValueError(f"image must not be empty, got {tuple(image.shape)}")
    if pixels.dtype.kind == "f":
        rule, eps = "image must lie in [0, 1] where it is floating-point", float(np.finfo(pixels.dtype).eps)
        if needs_clamp(rule, float(pixels.min()), float(pixels.max()), eps):
            pixels = pixels.clip(0, 1)
    return pixels


def check_arrays(**arrays: object) -> None:
    """Check that each is an array, and no masked one."""
    for name, x in arrays.items():
        check_unmasked(name, x)
        if not isinstance(x, np.ndarray):
            raise TypeError(f"{name} must be a numpy.ndarray, got {type(x).__name__}")


def check_dtypes(alpha: np.ndarray, image: np.ndarray) -> None:
    """Check that a matte is of floats, and a photo of bytes, of 16 bits or of floats."""
    if alpha.dtype not in FLOATS:
        raise TypeError(f"alpha must be float16, float32 or float64, got {alpha.dtype}")
    if image.dtype not in (np.uint8, np.uint16, *FLOATS):
        raise TypeError(f"image must be uint8, uint16, float16, float32 or float64, got {image.dtype}")


def check_unit_arrays(**arrays: np.ndarray) -> None:
    """Check that what is of floats lies in [0, 1], but for a few ulp."""
    for name, x in arrays.items():
        if x.dtype.kind == "f":
            needs_clamp(f"{name} must lie in [0, 1]", float(x.min()), float(x.max()), float(np.finfo(x.dtype).eps))


def to_batch(pixels: np.ndarray, device: torch.device) -> Tensor:
    """Return pixels as a batch of one, (1, 3, H, W), in their own type: bytes take a quarter of what floats do."""
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)[None].to(device)


def to_unit(batch: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a batch as floats in [0, 1]."""
    if batch.is_floating_point():
        return batch.to(dtype)
    return batch.to(torch.float32, copy=True).div_(torch.iinfo(batch.dtype).max).to(dtype)

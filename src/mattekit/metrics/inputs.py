"""What every metric takes: two mattes, perhaps a trimap, and the region that counts.

NumPy callers need no torch: a process that only evaluates files does not spend a second on importing it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, get_args

import numpy as np

from mattekit._checks import check_choice, check_no_mask, check_unmasked, needs_clamp
from mattekit.metrics._bands import bands

if TYPE_CHECKING:
    from torch import Tensor

Matte: TypeAlias = "np.ndarray | Tensor"
Region: TypeAlias = Literal["unknown", "whole", "foreground", "background"]
REGIONS: tuple[Region, ...] = get_args(Region)

# The constants of `mattekit.trimap`, which imports torch; a test holds them equal.
BACKGROUND, UNKNOWN, FOREGROUND = 0, 128, 255
_VALUES = {"background": BACKGROUND, "unknown": UNKNOWN, "foreground": FOREGROUND}


class Options(TypedDict, total=False):
    """The keywords of every metric; the package says what they mean."""

    region: Region | None
    apply_trimap: bool
    check_trimap: bool


class SumOptions(Options, total=False):
    """Those of metrics that are sums."""

    raw: bool


@dataclass(frozen=True)
class Batch:
    """N checked pairs of mattes of one size.

    Attributes:
        pred: (N, H, W): a NumPy array where the CPU computes, of uint8 or of any floats in [0, 1], which are converted
            band by band; a tensor on a CUDA device, of uint8 or float64.
        alpha: Like `pred`; tensors are of one dtype, arrays need not be.
        region: (N, H, W) bool, true where pixels count; None where all do.
        device: Where a tensor caller gets the answer; None if the caller passed NumPy and gets a float.
    """

    pred: Any
    alpha: Any
    region: Any
    device: Any

    def score(
        self,
        on_image: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float],
        on_tensors: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    ) -> Any:
        """One value an image: image by image on the CPU, the whole batch at once on a CUDA device."""
        if not isinstance(self.pred, np.ndarray):
            return on_tensors(self.pred, self.alpha, self.region)
        regions = [None] * len(self.pred) if self.region is None else self.region
        values = [on_image(*image) for image in zip(self.pred, self.alpha, regions, strict=True)]
        if self.device is None:
            return values[0]
        import torch

        dtype = torch.float32 if self.device.type == "mps" else torch.float64  # MPS has no float64
        return torch.tensor(values, dtype=dtype, device=self.device)

    def pixels(self) -> Any:
        """How many pixels count in each image, (N,)."""
        if self.region is None:
            return np.full(len(self.pred), self.pred[0].size if len(self.pred) else 0)
        return self.region.sum((1, 2))


def batch_of(
    pred: Any,
    alpha: Any,
    trimap: Any,
    *,
    region: Region | None = None,
    apply_trimap: bool = False,
    check_trimap: bool = True,
    eight_bit: bool = False,
) -> Batch:
    """Check what a metric was given and bring it into one form; `eight_bit` rounds floats to 8 bits first."""
    _check_alike(pred, alpha, trimap)
    region = _choose_region(region, trimap, apply_trimap)
    device = pred.device if _is_tensor(pred) else None
    pred, alpha = _matte("pred", pred), _matte("alpha", alpha)
    if eight_bit:
        pred, alpha = _as_bytes(pred), _as_bytes(alpha)
    if not isinstance(pred, np.ndarray) and pred.dtype != alpha.dtype:
        pred, alpha = _on_unit_scale(pred), _on_unit_scale(alpha)
    mask = None
    if trimap is not None:
        planes = _planes(trimap)
        if check_trimap:
            _check_trimap_values(trimap, planes)
        if apply_trimap:
            pred = _apply(pred, planes)
        if region != "whole":
            mask = planes == _VALUES[region]
    return Batch(pred, alpha, mask, device)


def _is_tensor(x: object) -> bool:
    torch = sys.modules.get("torch")  # before torch is imported, nobody holds a tensor
    return torch is not None and isinstance(x, torch.Tensor)


def _check_alike(pred: Any, alpha: Any, trimap: Any) -> None:
    """Check that all are of one kind, one shape and one device, and trimaps of uint8."""
    for name, x in (("pred", pred), ("alpha", alpha)) + ((("trimap", trimap),) if trimap is not None else ()):
        tensor = _is_tensor(x)
        if not tensor and not isinstance(x, np.ndarray):
            raise TypeError(f"{name} must be a torch.Tensor or a numpy.ndarray, got {type(x).__name__}")
        check_unmasked(name, x)
        if tensor != _is_tensor(pred):
            raise TypeError(f"{name} must be what pred is, a {type(pred).__name__}, got a {type(x).__name__}")
        shape = tuple(x.shape)
        fits = len(shape) == 4 and shape[1] == 1 if tensor else len(shape) == 2
        if not fits or 0 in shape[-2:]:
            rule = "(N, 1, H, W) as a tensor" if tensor else "(H, W) as a NumPy array"
            raise ValueError(f"{name} must have shape {rule}, with at least one pixel, got {shape}")
        if shape != tuple(pred.shape):
            raise ValueError(f"{name} must have the shape of pred, {tuple(pred.shape)}, got {shape}")
        if tensor and x.device != pred.device:
            raise ValueError(f"{name} must be on the device of pred, {pred.device}, got {x.device}")
    if trimap is not None and _dtype_name(trimap) != "uint8":
        raise TypeError(f"trimap must be uint8, of 0, 128 and 255, got {_dtype_name(trimap)}")


def _choose_region(region: Region | None, trimap: object, apply_trimap: bool) -> Region:
    if region is None:
        region = "whole" if trimap is None else "unknown"
    check_choice("region", region, REGIONS)
    if trimap is None and region != "whole":
        raise ValueError(f"region {region!r} needs a trimap, got None: pass a trimap, or region='whole'")
    if trimap is None and apply_trimap:
        raise ValueError("apply_trimap=True needs a trimap, got None")
    return region


def _dtype_name(x: Any) -> str:
    return x.dtype.name if isinstance(x, np.ndarray) else str(x.dtype).removeprefix("torch.")


def _matte(name: str, x: Any) -> Any:
    """A matte as (N, H, W), its range checked: an array of uint8 or floats, or a tensor of uint8 or float64."""
    dtype = _dtype_name(x)
    floating = dtype.startswith(("float", "bfloat"))
    if not floating and not dtype.startswith(("int", "uint")):
        raise TypeError(f"{name} must be floating-point in [0, 1] or uint8, got {dtype}")
    planes = _planes(x)
    if len(planes) and floating:
        planes = _checked_floats(name, planes, _eps(x))
    elif len(planes):
        _check_bytes(name, int(planes.min()), int(planes.max()))
    if isinstance(planes, np.ndarray):
        return np.ascontiguousarray(planes) if floating else np.ascontiguousarray(planes, np.uint8)
    return planes.double() if floating else planes.byte()


def _check_bytes(name: str, low: int, high: int) -> None:
    if low < 0 or high > 255:
        raise ValueError(f"{name} must lie in 0..255 if it holds integers, got {low} to {high}")
    check_no_mask(name, high)


def _checked_floats(name: str, x: Any, eps: float) -> Any:
    """The matte, in [0, 1]: what is a few ulp beyond is brought there; `eps` is of the dtype that came."""
    rule = f"{name} must lie in [0, 1] if it holds floats"
    return x.clip(0, 1) if needs_clamp(rule, float(x.min()), float(x.max()), eps) else x


def _eps(x: Any) -> float:
    if isinstance(x, np.ndarray):
        return float(np.finfo(x.dtype).eps)
    import torch

    return torch.finfo(x.dtype).eps


def _planes(x: Any) -> Any:
    """(N, H, W) of a matte or trimap: a tensor on a CUDA device, else a NumPy array."""
    if isinstance(x, np.ndarray):
        return np.ascontiguousarray(x)[None]
    x = x.detach()[:, 0]
    if _is_computed_there(x):
        return x
    x = x.cpu()
    return np.ascontiguousarray((x.float() if _dtype_name(x) == "bfloat16" else x).numpy())  # which NumPy lacks


def _is_computed_there(x: Tensor) -> bool:
    """Whether the tensor's own device computes the metrics, instead of NumPy and OpenCV."""
    return x.is_cuda


def _check_trimap_values(trimap: Any, planes: Any) -> None:
    """Check that there are no other values than the three, which would count nowhere."""
    known = sum(_count(planes, value) for value in _VALUES.values())
    if known == math.prod(planes.shape):
        return
    from mattekit.trimap import validate  # imports torch

    try:
        validate(trimap)
    except ValueError as error:
        raise ValueError(
            f"{error}. trimap.validate(trimap, round=True) takes each to the nearest of the three; with "
            "check_trimap=False 128 alone is unknown, as in the reference"
        ) from None


def _count(planes: Any, value: int) -> int:
    if isinstance(planes, np.ndarray):
        return sum(int(np.count_nonzero(plane[rows] == value)) for plane in planes for rows in bands(plane))
    return int((planes == value).sum())


def _on_unit_scale(x: Tensor) -> Tensor:
    """float64 in [0, 1] of a checked tensor of either dtype."""
    return x if x.is_floating_point() else x.double() / 255


def _as_bytes(x: Any) -> Any:
    """uint8 of a checked matte of either dtype, rounded as NumPy and torch round: halves to even."""
    if _dtype_name(x) == "uint8":
        return x
    if not isinstance(x, np.ndarray):
        return (x * 255).round().byte()
    rounded = np.empty(x.shape, np.uint8)
    for index, plane in enumerate(x):
        for rows in bands(plane):
            rounded[index, rows] = (plane[rows].astype(np.float64) * 255).round()
    return rounded


def _apply(pred: Any, trimap: Any) -> Any:
    """`mattekit.trimap.apply` for (N, H, W), which imports no torch for arrays."""
    one = 255 if _dtype_name(pred) == "uint8" else 1
    if not isinstance(pred, np.ndarray):
        return pred.masked_fill(trimap == BACKGROUND, 0).masked_fill(trimap == FOREGROUND, one)
    applied = pred.copy()
    np.copyto(applied, pred.dtype.type(0), where=trimap == BACKGROUND)
    np.copyto(applied, pred.dtype.type(one), where=trimap == FOREGROUND)
    return applied

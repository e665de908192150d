"""Laying a foreground over a background: equation 1 of the paper. Cut-outs to lay over other backgrounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from mattekit._checks import check_floating, check_nchw, check_number, check_positive, check_unit
from mattekit.foreground import estimate_foreground

__all__ = ["Checkerboard", "composite", "cutout"]

Colour = tuple[float, float, float]
Array = TypeVar("Array", Tensor, np.ndarray)


@dataclass(frozen=True)
class Checkerboard:
    """A background of grey squares, as image editors show transparency.

    Args:
        size: Side of a square in pixels.
        light: RGB in [0, 1] of the top left square.
        dark: RGB in [0, 1] of its neighbours.

    Raises:
        TypeError: If ``size`` is no integer, or a colour is not made of numbers.
        ValueError: If ``size`` is not positive, or a colour is not three numbers in [0, 1].

    Example:
        >>> Checkerboard(size=1).image(2, 3)[0, 0]
        tensor([[1.0000, 0.8000, 1.0000],
                [0.8000, 1.0000, 0.8000]])
    """

    size: int = 8
    light: Colour = (1.0, 1.0, 1.0)
    dark: Colour = (0.8, 0.8, 0.8)

    def __post_init__(self) -> None:
        check_number("size", self.size, Integral)
        check_positive("size", self.size)
        check_colour("light", self.light)
        check_colour("dark", self.dark)

    def image(
        self, height: int, width: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Paint it, as an image (1, 3, height, width)."""
        rows = torch.arange(height, device=device) // self.size
        columns = torch.arange(width, device=device) // self.size
        is_dark = (rows[:, None] + columns) % 2 == 1
        return torch.where(is_dark, _colour_image(self.dark, device, dtype), _colour_image(self.light, device, dtype))


def composite(
    foreground: Tensor,
    background: Tensor | Colour | Checkerboard,
    alpha: Tensor,
    *,
    premultiplied: bool = False,
    linear: bool = False,
) -> Tensor:
    """Lay a foreground over a background.

    Args:
        foreground: (N, 3, H, W) floating-point in [0, 1].
        background: An image (N, 3, H, W) in [0, 1], a colour (r, g, b) in [0, 1], or a `Checkerboard`.
        alpha: (N, 1, H, W) in [0, 1]. In each of the three N may be 1, for one that serves the whole batch.
        premultiplied: The foreground holds α·F already, multiplied in the space in which the two are mixed.
        linear: Mix light instead of sRGB values: decode both, mix, and encode again. The field, its data sets and
            losses mix sRGB values, so this is off by default.

    Returns:
        The image (N, 3, H, W), in the widest of the given types. Where alpha is 1 it is the foreground and where alpha
        is 0 the background, to the last bit (of a premultiplied foreground, where that is 0 there).

    Raises:
        TypeError: If something is not a floating-point tensor, and ``background`` no colour or `Checkerboard` either.
        ValueError: If shapes do not fit, or values lie outside [0, 1] by more than a few ulp. A GPU checks values in
            its own time.

    Source:
        Equation 1 (and 11) of Chen et al. 2022: I = αF + (1 - α)B. The sRGB curve is that of IEC 61966-2-1.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> composite(red, (0.0, 0.0, 1.0), torch.full((1, 1, 1, 1), 0.25)).flatten()
        tensor([0.2500, 0.0000, 0.7500])
    """
    check_nchw("foreground", foreground, 3)
    check_floating("foreground", foreground)
    check_nchw("alpha", alpha, 1)
    check_floating("alpha", alpha)
    check_fits("alpha", alpha, foreground)
    dtype = torch.promote_types(foreground.dtype, alpha.dtype)
    behind = _background_image(background, foreground, dtype)
    check_fits("background", behind, foreground)
    check_fits("background", behind, alpha, "alpha")
    for name, x in (("foreground", foreground), ("background", behind), ("alpha", alpha)):
        check_unit(name, x)
    dtype = torch.promote_types(dtype, behind.dtype)
    mix = _mix_light if linear else _mix
    return mix(foreground.to(dtype), behind.to(dtype), alpha.to(dtype), premultiplied).to(dtype)


def cutout(image: Array, alpha: Array) -> Array:
    """Cut a photo out: RGBA with the foreground's own colours, so that no rim of the old background comes along.

    Args:
        image: RGB. Tensor: (N, 3, H, W), floating-point in [0, 1] or uint8. Array: (H, W, 3), floating-point in
            [0, 1], uint8 or uint16.
        alpha: The matte, of the same kind. Tensor: (N, 1, H, W), floating-point in [0, 1] or uint8. Array: (H, W),
            floating-point in [0, 1], uint8 or uint16. In both N may be 1, for one that serves the whole batch.

    Returns:
        RGBA in the type and scale of the image, not premultiplied, (N, 4, H, W) or an array (H, W, 4). The first
        three channels are those of `mattekit.foreground.estimate_foreground`, the last is the matte.

    Raises:
        TypeError: As ``estimate_foreground`` does.
        ValueError: As ``estimate_foreground`` does.

    Example:
        >>> photo, alpha = np.full((4, 6, 3), 200, np.uint8), np.full((4, 6), 0.5)
        >>> cutout(photo, alpha)[0, 0]
        array([200, 200, 200, 128], dtype=uint8)
    """
    foreground: Any = estimate_foreground(image, alpha)
    matte = _in_units_of(foreground, alpha)
    if isinstance(matte, Tensor):
        rgba: Any = torch.cat([foreground, matte.detach().expand(len(foreground), -1, -1, -1)], 1)
    else:
        rgba = np.concatenate([foreground, matte[..., None]], 2)
    return rgba


_WHITE = {"uint8": 255, "uint16": 65535}


def _in_units_of(image: Any, alpha: Any) -> Any:
    """A matte in the type and scale of an image, which a few ulp beyond 0 or 1 would wrap around.

    Half precision could not count to its white.
    """
    white, given = (_WHITE.get(str(x.dtype).removeprefix("torch."), 1) for x in (image, alpha))
    if str(alpha.dtype).endswith("float16"):
        alpha = alpha.float() if isinstance(alpha, Tensor) else alpha.astype(np.float32)
    matte = alpha / float(given // white) if given > white else alpha * float(white // given)
    matte = matte.clip(0, white)
    if white > 1:
        matte = matte.round()
    return matte.to(image.dtype) if isinstance(matte, Tensor) else matte.astype(image.dtype)


def _mix(foreground: Tensor, background: Tensor, alpha: Tensor, premultiplied: bool) -> Tensor:
    if premultiplied:
        return foreground + (1 - alpha) * background
    # lerp is exact at both ends and never leaves the interval between them, which α·F + (1 - α)·B does by rounding
    return torch.lerp(background, foreground, alpha)


def _mix_light(foreground: Tensor, background: Tensor, alpha: Tensor, premultiplied: bool) -> Tensor:
    """Mix what sRGB values stand for, in float32 at least: half precision would be off by more than an 8-bit step."""
    dtype = torch.promote_types(alpha.dtype, torch.float32)
    foreground, background, alpha = foreground.to(dtype), background.to(dtype), alpha.to(dtype)
    mixed = _encode_srgb(_mix(_decode_srgb(foreground), _decode_srgb(background), alpha, premultiplied))
    is_clear = _is_clear(foreground, alpha, premultiplied)
    exact = torch.where(alpha == 1, foreground, torch.where(is_clear, background, mixed))
    if not mixed.requires_grad:
        return exact
    # the values of the exact, the slopes of the mixed: a matte that is 0 or 1 must still be able to move
    return mixed + (exact - mixed).detach()


def _is_clear(foreground: Tensor, alpha: Tensor, premultiplied: bool) -> Tensor:
    """Where nothing of the foreground shows; a premultiplied one may glow where alpha is 0."""
    return (alpha == 0) & (foreground == 0) if premultiplied else alpha == 0


def _background_image(background: Tensor | Colour | Checkerboard, foreground: Tensor, dtype: torch.dtype) -> Tensor:
    """The background as it is, or painted in the foreground's size."""
    if isinstance(background, Checkerboard):
        height, width = foreground.shape[-2:]
        return background.image(height, width, device=foreground.device, dtype=dtype)
    if not isinstance(background, Tensor):
        check_colour("background", background)
        return _colour_image(background, foreground.device, dtype).expand(1, 3, *foreground.shape[-2:])
    check_nchw("background", background, 3)
    check_floating("background", background)
    return background


def check_colour(name: str, colour: object) -> None:
    """Check that it is three numbers in [0, 1]."""
    if not isinstance(colour, (Sequence, np.ndarray)) or not all(isinstance(value, Real) for value in colour):
        raise TypeError(f"{name} must be a colour, three numbers in [0, 1], got {type(colour).__name__}")
    if len(colour) != 3 or not all(0 <= value <= 1 for value in colour):
        raise ValueError(f"{name} must be a colour, three numbers in [0, 1], got {tuple(colour)}")


def _colour_image(colour: Colour, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    return torch.tensor(tuple(colour), device=device, dtype=dtype).view(1, 3, 1, 1)


def check_fits(name: str, x: Tensor, other: Tensor, other_name: str = "foreground") -> None:
    """Check that both have one size, and as many images, or one of them has 1."""
    same_size = x.shape[-2:] == other.shape[-2:]
    if not same_size or (x.shape[0] != other.shape[0] and 1 not in (x.shape[0], other.shape[0])):
        raise ValueError(f"{name} must fit {other_name}, {tuple(other.shape)}, got {tuple(x.shape)}")


def _decode_srgb(value: Tensor) -> Tensor:
    """From sRGB values to light."""
    return torch.where(value <= 0.04045, value / 12.92, (value + 0.055).div_(1.055) ** 2.4)


def _encode_srgb(light: Tensor) -> Tensor:
    """From light to sRGB values; the clamp keeps the unused branch's slope finite at 0."""
    curve = light.clamp(min=0.0031308).pow(1 / 2.4).mul_(1.055).sub_(0.055)
    return torch.where(light <= 0.0031308, light * 12.92, curve)

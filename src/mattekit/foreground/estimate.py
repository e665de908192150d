"""The door to the methods: what they take and what they give."""

from typing import Any, Literal, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from mattekit._checks import check_choice, check_nchw, check_no_mask, check_pixels, check_unmasked, needs_clamp
from mattekit.foreground.blur_fusion import blur_fusion
from mattekit.foreground.multilevel import multilevel

Method = Literal["multilevel", "blur_fusion"]
Array = TypeVar("Array", Tensor, np.ndarray)


@overload
def estimate_foreground(
    image: Array, alpha: Array, *, method: Method = "multilevel", return_background: Literal[False] = False
) -> Array: ...
@overload
def estimate_foreground(
    image: Array, alpha: Array, *, method: Method = "multilevel", return_background: Literal[True]
) -> tuple[Array, Array]: ...
@torch.no_grad()
def estimate_foreground(
    image: Any, alpha: Any, *, method: Method = "multilevel", return_background: bool = False
) -> Any:
    """Estimate the foreground's colours of photos with known mattes.

    Where alpha lies between 0 and 1 a pixel mixes the subject with the background that it stood before. Laid over
    another background as it is, it keeps a rim of the old one; laid over with these colours, it does not.

    Args:
        image: RGB. Tensor: (N, 3, H, W), floating-point in [0, 1] or uint8. Array: (H, W, 3), floating-point in
            [0, 1], uint8 or uint16.
        alpha: The matte, of the same kind. Tensor: (N, 1, H, W), floating-point in [0, 1] or uint8. Array: (H, W),
            floating-point in [0, 1], uint8 or uint16. In both N may be 1, for one that serves the whole batch.
        method: ``"multilevel"``: smooth colours that explain the image best. ``"blur_fusion"``: blurred colours,
            corrected by what they fail to explain; rougher, with colours from up to 45 pixels away.
        return_background: Give the background's colours too.

    Returns:
        The foreground, in the shape, type and scale of the image, and on its device; computed in float32, without
        gradients. With ``return_background`` a tuple, (foreground, background). Where alpha is 1 the foreground is
        the image, and where it is 0 the background is. Where alpha is 0 the foreground goes on from its nearest
        colours; far from all foreground it means little.

    Raises:
        TypeError: If ``image`` and ``alpha`` are not both tensors or both arrays, or have other types than these.
        ValueError: If shapes do not fit, values lie outside [0, 1], ``alpha`` holds 0 and 1 as integers, or there is no
            such method.

    Source:
        Multilevel: Germer et al., "Fast Multi-Level Foreground Estimation", ICPR 2020, with the levels, sweeps and
        constants of PyMatting's ``estimate_foreground_ml``. A sweep takes the even rows, then the odd ones, instead of
        pixel by pixel, so that it runs on whole tensors and gives the same on every device (levels of up to 256 pixels
        get a sweep or two more). Where 0 < alpha < 1 the foreground is on average 0.002 to 0.012 from PyMatting's,
        whose own answer for the mirrored photo is three times as far away. Blur fusion: Forte, "Approximate Fast
        Foreground Colour Estimation", ICIP 2021, twice, with boxes of 90 and of 6 pixels; the boxes end at the image's
        border.

    Example:
        >>> photo = np.full((4, 6, 3), 200, np.uint8)
        >>> alpha = np.linspace(0, 1, 24).reshape(4, 6)
        >>> estimate_foreground(photo, alpha)[0, 3]
        array([200, 200, 200], dtype=uint8)
    """
    check_choice("method", method, ("multilevel", "blur_fusion"))
    images, alphas = _tensors(image, alpha)
    foreground = torch.empty_like(images)
    background = torch.empty_like(images) if return_background else None
    estimate = multilevel if method == "multilevel" else blur_fusion
    if len(images):
        estimate(images, alphas, foreground, background)
    results = tuple(_like(image, x) for x in (foreground, background) if x is not None)
    return results if return_background else results[0]


def _tensors(image: object, alpha: object) -> tuple[Tensor, Tensor]:
    """Check the arguments and give (N, 3, H, W) and (N, 1, H, W), floating-point in [0, 1] or uint8."""
    if isinstance(image, np.ndarray) and isinstance(alpha, np.ndarray):
        images, alphas = _from_photo(image), _from_matte(alpha)
    elif isinstance(image, Tensor) and isinstance(alpha, Tensor):
        check_nchw("image", image, 3)
        check_nchw("alpha", alpha, 1)
        check_pixels("image", image)
        images, alphas = image.detach(), alpha.detach()
    else:
        kinds = f"{type(image).__name__} and {type(alpha).__name__}"
        raise TypeError(f"image and alpha must both be torch.Tensor or both numpy.ndarray, got {kinds}")
    if images.shape[-2:] != alphas.shape[-2:] or (len(images) != len(alphas) and 1 not in (len(images), len(alphas))):
        raise ValueError(f"alpha must fit image, {tuple(image.shape)}, got {tuple(alpha.shape)}")
    check_unmasked("image", image)
    check_unmasked("alpha", alpha)
    if alphas.numel() and str(alpha.dtype).endswith(("uint8", "uint16")):
        check_no_mask("alpha", int(alpha.max()))
    images, alphas = _checked_values("image", images), _checked_values("alpha", alphas)
    batch = max(len(images), len(alphas)) if len(images) and len(alphas) else 0
    return images.expand(batch, -1, -1, -1), alphas.expand(batch, -1, -1, -1)


def _from_photo(image: np.ndarray) -> Tensor:
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be an array (H, W, 3), got {image.shape}")
    if 0 in image.shape:
        raise ValueError(f"image must have at least one pixel, got shape {image.shape}")
    return _wrap(image).permute(2, 0, 1)[None]


def _from_matte(alpha: np.ndarray) -> Tensor:
    if alpha.ndim != 2:
        raise ValueError(f"alpha must be an array (H, W), got {alpha.shape}")
    return _wrap(alpha)[None, None]


def _wrap(x: np.ndarray) -> Tensor:
    """As a tensor, which shares the memory where torch can: not of read-only arrays, turned ones, or uint16."""
    if x.dtype == np.uint16:
        return torch.from_numpy(x.astype(np.float32) / 65535)
    return torch.from_numpy(x if x.flags.writeable and x.flags.c_contiguous else x.copy())


def _checked_values(name: str, x: Tensor) -> Tensor:
    """The same, in [0, 1]: what is a few ulp beyond is brought there."""
    if not x.is_floating_point():
        if x.dtype != torch.uint8:
            raise TypeError(f"{name} must be floating-point or uint8 (as an array uint16 too), got {x.dtype}")
        return x
    if not x.numel():
        return x
    low, high = (end.item() for end in x.aminmax())
    return x.clamp(0, 1) if needs_clamp(f"{name} must lie in [0, 1]", low, high, torch.finfo(x.dtype).eps) else x


def _like(image: Tensor | np.ndarray, result: Tensor) -> Tensor | np.ndarray:
    """Give a result in the form and type of the image."""
    if isinstance(image, Tensor):
        return result
    pixels = result[0].permute(1, 2, 0).numpy()
    return np.rint(pixels * 65535).astype(np.uint16) if image.dtype == np.uint16 else pixels

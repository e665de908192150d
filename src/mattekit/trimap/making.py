"""Making trimaps from mattes and masks."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from mattekit._checks import check_choice, check_no_mask, check_nonnegative, check_number, check_positive, is_span
from mattekit.trimap._forms import Array, check_unit, check_values, like, matte_tensor, merge, to_tensor
from mattekit.trimap._morphology import Kernel, erode


@dataclass(frozen=True)
class RandomKernels:
    """The kernels that `random_from_alpha` draws from, evenly.

    Args:
        sizes: Least and largest side of the kernel in pixels.
        iterations: Least and largest number of erosions.
        shared: Draw one size for the foreground and the background instead of one for each.
        kernel: ``"ellipse"`` or ``"square"``.

    Raises:
        ValueError: If a range is empty or not positive, or the kernel is neither.

    Example:
        >>> RandomKernels(sizes=(3, 15))
        RandomKernels(sizes=(3, 15), iterations=(1, 1), shared=False, kernel='ellipse')
    """

    sizes: tuple[int, int]
    iterations: tuple[int, int] = (1, 1)
    shared: bool = False
    kernel: Kernel = "ellipse"

    def __post_init__(self) -> None:
        for name in ("sizes", "iterations"):
            span = getattr(self, name)
            if not is_span(span, Integral) or span[0] < 1:
                raise ValueError(f"{name} must be a least and a largest, both at least 1, got {span!r}")
        check_choice("kernel", self.kernel, ("ellipse", "square"))


GCA_KERNELS = RandomKernels(sizes=(1, 29))
"""As GCA-Matting trains (Li and Lu 2020, its published code), and MMEditing DIM.

Xu et al. 2017 say that they dilate at random, not how far.
"""

PADDLESEG_KERNELS = RandomKernels(sizes=(2, 4), iterations=(5, 14), shared=True)
"""As PaddleSeg trains PP-Matting."""


def from_alpha(
    alpha: Array,
    *,
    width: int | None = None,
    inner: int | None = None,
    outer: int | None = None,
    kernel: Kernel = "ellipse",
    iterations: int = 1,
) -> Array:
    """Make a trimap from a matte: what is not exactly 0 or 1 is unknown, and a band around it.

    Args:
        alpha: Floating-point in [0, 1] or uint8 in 0 to 255; a tensor (N, 1, H, W), or an array (H, W) or (N, H, W).
        width: How far the unknown region reaches into either side, in pixels: the radius of a kernel of 2·width + 1.
        inner: How far it reaches into the foreground; give this and ``outer`` instead of ``width``.
        outer: How far it reaches into the background.
        kernel: ``"ellipse"`` or ``"square"``, as OpenCV's ``MORPH_ELLIPSE`` and ``MORPH_RECT``.
        iterations: How often to erode with it.

    Returns:
        The trimap, of the alpha's form. The image's border does not count as an edge.

    Raises:
        TypeError: If the alpha is neither floating-point nor uint8.
        ValueError: If its shape or an option is wrong, or, on the CPU, if it leaves [0, 1] by more than a few ulp, or
            holds 0 and 1 as integers; on a GPU that is not looked for, since it would wait for the result.

    Example:
        >>> from_alpha(np.array([[0, 0, 0, 0.5, 1, 1, 1]]), width=1)
        array([[  0,   0, 128, 128, 128, 255, 255]], dtype=uint8)
        >>> from_alpha(np.array([[0, 0, 0, 0.5, 1, 1, 1]]), inner=0, outer=2)
        array([[  0, 128, 128, 128, 255, 255, 255]], dtype=uint8)
    """
    matte = matte_tensor("alpha", alpha)
    sizes = _sizes(width, inner, outer, kernel, iterations)
    return like(alpha, _erode_both(*_known(matte), sizes, kernel, iterations))


def random_from_alpha(
    alpha: Array,
    *,
    kernels: RandomKernels = GCA_KERNELS,
    generator: torch.Generator | np.random.Generator | None = None,
) -> Array:
    """Make a trimap from a matte with a band of random width, another for each image.

    Args:
        alpha: Floating-point in [0, 1] or uint8 in 0 to 255; a tensor (N, 1, H, W), or an array (H, W) or (N, H, W).
        kernels: What to draw from: `GCA_KERNELS`, `PADDLESEG_KERNELS`, or `RandomKernels` of your own.
        generator: Source of randomness, of torch (on the CPU) or NumPy. None is torch's global one, which, unlike
            NumPy's, differs between the workers of a DataLoader. One that a data set holds does not: each worker
            draws the same from its copy, in every epoch.

    Returns:
        The trimap, of the alpha's form.

    Raises:
        TypeError: If the alpha is neither floating-point nor uint8, or ``kernels`` or ``generator`` is something else.
        ValueError: If its shape is wrong, or, on the CPU, if it leaves [0, 1].

    Source:
        The published training code named with each of the constants. Those see foreground from 1 - 1e-5 (GCA) or
        254.5/255 (PaddleSeg) on, which for mattes read from 8 bits is the same as exactly 1, the rule here. Where
        `mattekit.data` moves a matte it keeps that so: averages within 1e-5 of 0 or 1 are 0 or 1.

    Example:
        >>> alpha = np.repeat([0.0, 0.5, 1.0], 20)[None]
        >>> trimap = random_from_alpha(alpha, generator=torch.Generator().manual_seed(0))
        >>> (trimap[alpha == 0.5] == 128).all()
        np.True_
    """
    matte = matte_tensor("alpha", alpha)
    if not isinstance(kernels, RandomKernels):
        raise TypeError(f"kernels must be a RandomKernels, such as GCA_KERNELS, got {kernels!r}")
    if not isinstance(generator, torch.Generator | np.random.Generator | None):
        raise TypeError(f"generator must be a generator of torch or NumPy, or None, got {generator!r}")
    is_foreground, is_background = _known(matte)
    trimap = torch.empty_like(matte, dtype=torch.uint8)
    for i in range(len(matte)):
        inner = _draw(kernels.sizes, generator)
        outer = inner if kernels.shared else _draw(kernels.sizes, generator)
        iterations = _draw(kernels.iterations, generator)
        one = slice(i, i + 1)
        trimap[one] = _erode_both(is_foreground[one], is_background[one], (inner, outer), kernels.kernel, iterations)
    return like(alpha, trimap)


def from_mask(
    mask: Array,
    *,
    width: int | None = None,
    inner: int | None = None,
    outer: int | None = None,
    kernel: Kernel = "ellipse",
    iterations: int = 1,
    certain: float = 0.95,
) -> Array:
    """Make a trimap from a segmentation mask: a band along its edge is unknown.

    Args:
        mask: bool; or integers, 0 and 1 or 0 and 255; or floating-point probabilities of foreground in [0, 1]. A tensor
            (N, 1, H, W), or an array (H, W) or (N, H, W).
        width: See `from_alpha`, as ``inner``, ``outer``, ``kernel`` and ``iterations``.
        inner: See `from_alpha`.
        outer: See `from_alpha`.
        kernel: See `from_alpha`.
        iterations: See `from_alpha`.
        certain: A pixel counts as foreground where ``mask`` is at least this probability, and as background where
            ``1 - mask`` is; the others are unknown.

    Returns:
        The trimap, of the mask's form.

    Raises:
        ValueError: If a shape or an option is wrong, or the mask holds other values; integers are counted and located.

    Example:
        >>> from_mask(np.array([[0, 0, 0, 0, 1, 1, 1, 1]]), width=1)
        array([[  0,   0,   0, 128, 128, 255, 255, 255]], dtype=uint8)
        >>> from_mask(np.array([[0.01, 0.3, 0.99]]), width=0)
        array([[  0, 128, 255]], dtype=uint8)
    """
    tensor = to_tensor("mask", mask)
    sizes = _sizes(width, inner, outer, kernel, iterations)
    if not 0.5 < certain <= 1:
        raise ValueError(f"certain must be above 0.5 and at most 1, got {certain!r}")
    if tensor.is_floating_point():
        check_unit("mask", tensor)
        known = tensor >= certain, 1 - tensor >= certain
    else:
        check_values("mask", tensor, (0, 1, 255))
        if tensor.dtype != torch.bool and (tensor == 1).any() and (tensor == 255).any():
            raise ValueError("mask must hold 0 and 1, or 0 and 255, got all three")
        known = tensor != 0, tensor == 0
    return like(mask, _erode_both(*known, sizes, kernel, iterations))


def _sizes(width: int | None, inner: int | None, outer: int | None, kernel: str, iterations: int) -> tuple[int, int]:
    """Sides of the kernels for the foreground and for the background."""
    check_choice("kernel", kernel, ("ellipse", "square"))
    check_number("iterations", iterations, Integral)
    check_positive("iterations", iterations)
    if width is not None and inner is None and outer is None:
        inner = outer = width
    elif width is not None or inner is None or outer is None:
        raise ValueError(f"give width, or inner and outer, got width={width}, inner={inner}, outer={outer}")
    for name, reach in (("inner" if width is None else "width", inner), ("outer", outer)):
        check_number(name, reach, Integral)
        check_nonnegative(name, reach)
    return 2 * inner + 1, 2 * outer + 1


def _known(alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Where a matte is exactly 1, and exactly 0."""
    one = 255 if alpha.dtype == torch.uint8 else 1
    if alpha.device.type != "cpu":
        return alpha >= one, alpha <= 0
    plain = alpha.float() if alpha.dtype == torch.bfloat16 else alpha  # NumPy has no bfloat16
    values = plain.detach().numpy()  # which compares five times as fast as torch
    if values.size and one == 255:
        check_no_mask("alpha", int(values.max()))
    elif values.size and not (values.min() >= 0 and values.max() <= one):
        check_unit("alpha", alpha)
    return torch.from_numpy(values >= one), torch.from_numpy(values <= 0)


def _erode_both(
    is_foreground: Tensor, is_background: Tensor, sizes: tuple[int, int], kernel: Kernel, iterations: int
) -> Tensor:
    return merge(erode(is_foreground, sizes[0], kernel, iterations), erode(is_background, sizes[1], kernel, iterations))


def _draw(span: tuple[int, int], generator: torch.Generator | np.random.Generator | None) -> int:
    if isinstance(generator, np.random.Generator):
        return int(generator.integers(span[0], span[1], endpoint=True))
    return int(torch.randint(span[0], span[1] + 1, (), generator=generator, device="cpu"))

"""The losses of PP-Matting: L_d (equation 6), L_f (equation 9) and their sum with L_s (equation 12)."""

from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from mattekit._checks import check_floating, check_nchw, check_same_shape
from mattekit.losses._common import Reduction, check_trimap
from mattekit.losses.alpha import alpha_loss
from mattekit.losses.composition import composition_loss
from mattekit.losses.gradient import Operator, gradient_loss
from mattekit.losses.semantic import semantic_loss
from mattekit.trimap import unknown_mask

PADDLESEG: MappingProxyType[str, Any] = MappingProxyType(
    {"weights": (0.25, 0.25, 0.25), "eps": 1e-3, "semantic_eps": 1e-6, "mask_inputs": True}
)
"""Arguments with which `pp_matting_loss` gives the numbers of the authors' code instead of the paper's."""


class MattingOutput(Protocol):
    """What `pp_matting_loss` needs of a network's output; `mattekit.models.PPMattingOutput` has it."""

    @property
    def alpha(self) -> Tensor:
        """The fused matte (N, 1, H, W) in [0, 1]."""
        ...

    @property
    def detail(self) -> Tensor:
        """The detail map (N, 1, H, W) in [0, 1]."""
        ...

    @property
    def semantic_logits(self) -> Tensor:
        """Scores (N, 3, H, W): foreground, transition, background."""
        ...


class PPMattingLosses(NamedTuple):
    """The weighted total, its three losses, and their parts, none of which is weighted."""

    total: Tensor
    semantic: Tensor
    detail: Tensor
    fusion: Tensor
    detail_alpha: Tensor
    detail_gradient: Tensor
    fusion_alpha: Tensor
    fusion_gradient: Tensor
    fusion_composition: Tensor


def detail_loss(
    detail: Tensor,
    alpha: Tensor,
    trimap: Tensor,
    *,
    eps: float = 1e-6,
    operator: Operator = "sobel",
    mask_inputs: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """Add alpha and gradient loss of the detail map in the unknown region.

    Args:
        detail: The detail map, (N, 1, H, W) in [0, 1].
        alpha: True alpha, likewise.
        trimap: uint8 of 0, 128 and 255, (N, 1, H, W); its values are not checked here.
        eps: See `alpha_loss` and `gradient_loss`.
        operator: See `gradient_loss`.
        mask_inputs: See `gradient_loss`.
        reduction: ``"mean"`` over the unknown region, ``"sum"`` as in the equation, or ``"none"`` for the map.

    Returns:
        A scalar, or the map (N, 1, H, W); 0 where nothing is unknown.

    Raises:
        TypeError: If a matte is not a floating-point tensor or the trimap is not uint8.
        ValueError: If a shape or an option is wrong.

    Source:
        Equation 6 of Chen et al. 2022. ``eps=1e-3, mask_inputs=True`` gives the numbers of the authors' code.

    Example:
        >>> import torch
        >>> from mattekit.losses import detail_loss
        >>> alpha = torch.zeros(1, 1, 4, 4)
        >>> trimap = torch.full((1, 1, 4, 4), 128, dtype=torch.uint8)
        >>> detail_loss(alpha + 0.5, alpha, trimap)
        tensor(0.5000)
    """
    parts = _detail_parts(detail, alpha, trimap, eps, operator, mask_inputs, reduction)
    return parts[0] + parts[1]


def fusion_loss(
    pred: Tensor,
    alpha: Tensor,
    foreground: Tensor | None = None,
    background: Tensor | None = None,
    *,
    eps: float = 1e-6,
    operator: Operator = "sobel",
) -> Tensor:
    """Add alpha, gradient and composition loss of the final matte, over the whole image.

    Args:
        pred: The fused matte, (N, 1, H, W) in [0, 1].
        alpha: True alpha, likewise.
        foreground: True foreground colours, (N, 3, H, W) in [0, 1]. Where they and the background are not known, as for
            a photo that nobody composed, leave both out: the composition term is then 0. (The authors' code passes the
            photo for both, which makes it a constant, ``eps``.)
        background: True background colours, likewise.
        eps: See `alpha_loss`, `gradient_loss` and `composition_loss`.
        operator: See `gradient_loss`.

    Returns:
        A scalar: the sum of the three means.

    Raises:
        TypeError: If something is not a floating-point tensor.
        ValueError: If a shape or an option is wrong, or one of foreground and background is missing.

    Source:
        Equation 9 of Chen et al. 2022. ``eps=1e-3`` gives the numbers of the authors' code.

    Example:
        >>> import torch
        >>> from mattekit.losses import fusion_loss
        >>> alpha = torch.zeros(1, 1, 4, 4)
        >>> white, black = torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
        >>> fusion_loss(alpha + 0.5, alpha, white, black)
        tensor(1.)
        >>> fusion_loss(alpha + 0.5, alpha)
        tensor(0.5000)
    """
    parts = _fusion_parts(pred, alpha, foreground, background, eps, operator)
    return parts[0] + parts[1] + parts[2]


def pp_matting_loss(
    output: MattingOutput,
    alpha: Tensor,
    trimap: Tensor,
    foreground: Tensor | None = None,
    background: Tensor | None = None,
    *,
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    eps: float = 1e-6,
    semantic_eps: float = 0.0,
    operator: Operator = "sobel",
    mask_inputs: bool = False,
) -> PPMattingLosses:
    """Compute all of PP-Matting's training loss.

    Args:
        output: What the network returns: an object with ``alpha``, ``detail`` and ``semantic_logits``.
        alpha: True alpha, (N, 1, H, W) in [0, 1].
        trimap: uint8 of 0, 128 and 255, (N, 1, H, W), as `mattekit.trimap.random_from_alpha` makes it from the alpha;
            its values are not checked here.
        foreground: True foreground colours, (N, 3, H, W) in [0, 1], or None; see `fusion_loss`.
        background: True background colours, likewise.
        weights: λ1, λ2, λ3 of the semantic, the detail and the fusion loss.
        eps: See `alpha_loss`, `gradient_loss` and `composition_loss`.
        semantic_eps: The ``eps`` of `semantic_loss`.
        operator: See `gradient_loss`.
        mask_inputs: Of the detail loss; see `gradient_loss`.

    Returns:
        The weighted total to call ``backward`` on, and its parts for logging.

    Raises:
        TypeError: If a matte or image is not a floating-point tensor or the trimap is not uint8.
        ValueError: If a shape or an option is wrong, or one of foreground and background is missing.

    Source:
        Equation 12 of Chen et al. 2022, with means for the paper's sums over pixels. The authors' code differs in four
        places, which `PADDLESEG` names: ``pp_matting_loss(output, alpha, trimap, foreground, background, **PADDLESEG)``
        gives its numbers.

    Example:
        >>> import torch
        >>> from typing import NamedTuple
        >>> from mattekit.losses import pp_matting_loss
        >>> class Output(NamedTuple):
        ...     alpha: torch.Tensor
        ...     detail: torch.Tensor
        ...     semantic_logits: torch.Tensor
        >>> alpha, trimap = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
        >>> output = Output(alpha + 0.5, alpha + 0.5, torch.zeros(1, 3, 4, 4))
        >>> losses = pp_matting_loss(output, alpha, trimap)
        >>> losses.semantic, losses.detail, losses.fusion
        (tensor(1.0986), tensor(0.), tensor(0.5000))
    """
    missing = [name for name in ("alpha", "detail", "semantic_logits") if not hasattr(output, name)]
    if missing:
        raise TypeError(f"output must have alpha, detail and semantic_logits, got a {type(output).__name__}")
    if len(weights) != 3:
        raise ValueError(f"weights must be three numbers, λ1, λ2 and λ3, got {tuple(weights)}")
    check_nchw("output.alpha", output.alpha, 1)
    check_same_shape("output.alpha", output.alpha, "alpha", alpha)
    semantic = semantic_loss(output.semantic_logits, trimap, eps=semantic_eps)
    detail_parts = _detail_parts(output.detail, alpha, trimap, eps, operator, mask_inputs, "mean")
    fusion_parts = _fusion_parts(output.alpha, alpha, foreground, background, eps, operator)
    detail, fusion = detail_parts[0] + detail_parts[1], fusion_parts[0] + fusion_parts[1] + fusion_parts[2]
    total = weights[0] * semantic + weights[1] * detail + weights[2] * fusion
    return PPMattingLosses(total, semantic, detail, fusion, *detail_parts, *fusion_parts)


def _detail_parts(
    detail: Tensor,
    alpha: Tensor,
    trimap: Tensor,
    eps: float,
    operator: Operator,
    mask_inputs: bool,
    reduction: Reduction,
) -> tuple[Tensor, Tensor]:
    check_nchw("detail", detail, 1)
    check_floating("detail", detail)
    check_trimap(trimap, "detail", detail)
    check_same_shape("alpha", alpha, "detail", detail)
    unknown = unknown_mask(trimap)
    return (
        alpha_loss(detail, alpha, unknown, eps=eps, reduction=reduction),
        gradient_loss(detail, alpha, unknown, operator=operator, mask_inputs=mask_inputs, eps=eps, reduction=reduction),
    )


def _fusion_parts(
    pred: Tensor,
    alpha: Tensor,
    foreground: Tensor | None,
    background: Tensor | None,
    eps: float,
    operator: Operator,
) -> tuple[Tensor, Tensor, Tensor]:
    alpha_part = alpha_loss(pred, alpha, eps=eps)
    gradient_part = gradient_loss(pred, alpha, operator=operator, eps=eps)
    if foreground is not None and background is not None:
        return alpha_part, gradient_part, composition_loss(pred, alpha, foreground, background, eps=eps)
    if foreground is not None or background is not None:
        missing = "background" if background is None else "foreground"
        raise ValueError(f"foreground and background must be given together or not at all, got no {missing}")
    return alpha_part, gradient_part, alpha_part.new_zeros(())

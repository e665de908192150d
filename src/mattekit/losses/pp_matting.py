"""The losses of PP-Matting: L_d (equation 6), L_f (equation 9) and their sum with L_s (equation 12)."""

from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from mattekit._checks import check_choice, check_floating, check_nchw, check_same_shape
from mattekit.losses._common import (
    Reduction,
    check_eps,
    check_pair,
    check_reduction,
    check_trimap,
    widen,
)
from mattekit.losses.alpha import alpha_term
from mattekit.losses.composition import check_layers, composition_term, with_layers
from mattekit.losses.gradient import Operator, gradient_term, magnitude
from mattekit.losses.semantic import semantic_loss
from mattekit.trimap import UNKNOWN

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
        """Scores (N, 3, H, W) of foreground, transition, background."""
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
    mask: Tensor | None = None,
    *,
    eps: float = 1e-6,
    operator: Operator = "sobel",
    mask_inputs: bool = False,
    reduction: Reduction = "mean",
) -> Tensor:
    """Add alpha and gradient loss of the detail map in the unknown region.

    The arguments that all losses share stand in :mod:`mattekit.losses`, and so do the errors.

    Args:
        detail: The detail map, (N, 1, H, W).
        eps: See `alpha_loss` and `gradient_loss`.
        operator: See `gradient_loss`.
        mask_inputs: See `gradient_loss`.

    Returns:
        A scalar, or the map (N, 1, H, W). What counts is unknown and within the mask; 0 where nothing does.

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
    _check_detail(detail, trimap)
    check_pair(detail, alpha, mask, name="detail")
    _check_options(eps, operator, reduction)
    parts = _detail_terms(detail, alpha, trimap, mask, eps, operator, mask_inputs, reduction)
    return parts[0] + parts[1]


def fusion_loss(
    pred: Tensor,
    alpha: Tensor,
    foreground: Tensor | None = None,
    background: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    has_layers: Tensor | None = None,
    eps: float = 1e-6,
    operator: Operator = "sobel",
    reduction: Reduction = "mean",
) -> Tensor:
    """Add alpha, gradient and composition loss of the final matte.

    Where foreground and background are not known, as for a photo that nobody composed, leave both out: the composition
    term is then 0. ``has_layers`` does so for some images of a batch. (The authors' code passes the photo for both,
    which makes that term a constant, ``eps``.) The arguments that all losses share stand in :mod:`mattekit.losses`,
    and so do the errors.

    Args:
        eps: See `alpha_loss`, `gradient_loss` and `composition_loss`.
        operator: See `gradient_loss`.

    Returns:
        A scalar, or the map (N, 1, H, W). Of the composition term the mean over the three channels counts.

    Raises:
        ValueError: If one of foreground and background is missing.

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
    check_pair(pred, alpha, mask)
    _check_options(eps, operator, reduction)
    layers = _layers(foreground, background, mask, has_layers, pred)
    parts = _fusion_terms(pred, alpha, layers, mask, eps, operator, reduction)
    return parts[0] + parts[1] + parts[2]


def pp_matting_loss(
    output: MattingOutput,
    alpha: Tensor,
    trimap: Tensor,
    foreground: Tensor | None = None,
    background: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    has_layers: Tensor | None = None,
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    eps: float = 1e-6,
    semantic_eps: float = 0.0,
    operator: Operator = "sobel",
    mask_inputs: bool = False,
) -> PPMattingLosses:
    """Compute all of PP-Matting's training loss.

    The arguments that all losses share stand in :mod:`mattekit.losses`, and so do the errors. Foreground and
    background may be left out, and known for some of the images only, as `fusion_loss` says.

    Args:
        output: What the network returns: an object with ``alpha``, ``detail`` and ``semantic_logits``.
        weights: λ1, λ2, λ3 of the semantic, the detail and the fusion loss.
        eps: See `alpha_loss`, `gradient_loss` and `composition_loss`.
        semantic_eps: The ``eps`` of `semantic_loss`.
        operator: See `gradient_loss`.
        mask_inputs: Of the detail loss; see `gradient_loss`.

    Returns:
        The weighted total to call ``backward`` on, and its parts for logging.

    Raises:
        ValueError: If one of foreground and background is missing.

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
    check_floating("output.alpha", output.alpha)
    _check_options(eps, operator, "mean")
    semantic = semantic_loss(output.semantic_logits, trimap, mask, eps=semantic_eps)
    _check_detail(output.detail, trimap)
    check_pair(output.detail, alpha, mask, name="detail")
    check_same_shape("output.alpha", output.alpha, "alpha", alpha)
    layers = _layers(foreground, background, mask, has_layers, output.alpha)
    edges = magnitude(widen(alpha), operator, eps)
    detail_parts = _detail_terms(output.detail, alpha, trimap, mask, eps, operator, mask_inputs, "mean", edges)
    fusion_parts = _fusion_terms(output.alpha, alpha, layers, mask, eps, operator, "mean", edges)
    detail, fusion = detail_parts[0] + detail_parts[1], fusion_parts[0] + fusion_parts[1] + fusion_parts[2]
    total = weights[0] * semantic + weights[1] * detail + weights[2] * fusion
    return PPMattingLosses(total, semantic, detail, fusion, *detail_parts, *fusion_parts)


_Layers = tuple[Tensor, Tensor, Tensor | None]
"""Foreground, background, and the mask of where they are known and count."""


def _check_detail(detail: Tensor, trimap: Tensor) -> None:
    check_nchw("detail", detail, 1)
    check_floating("detail", detail)
    check_trimap(trimap, "detail", detail)


def _check_options(eps: float, operator: Operator, reduction: Reduction) -> None:
    check_eps(eps)
    check_choice("operator", operator, ("sobel", "gaussian"))
    check_reduction(reduction)


def _layers(
    foreground: Tensor | None, background: Tensor | None, mask: Tensor | None, has_layers: Tensor | None, pred: Tensor
) -> _Layers | None:
    if foreground is None and background is None:
        return None
    if foreground is None or background is None:
        missing = "background" if background is None else "foreground"
        raise ValueError(f"foreground and background must be given together or not at all, got no {missing}")
    known = with_layers(mask, has_layers, pred)
    check_layers(foreground, background, known, pred)
    return foreground, background, known


def _detail_terms(
    detail: Tensor,
    alpha: Tensor,
    trimap: Tensor,
    mask: Tensor | None,
    eps: float,
    operator: Operator,
    mask_inputs: bool,
    reduction: Reduction,
    edges: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    unknown = trimap == UNKNOWN
    weights = (unknown if mask is None else unknown * mask).to(widen(detail).dtype)
    return (
        alpha_term(detail, alpha, weights, eps, reduction),
        gradient_term(detail, alpha, weights, operator, mask_inputs, eps, reduction, edges),
    )


def _fusion_terms(
    pred: Tensor,
    alpha: Tensor,
    layers: _Layers | None,
    mask: Tensor | None,
    eps: float,
    operator: Operator,
    reduction: Reduction,
    edges: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    alpha_part = alpha_term(pred, alpha, mask, eps, reduction)
    gradient_part = gradient_term(pred, alpha, mask, operator, False, eps, reduction, edges)
    if layers is None:
        return alpha_part, gradient_part, alpha_part.new_zeros(())
    foreground, background, known = layers
    composition_part = composition_term(pred, alpha, foreground, background, known, eps, reduction)
    if reduction == "none":
        composition_part = composition_part.mean(1, keepdim=True)
    elif reduction == "sum":
        composition_part = composition_part / foreground.shape[1]
    return alpha_part, gradient_part, composition_part

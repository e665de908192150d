"""The composition loss: equations 10 and 11."""

import torch
from torch import Tensor

from mattekit._checks import check_floating, check_nchw, check_unit
from mattekit.compositing import check_fits
from mattekit.losses._common import Reduction, check_eps, check_pair, check_reduction, reduce, widen, within
from mattekit.losses._filters import root


def composition_loss(
    pred: Tensor,
    alpha: Tensor,
    foreground: Tensor,
    background: Tensor,
    mask: Tensor | None = None,
    *,
    has_layers: Tensor | None = None,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compare the images that two mattes compose from the true foreground and background.

    The image of the true matte is composed too, so that the loss is zero (to ``eps``) for a perfect prediction even
    where the photo at hand was rounded, blurred or noised after it was composed. The arguments that all losses share
    stand in :mod:`mattekit.losses`, and so do the errors.

    Args:
        eps: The loss at equality.

    Returns:
        A scalar, or the map (N, 3, H, W). The mean is over the three channels, too.

    Source:
        Equations 10 and 11 of Chen et al. 2022, which sum over pixels and leave the channels open; here and in the
        authors' code it is the mean over both. The code has sqrt(d² + 1e-6): ``eps=1e-3`` gives its numbers.

    Example:
        >>> import torch
        >>> from mattekit.losses import composition_loss
        >>> pred, alpha = torch.full((1, 1, 2, 2), 0.5), torch.ones(1, 1, 2, 2)
        >>> white, grey = torch.ones(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.6)
        >>> composition_loss(pred, alpha, white, grey)
        tensor(0.2000)
    """
    check_pair(pred, alpha, mask)
    mask = with_layers(mask, has_layers, pred)
    check_layers(foreground, background, mask, pred)
    check_eps(eps)
    check_reduction(reduction)
    return composition_term(pred, alpha, foreground, background, mask, eps, reduction)


def with_layers(mask: Tensor | None, has_layers: Tensor | None, pred: Tensor) -> Tensor | None:
    """The mask, empty in the images whose foreground and background are not known."""
    if has_layers is None:
        return mask
    if not isinstance(has_layers, Tensor) or has_layers.dtype != torch.bool:
        kind = has_layers.dtype if isinstance(has_layers, Tensor) else type(has_layers).__name__
        raise TypeError(f"has_layers must be a bool tensor, got {kind}")
    if has_layers.shape != pred.shape[:1]:
        raise ValueError(f"has_layers must have shape {tuple(pred.shape[:1])}, got {tuple(has_layers.shape)}")
    known = has_layers.to(pred.device).view(-1, 1, 1, 1).expand(-1, 1, *pred.shape[2:])
    return known if mask is None else mask * known


def check_layers(foreground: Tensor, background: Tensor, mask: Tensor | None, pred: Tensor) -> None:
    """Check that foreground and background fit a matte, and lie in [0, 1] within the mask."""
    for name, image in (("foreground", foreground), ("background", background)):
        check_nchw(name, image, 3)
        check_floating(name, image)
        check_fits(name, image, pred, "pred")
        if image.shape[0] not in (1, pred.shape[0]):  # a mean divides by the area of pred's mask
            raise ValueError(f"{name} must hold 1 image or as many as pred, {pred.shape[0]}, got {image.shape[0]}")
        check_unit(name, image, mask)


def composition_term(
    pred: Tensor,
    alpha: Tensor,
    foreground: Tensor,
    background: Tensor,
    mask: Tensor | None,
    eps: float,
    reduction: Reduction,
) -> Tensor:
    """`composition_loss` of what has been checked."""
    # αF + (1 - α)B of the one matte less that of the other is the product of these
    mattes, layers = within(mask, widen(pred) - widen(alpha), widen(foreground) - widen(background))
    return reduce(root(eps, mattes * layers), mask, reduction)

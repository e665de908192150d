"""The composition loss: equations 10 and 11."""

from torch import Tensor

from mattekit._checks import check_nchw
from mattekit.compositing import check_fits, composite
from mattekit.losses._common import Reduction, charbonnier, check_pair, reduce, widen, within


def composition_loss(
    pred: Tensor,
    alpha: Tensor,
    foreground: Tensor,
    background: Tensor,
    mask: Tensor | None = None,
    *,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compare the images that two mattes compose from the true foreground and background.

    The image of the true matte is composed here, so that the loss is zero (to ``eps``) for a perfect prediction even
    where the photo at hand was rounded, blurred or noised after it was composed.

    Args:
        pred: Predicted alpha, (N, 1, H, W) in [0, 1].
        alpha: True alpha, likewise.
        foreground: True foreground colours, (N, 3, H, W) in [0, 1].
        background: True background colours, likewise.
        mask: (N, 1, H, W), bool, or floating-point weights from 0 up; None takes every pixel.
        eps: The loss at equality.
        reduction: ``"mean"`` over the mask's area and the three channels, ``"sum"``, or ``"none"`` for the masked map
            (N, 3, H, W).

    Returns:
        A scalar, or the map; float32, or float64 where an input is.

    Raises:
        TypeError: If something is not a floating-point tensor, or the mask is an integer one.
        ValueError: If a shape, ``eps`` or ``reduction`` is wrong.

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
    for name, image in (("foreground", foreground), ("background", background)):
        check_nchw(name, image, 3)
        check_fits(name, image, pred, "pred")
    pred, alpha, foreground, background = within(mask, *map(widen, (pred, alpha, foreground, background)))
    composed = composite(foreground, background, pred)
    true = composite(foreground, background, alpha)
    return reduce(charbonnier(composed - true, eps), mask, reduction)

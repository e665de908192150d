"""The semantic loss L_s: equation 4."""

from torch import Tensor

from mattekit._checks import check_floating, check_nchw, check_nonnegative
from mattekit.losses._common import Reduction, check_mask, check_trimap, reduce, widen, within
from mattekit.trimap import to_classes


def semantic_loss(
    semantic_logits: Tensor,
    trimap: Tensor,
    mask: Tensor | None = None,
    *,
    eps: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy between three class scores and a trimap.

    Args:
        semantic_logits: Scores before the softmax, (N, 3, H, W): foreground, transition, background.
        trimap: uint8 of 0, 128 and 255, (N, 1, H, W). Its values are not looked at here: `mattekit.trimap.validate` is
            for that, once, where it is read. What is neither 0 nor 255 counts as transition.
        mask: (N, 1, H, W), bool, or floating-point weights from 0 up; None takes every pixel.
        eps: Added to the probability inside the logarithm, which bounds a pixel's loss by -log(eps). The default, 0,
            needs no bound: the logarithm is taken before the softmax can round to 0. A pixel whose class is certain
            has a loss of -log(1 + eps) then, a little below 0.
        reduction: ``"mean"`` over the mask's area, ``"sum"`` as in the equation, or ``"none"`` for the masked map
            (N, 1, H, W).

    Returns:
        A scalar, or the map; float32, or float64 where the scores are.

    Raises:
        TypeError: If the scores are not floating-point, the trimap is not uint8 or the mask is an integer one.
        ValueError: If a shape, ``eps`` or ``reduction`` is wrong.

    Source:
        Equation 4 of Chen et al. 2022. The authors' code takes the mean of -log(p + 1e-6): ``eps=1e-6``.

    Example:
        >>> import torch
        >>> from mattekit.losses import semantic_loss
        >>> trimap = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 1, 1, 3)
        >>> semantic_loss(torch.zeros(1, 3, 1, 3), trimap)  # log 3
        tensor(1.0986)
    """
    check_nchw("semantic_logits", semantic_logits, 3)
    check_floating("semantic_logits", semantic_logits)
    check_trimap(trimap, "semantic_logits", semantic_logits)
    check_mask(mask, semantic_logits)
    check_nonnegative("eps", eps)
    (logits,) = within(mask, widen(semantic_logits))
    log_p = logits.log_softmax(1).gather(1, to_classes(trimap))
    if eps:
        log_p = (log_p.exp() + eps).log()
    return reduce(-log_p, mask, reduction)

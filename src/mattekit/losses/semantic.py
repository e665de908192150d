"""The semantic loss L_s: equation 4."""

from torch import Tensor

from mattekit._checks import check_floating, check_nchw, check_nonnegative
from mattekit.losses._common import Reduction, check_mask, check_reduction, check_trimap, reduce, widen, within
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

    The arguments that all losses share stand in :mod:`mattekit.losses`, and so do the errors.

    Args:
        semantic_logits: Scores before the softmax, (N, 3, H, W): foreground, transition, background.
        eps: Added to the probability inside the logarithm, which bounds a pixel's loss by -log(eps). The default, 0,
            needs no bound: the logarithm is taken before the softmax can round to 0. A pixel whose class is certain
            has a loss of -log(1 + eps) then, a little below 0.

    Returns:
        A scalar, or the map (N, 1, H, W).

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
    check_reduction(reduction)
    (logits,) = within(mask, widen(semantic_logits))
    log_p = logits.log_softmax(1).gather(1, to_classes(trimap))
    if eps:
        log_p = (log_p.exp() + eps).log()
    return reduce(-log_p, mask, reduction)

"""The alpha-prediction loss: equation 7."""

from torch import Tensor

from mattekit.losses._common import Reduction, check_eps, check_pair, check_reduction, reduce, widen, within
from mattekit.losses._filters import root


def alpha_loss(
    pred: Tensor, alpha: Tensor, mask: Tensor | None = None, *, eps: float = 1e-6, reduction: Reduction = "mean"
) -> Tensor:
    """Compare two mattes by the differentiable absolute difference sqrt(d² + ε²).

    The arguments that all losses share stand in :mod:`mattekit.losses`, and so do the errors.

    Args:
        eps: The loss at equality, and the error below which it is quadratic rather than linear.

    Returns:
        A scalar, or the map (N, 1, H, W).

    Source:
        Equation 7 of Chen et al. 2022, there summed over pixels. The authors' code has sqrt(d² + 1e-6) where the paper
        has sqrt(d² + ε²) with ε = 1e-6; ``eps=1e-3`` gives the code's numbers.

    Example:
        >>> import torch
        >>> from mattekit.losses import alpha_loss
        >>> pred, alpha = torch.tensor([0.5, 1.0]).view(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
        >>> alpha_loss(pred, alpha)
        tensor(0.7500)
        >>> alpha_loss(pred, alpha, mask=pred < 1)
        tensor(0.5000)
        >>> alpha_loss(alpha, alpha, eps=1e-3)  # as the authors' code
        tensor(0.0010)
    """
    check_pair(pred, alpha, mask)
    check_eps(eps)
    check_reduction(reduction)
    return alpha_term(pred, alpha, mask, eps, reduction)


def alpha_term(pred: Tensor, alpha: Tensor, mask: Tensor | None, eps: float, reduction: Reduction) -> Tensor:
    """`alpha_loss` of what has been checked."""
    (difference,) = within(mask, widen(pred) - widen(alpha))
    return reduce(root(eps, difference), mask, reduction)

"""The alpha-prediction loss: equation 7."""

from torch import Tensor

from mattekit.losses._common import Reduction, charbonnier, check_pair, reduce, widen, within


def alpha_loss(
    pred: Tensor, alpha: Tensor, mask: Tensor | None = None, *, eps: float = 1e-6, reduction: Reduction = "mean"
) -> Tensor:
    """Compare two mattes by the differentiable absolute difference sqrt(d² + ε²).

    Args:
        pred: Predicted alpha, (N, 1, H, W) in [0, 1].
        alpha: True alpha, likewise.
        mask: (N, 1, H, W), bool, or floating-point weights from 0 up; None takes every pixel.
        eps: The loss at equality, and the error below which it is quadratic rather than linear.
        reduction: ``"mean"`` over the mask's area, ``"sum"``, or ``"none"`` for the masked map (N, 1, H, W).

    Returns:
        A scalar, or the map; float32, or float64 where an input is.

    Raises:
        TypeError: If a matte is not a floating-point tensor, or the mask is an integer one.
        ValueError: If a shape, ``eps`` or ``reduction`` is wrong.

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
    (difference,) = within(mask, widen(pred) - widen(alpha))
    return reduce(charbonnier(difference, eps), mask, reduction)

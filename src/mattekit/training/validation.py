"""Validation: whole photos, predicted as users predict them, scored by the reference metrics."""

import numpy as np
import torch
from torch import nn

from mattekit.data import Source, sample_generator
from mattekit.inference import predict
from mattekit.metrics import MSE, SAD, ConnectivityError, GradientError


def validate(
    model: nn.Module, source: Source, *, rank: int = 0, processes: int = 1, device: torch.device | str = "cpu"
) -> dict[str, float]:
    """Score a model on all samples of a source: SAD, MSE, Grad and Conn of the whole image, means over images.

    Args:
        model: As `mattekit.inference.predict` takes it; it is left in the mode it is in.
        source: Samples of any sizes.
        rank: Which of the processes this is: it takes its share of the samples.
        processes: How many processes there are. All of them get the scores of all samples.
        device: Where processes exchange their scores.

    Returns:
        The scores by name: ``SAD``, ``MSE``, ``Grad`` and ``Conn``; SAD, Grad and Conn in thousands.

    Example:
        >>> from mattekit.data import SyntheticMattes
        >>> from mattekit.models import pp_matting
        >>> validate(pp_matting("hrnet_w18_small_v1"), SyntheticMattes(size=64, length=2)).keys()
        dict_keys(['SAD', 'MSE', 'Grad', 'Conn'])
    """
    metrics = {"SAD": SAD(), "MSE": MSE(), "Grad": GradientError(), "Conn": ConnectivityError()}
    for metric in metrics.values():
        metric.to(device)
    for index in range(rank, len(source), processes):
        sample = source(index, sample_generator(0, 0, index))
        alpha = predict(model, photo(sample.image))
        for metric in metrics.values():
            metric.update(alpha, sample.alpha)
    return {name: float(metric.compute()) for name, metric in metrics.items()}


def photo(image: np.ndarray) -> np.ndarray | torch.Tensor:
    """A sample's image as `predict` takes it."""
    return image if image.dtype == np.uint8 else torch.from_numpy(image).permute(2, 0, 1)

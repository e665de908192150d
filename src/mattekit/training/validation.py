"""Validation: whole photos, predicted as users predict them, scored by the reference metrics."""

import warnings
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import nn
from torchmetrics import SumMetric

from mattekit.data import Sample, SampleError, Source, sample_generator
from mattekit.inference import predict
from mattekit.metrics import MSE, SAD, ConnectivityError, GradientError


def validate(
    model: nn.Module,
    source: Source,
    *,
    rank: int = 0,
    processes: int = 1,
    device: torch.device | str = "cpu",
    skip_errors: bool = False,
) -> dict[str, float]:
    """Score a model on all samples of a source: SAD, MSE, Grad and Conn of the whole image, means over images.

    Args:
        model: As `mattekit.inference.predict` takes it; it is left in the mode it is in.
        source: Samples of any sizes.
        rank: Which of the processes this is: it takes its share of the samples.
        processes: How many processes there are. All of them get the scores of all samples.
        device: Where processes exchange their scores.
        skip_errors: Leave samples out that cannot be read, with a warning that counts and names them.

    Returns:
        The scores by name, ``SAD``, ``MSE``, ``Grad`` and ``Conn``; SAD, Grad and Conn in thousands.

    Raises:
        mattekit.data.SampleError: If a sample cannot be read, which is named; with ``skip_errors``, if none can.

    Example:
        >>> from mattekit.data import SyntheticMattes
        >>> from mattekit.models import pp_matting
        >>> validate(pp_matting("hrnet_w18_small_v1"), SyntheticMattes(size=64, length=2)).keys()
        dict_keys(['SAD', 'MSE', 'Grad', 'Conn'])
    """
    metrics = {"SAD": SAD(), "MSE": MSE(), "Grad": GradientError(), "Conn": ConnectivityError()}
    images = SumMetric()
    for metric in (*metrics.values(), images):
        metric.to(device)
    images.update(0)
    for sample in read(source, range(rank, len(source), processes), skip_errors=skip_errors):
        alpha = predict(model, photo(sample.image))
        images.update(1)
        for metric in metrics.values():
            metric.update(alpha, sample.alpha)
    if not images.compute():
        raise SampleError(f"none of the {len(source)} validation samples can be read")
    return {name: float(metric.compute()) for name, metric in metrics.items()}


def read(source: Source, indices: Iterable[int], *, skip_errors: bool) -> Iterator[Sample]:
    """The samples of some indices.

    Raises:
        SampleError: If one cannot be read; with ``skip_errors`` there is a warning in the end instead.
    """
    skipped = []
    for index in indices:
        try:
            sample = source(index, sample_generator(0, 0, index))
        except Exception as error:
            message = f"validation sample {index}: {type(error).__name__}: {error}"
            if not skip_errors:
                raise SampleError(message) from error
            skipped.append(message)
        else:
            yield sample
    if skipped:
        lines = "".join(f"\n  {line}" for line in skipped)
        warnings.warn(f"left out, as they cannot be read: {len(skipped)} samples{lines}", stacklevel=2)


def photo(image: np.ndarray) -> np.ndarray | torch.Tensor:
    """A sample's image as `predict` takes it."""
    return image if image.dtype == np.uint8 else torch.from_numpy(image).permute(2, 0, 1)

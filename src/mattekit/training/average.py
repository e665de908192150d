"""The moving average of the weights."""

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(step: nn.Module, decay: float) -> AveragedModel:
    """A copy of a step whose weights and batch statistics follow it with a decay.

    The weights after the first step are taken as they are. From the second on the decay is 2/11, 3/12, 4/13 and so on,
    up to its value, so that what the network was before it learned is soon forgotten.
    """

    def follow(averages: list[Tensor], values: list[Tensor], count: Tensor) -> None:
        keep = min(decay, (1 + int(count)) / (10 + int(count)))
        for average, value in zip(averages, values, strict=True):
            average.lerp_(value, 1 - keep) if average.is_floating_point() else average.copy_(value)

    average = AveragedModel(step, multi_avg_fn=follow, use_buffers=True)  # pyright: ignore[reportArgumentType]
    return average.requires_grad_(False)

"""One process or many: Accelerate's, with what the loop needs of it."""

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed
from torch import nn

if TYPE_CHECKING:
    from accelerate import Accelerator


def start() -> "Accelerator":
    """Join the processes that were launched together, or be alone.

    Raises:
        ImportError: If Accelerate is not installed.
    """
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ImportError("training needs Accelerate: pip install accelerate") from error
    # precision is the settings' alone: a launcher's must not change what a run computes
    return Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")


def distribute(accelerator: "Accelerator", step: nn.Module, *, sync_batch_norm: bool) -> nn.Module:
    """The step as every process is to call it; its parameters remain the same objects."""
    if accelerator.num_processes == 1:
        return step
    if sync_batch_norm and accelerator.device.type == "cuda":
        step = nn.SyncBatchNorm.convert_sync_batchnorm(step)
    return accelerator.prepare_model(step)


def finish() -> None:
    """Leave the other processes, if there are any."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def gathered(accelerator: "Accelerator", value: Any) -> list[Any]:
    """A value of each process, in all of them."""
    from accelerate.utils import gather_object

    return gather_object([value])

"""The network as it is exported: folded as `mattekit.inference.prepare` folds, computed whole."""

import copy

import torch
from torch import Tensor, nn

from mattekit.inference import prepare
from mattekit.models import PPMatting, PPMattingOutput

MAPS = PPMattingOutput._fields
INPUT = "image"
EXAMPLE = (2, 3, 64, 96)
"""The image that is traced: a side of 32 would leave features of one pixel, which torch.export takes for good."""


def reference_of(model: PPMatting) -> PPMatting:
    """A copy on the CPU in float32: what an export must equal.

    Raises:
        TypeError: If ``model`` is no `PPMatting`.
        ValueError: If it is in training mode.
    """
    if not isinstance(model, PPMatting):
        raise TypeError(f"model must be a PPMatting, got {type(model).__name__}")
    if any(module.training for module in model.modules()):
        raise ValueError("model must be in evaluation mode, got one in training mode: call model.eval() first")
    copied = copy.deepcopy(model).requires_grad_(False).cpu().float()
    _compute_whole(copied)
    return copied


def folded(network: PPMatting) -> nn.Module:
    """A copy with its batch norms folded, computed in one piece, which returns the three maps as a plain tuple."""
    ready = prepare(network).network.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    _compute_whole(ready)
    return _Maps(ready)


class _Maps(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(image))


def _compute_whole(network: nn.Module) -> None:
    """Have nothing computed in tiles: a file has no cache to cut for."""
    for module in network.modules():
        if hasattr(module, "tile_bytes"):
            vars(module)["tile_bytes"] = None

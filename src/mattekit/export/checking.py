"""Whether a file computes what the network does, at sizes that were not traced; and what is told of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mattekit.models import PPMattingOutput

SIZES = ((1, 3, 96, 160), (2, 3, 101, 75))
"""The images that every export is checked with: odd multiples of 32, and sides that 32 does not divide."""

Run = Callable[[np.ndarray], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        path: The file.
        outputs: Names of what it returns, in order.
        difference: The largest difference from the network's own numbers that the check found.
        metadata: What the file says of itself: strings by name.
        bytes: Its length.
    """

    path: Path
    outputs: tuple[str, ...]
    difference: float
    metadata: dict[str, str]
    bytes: int


@torch.no_grad()
def check_against(network: nn.Module, run: Run, outputs: Sequence[str], tolerance: float) -> float:
    """Run a file beside the network and return the largest difference.

    Args:
        network: What returns the network's maps.
        run: Takes an image, (N, 3, H, W) float32, and returns what the file does.
        outputs: Names of what it returns.
        tolerance: The largest difference allowed: of maps in [0, 1], and of logits over the largest of them, or 1.

    Raises:
        RuntimeError: If it is larger, with the figure.
    """
    largest, generator = 0.0, torch.Generator().manual_seed(0)
    for size in SIZES:
        image = torch.rand(size, generator=generator)
        expected = PPMattingOutput(*network(image))
        try:
            returned = run(image.numpy())
        except Exception as error:  # each runtime has its own
            raise RuntimeError(f"the exported file does not run at {size}, and was not written: {error}") from error
        for name, actual in zip(outputs, returned, strict=True):
            difference = _difference(name, actual, expected)
            largest = max(largest, difference)
            if not difference <= tolerance:
                raise RuntimeError(
                    f"the exported file's {name} must equal the network's to {tolerance:g}, got {difference:.2g} at "
                    f"{size}; the file was not written"
                )
    return largest


def _difference(name: str, actual: np.ndarray, expected: PPMattingOutput) -> float:
    own = getattr(expected, name).numpy()
    if actual.shape != own.shape or not np.isfinite(actual).all():
        return float("inf")
    apart = np.abs(actual - own)
    if name == "semantic_logits":
        return float(apart.max() / max(np.abs(own).max(), 1))
    if name == "alpha":  # where two classes tie, rounding decides between them, and alpha jumps
        apart = apart[~_ties(expected.semantic_logits).numpy()]
    return float(apart.max(initial=0))


def _ties(logits: torch.Tensor) -> torch.Tensor:
    """Pixels, (N, 1, H, W), whose two likeliest classes float32 cannot tell apart."""
    first, second = logits.topk(2, dim=1).values.split(1, dim=1)
    return first - second < 1e-4 * logits.abs().max()

"""Photos too large to be computed at once: which windows, and their results joined."""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from mattekit.models.pp_matting import Encoded, PPMattingOutput
from mattekit.windows import Window

WINDOW_PIXELS = 2048 * 2048
"""The most pixels that are decoded at once, where nothing else is said."""

BYTES_HELD = 88
"""Memory that a pixel of the photo takes throughout: image, the results, and features at 1/4, in float32."""

BYTES_IN_WINDOW, BYTES_IN_WINDOW_UNTILED = 224, 3000
"""Memory that a pixel of the window takes beside that, computed in tiles, and at once."""

_LEAST_WINDOW = 128 * 128


class Decoder(Protocol):
    """What can compute an image window by window, as `mattekit.models.PPMatting` and its prepared copy can."""

    def encode(self, image: Tensor) -> Encoded:
        """Compute what needs the whole image."""
        ...

    def decode(self, encoded: Encoded, window: Window | None = None) -> PPMattingOutput:
        """Compute the rest for a window."""
        ...


def pixels_within(max_memory: int, size: Sequence[int], *, tiled: bool) -> int:
    """Return how many pixels a window may have for a photo of this size to take so many bytes of memory.

    Raises:
        ValueError: If no window is small enough.
    """
    held, each = BYTES_HELD * size[0] * size[1], BYTES_IN_WINDOW if tiled else BYTES_IN_WINDOW_UNTILED
    least = held + _LEAST_WINDOW * each
    if max_memory < least:
        raise ValueError(f"max_memory must be at least {least:,} for {size[0]}×{size[1]} pixels, got {max_memory:,}")
    return (max_memory - held) // each


def windows_of(size: Sequence[int], pixels: int) -> Iterator[Window]:
    """Cut an image into windows of about one size, each of at most so many pixels, or few more."""
    height, width = size
    columns = math.ceil(width / math.isqrt(pixels)) if height * width > pixels else 1
    step = math.ceil(width / columns)
    rows = math.ceil(height / (pixels // step))
    for top in range(0, height, math.ceil(height / rows)):
        for left in range(0, width, step):
            yield Window(top, left, min(math.ceil(height / rows), height - top), min(step, width - left))


def decode_in_windows(model: Decoder, image: Tensor, pixels: int) -> Iterator[tuple[Window, PPMattingOutput]]:
    """Compute an image, (N, 3, H, W), in windows of at most so many pixels."""
    encoded = model.encode(image)
    for window in windows_of(image.shape[-2:], pixels):
        yield window, model.decode(encoded, window)


def join(parts: Iterator[tuple[Window, PPMattingOutput]], size: Sequence[int]) -> PPMattingOutput:
    """Join what windows gave."""
    whole: list[Tensor] = []
    for (top, left, height, width), output in parts:
        if not whole:
            whole = [torch.empty((*x.shape[:2], *size), dtype=x.dtype, device=x.device) for x in output]
        for joined, x in zip(whole, output, strict=True):
            joined[:, :, top : top + height, left : left + width] = x
    return PPMattingOutput(*whole)

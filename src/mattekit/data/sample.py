"""What a sample is: a photo, its matte, and whatever else its source knows."""

from dataclasses import dataclass

import numpy as np

PICTURES = ("image", "foreground", "background")
"""The fields that hold colours."""


@dataclass(frozen=True)
class Sample:
    """A photo with its matte. What the source does not know is None.

    Args:
        image: The photo, (H, W, 3) RGB, uint8 or float32 in [0, 1].
        alpha: Its matte, (H, W) float32 in [0, 1].
        foreground: The foreground's colours, of the image's shape and type.
        background: The background's colours, of the image's shape and type.
        trimap: (H, W) uint8: 0 background, 128 unknown, 255 foreground.
        name: What errors and logs call it.

    Raises:
        TypeError: If a field is no array, or of another type.
        ValueError: If a field has another shape.

    Example:
        >>> grey = np.full((2, 3, 3), 128, np.uint8)
        >>> sample = Sample(grey, np.ones((2, 3), np.float32), name="grey")
        >>> sample.size, sample.has_layers
        ((2, 3), False)
    """

    image: np.ndarray
    alpha: np.ndarray
    foreground: np.ndarray | None = None
    background: np.ndarray | None = None
    trimap: np.ndarray | None = None
    name: str = ""

    def __post_init__(self) -> None:
        for field in (*PICTURES, "alpha", "trimap"):
            value = getattr(self, field)
            if value is None and field not in ("image", "alpha"):
                continue
            if not isinstance(value, np.ndarray):
                raise TypeError(f"{field} must be a numpy.ndarray, got {type(value).__name__}")
            self._check(field, value)

    def _check(self, field: str, value: np.ndarray) -> None:
        if field == "image":
            types, shape = (np.uint8, np.float32), (*value.shape[:2], 3)
        elif field in PICTURES:
            types, shape = (self.image.dtype,), self.image.shape
        else:
            types, shape = (np.float32,) if field == "alpha" else (np.uint8,), self.size
        if value.shape != shape or value.size == 0:
            wanted = "(H, W, 3)" if field == "image" else f"{shape} as image has it"
            raise ValueError(f"{field} must have shape {wanted} and at least one pixel, got {value.shape}")
        if value.dtype not in types:
            wanted = " or ".join(np.dtype(kind).name for kind in types)
            raise TypeError(f"{field} must be {wanted}, got {value.dtype}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def has_layers(self) -> bool:
        """Whether foreground and background are both known."""
        return self.foreground is not None and self.background is not None

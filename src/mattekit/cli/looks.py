"""How mattes and cut-outs look: their depth, their format, and what stands behind a cut-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

    from mattekit.photos import Photo


@dataclass(frozen=True)
class Look:
    """What is made of a photo and its matte.

    Attributes:
        suffix: That of the format.
        bits: 8 or 16 a channel; None: as many as the photo has, and the format can hold.
        background: What a cut-out is laid over, an image of 8 bits, or of one pixel where it is a colour, without
            alpha; None: nothing, so that the matte is its alpha channel.
    """

    suffix: str
    bits: Literal[8, 16] | None
    background: Photo | None

    def encode(self, kind: str, photo: Photo, alpha: np.ndarray) -> bytes:
        """The file of a kind, ``alpha`` or ``cutout``, of a photo and its matte, (H, W) float32 in [0, 1]."""
        from mattekit.photos.writing import SUFFIXES_OF_16_BITS, encode

        is_deep = photo.pixels.dtype.itemsize == 2 and self.suffix in SUFFIXES_OF_16_BITS
        bits = self.bits or (16 if is_deep else 8)
        if kind == "alpha":
            return encode(f"photo{self.suffix}", _in_bits(alpha, bits))
        pixels = self._cut_out(photo, alpha, bits)
        return encode(f"photo{self.suffix}", pixels, icc_profile=photo.icc_profile)

    def _cut_out(self, photo: Photo, alpha: np.ndarray, bits: Literal[8, 16]) -> np.ndarray:
        """With the subject's own colours: RGBA, or RGB over the background, by the photo's profile."""
        import numpy as np

        from mattekit.foreground import estimate_foreground
        from mattekit.photos.decoding import to_profile
        from mattekit.photos.reading import to_bits

        colours = to_bits(estimate_foreground(photo.pixels, alpha), bits)
        if self.background is None:
            return np.dstack([colours, _in_bits(alpha, bits)])
        behind = _covering(self.background.pixels, colours.shape[:2])
        behind = to_bits(to_profile(behind, self.background.icc_profile, photo.icc_profile), bits)
        mixed = behind + (colours.astype(np.float32) - behind) * alpha[..., None]
        return np.rint(mixed).astype(colours.dtype)


def read_background(text: str) -> Photo:
    """A colour by name or number, in sRGB, as an image of one pixel; or the image of a file. Of 8 bits, without alpha.

    Raises:
        ValueError: If it is neither.
    """
    import numpy as np
    from PIL import ImageColor

    from mattekit.photos import Photo, read_photo
    from mattekit.photos.reading import to_bits

    try:
        return Photo(np.array([[ImageColor.getrgb(text)[:3]]], np.uint8), None, None)
    except ValueError:
        pass
    try:
        photo = read_photo(text)
        return Photo(to_bits(photo.pixels, 8), None, photo.icc_profile)
    except OSError as error:
        raise ValueError(
            f"--background must be a colour, such as white or '#20a040', or an image, got {text}: {error}"
        ) from error


def _in_bits(alpha: np.ndarray, bits: int) -> np.ndarray:
    import numpy as np

    return np.rint(alpha * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def _covering(background: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The background's middle, scaled until it covers a photo of this size; of one pixel itself.

    Its proportions are kept to half a pixel of the background.
    """
    import cv2

    if background.shape[:2] == (1, 1):
        return background
    height, width = size
    scale = max(height / background.shape[0], width / background.shape[1])
    # cut first: scaled as a whole, an upright background is many times as large as a panorama
    seen = [min(max(round(side / scale), 1), whole) for side, whole in zip(size, background.shape, strict=False)]
    top, left = ((whole - side) // 2 for whole, side in zip(background.shape, seen, strict=False))
    middle = background[top : top + seen[0], left : left + seen[1]]
    return cv2.resize(middle, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)

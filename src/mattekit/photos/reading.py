"""Photos and mattes from files of any depth."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

Bits = Literal[8, 16]

_ORIENTATION = 0x0112
# EXIF's orientation, and what brings the stored pixels upright
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: np.rot90,
}


def read_image(path: str | os.PathLike[str], *, bits: Bits | None = 8) -> np.ndarray:
    """Read a photo as RGB, turned upright by its EXIF orientation; an alpha channel is dropped.

    Args:
        path: The file, of any format that Pillow reads.
        bits: 8 or 16 bits a channel, whatever the file has; None: 16 where it has more than 8, else 8.

    Returns:
        (H, W, 3), uint8 in 0..255 or uint16 in 0..65535.

    Raises:
        OSError: If the file is missing, truncated or no image.

    Example:
        >>> from importlib.resources import files
        >>> read_image(files("mattekit") / "assets" / "lemur.jpg").shape
        (440, 680, 3)
    """
    with _opened(path) as (image, deep):
        if deep is None:
            return _to_bits(np.array(ImageOps.exif_transpose(image).convert("RGB")), bits)
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1), np.asarray)
        return _to_bits(np.ascontiguousarray(turn(deep[..., :3] if deep.ndim == 3 else np.dstack([deep] * 3))), bits)


def read_matte(path: str | os.PathLike[str], *, bits: Bits | None = 8) -> np.ndarray:
    """Read a matte or trimap; of an image with colours, the first channel, as the reference does.

    Args:
        path: The file, of any format that Pillow reads.
        bits: 8 or 16 bits, whatever the file has; None: 16 where it has more than 8, else 8.

    Returns:
        (H, W), uint8 in 0..255 or uint16 in 0..65535.

    Raises:
        OSError: If the file is missing, truncated or no image; or if it has an alpha channel that is not constant, so
            that its colours are those of a cut-out.

    Example:
        >>> from importlib.resources import files
        >>> read_matte(files("mattekit") / "assets" / "lemur_alpha.png").shape
        (440, 680)
    """
    with _opened(path) as (image, deep):
        if "A" in image.getbands():
            alpha = np.asarray(image.getchannel("A")) if deep is None else deep[..., -1]
            if alpha.min() < alpha.max():
                raise ValueError("its alpha channel is not constant, so it looks like a cut-out; give its alpha alone")
        if deep is not None:
            return _to_bits(deep[..., 0] if deep.ndim == 3 else deep, bits)
        grey = (image.convert("RGB") if image.mode in ("1", "P", "PA") else image).getchannel(0)
        return _to_bits(np.array(grey), bits)


class _Opened(NamedTuple):
    """An image as Pillow has it, and its pixels as 16 bits, RGB first, where it has more than 8 a channel."""

    image: Image.Image
    deep: np.ndarray | None


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[_Opened]:
    """A decoded image. Whatever Pillow raises for a file that is none becomes an OSError."""
    try:
        with Image.open(path) as image:
            is_deep = any(";16" in str(tile) for tile in image.tile)
            image.load()
            deep = None
            if image.mode.startswith("I"):  # grey of 16 bits; convert() would clip it
                deep = np.asarray(image).astype(np.uint16)
            elif is_deep:
                deep = _decode_deep(path)
            yield _Opened(image, deep)
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(f"cannot read {os.fspath(path)!r}: {error}") from error


def _decode_deep(path: str | os.PathLike[str]) -> np.ndarray:
    """OpenCV's decoding, for colours of 16 bits, of which Pillow keeps 8."""
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("its 16 bits a channel cannot be decoded")
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


def _to_bits(pixels: np.ndarray, bits: Bits | None) -> np.ndarray:
    """Pixels as so many bits; 257 * x in 16 bits is x in 8."""
    if bits == 8 and pixels.dtype == np.uint16:
        return np.rint(pixels / 257).astype(np.uint8)
    if bits == 16 and pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * 257
    if bits not in (8, 16, None):
        raise TypeError(f"bits must be 8, 16 or None, got {bits!r}")
    return pixels

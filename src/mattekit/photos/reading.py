"""Photos and mattes from files: what a file of any kind says, or an error that tells why it says nothing certain."""

import functools
import os
from typing import Literal, NamedTuple

import numpy as np

from mattekit.photos.decoding import Decoded, Source, decode, to_srgb

Bits = Literal[8, 16]

_GREY_OR_RGB = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "I", "I;16", "I;16B", "I;16L", "F")
_GREY = 16 / 255  # how far the channels of what is grey lie apart at most


class Photo(NamedTuple):
    """A photo as its file has it, turned upright.

    Attributes:
        pixels: RGB, (H, W, 3), uint8 in 0..255, or uint16 in 0..65535 where the file has more than 8 bits; of colours
            only in PNG and TIFF, without alpha multiplied in: of others 8 bits are read.
        alpha: The file's alpha channel, (H, W), of the same type; None if it has none.
        icc_profile: The RGB colour profile of ``pixels``; None where they are sRGB, or the file does not say.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    icc_profile: bytes | None


def read_photo(path: Source) -> Photo:
    """Read a photo with all that a cut-out of it should keep: its depth, its alpha channel and its colour profile.

    Args:
        path: The file, or an open binary one that can be searched, of any format that Pillow reads, and HEIF (.heic),
            as phones write it, where pillow-heif is installed; TIFF may hold floats in [0, 1], which become 16 bits.
            What is grey becomes RGB; CMYK, and grey with a profile of its own, become sRGB, as exactly as 8 bits tell.

    Returns:
        The photo, turned upright by its EXIF orientation.

    Raises:
        OSError: If the file is missing, truncated, no image or no regular file; if it is HEIF and pillow-heif is not
            installed; if its numbers have no agreed scale: integers of 32 bits, and floats outside [0, 1]; if it is a
            TIFF of a kind that would be read wrong: of 12 bits, of 16 with the channels one after another, or in grey
            with alpha; or if it has more pixels than twice Pillow's limit, ``PIL.Image.MAX_IMAGE_PIXELS``, which the
            command line sets for photos of 500 million.

    Example:
        >>> from importlib.resources import files
        >>> photo = read_photo(files("mattekit") / "assets" / "lemur.jpg")
        >>> photo.pixels.shape, photo.pixels.dtype, photo.alpha
        ((440, 680, 3), dtype('uint8'), None)
    """
    decoded = decode(path, to_srgb)
    return Photo(decoded.colours(), decoded.alpha, decoded.icc_profile)


def read_image(path: str | os.PathLike[str], *, bits: Bits | None = 8) -> np.ndarray:
    """Read a photo's pixels as RGB, turned upright by its EXIF orientation; an alpha channel is dropped.

    Args:
        path: The file; see `read_photo`.
        bits: 8 or 16 bits a channel, whatever the file has; None: 16 where it has more than 8, else 8.

    Returns:
        (H, W, 3), uint8 in 0..255 or uint16 in 0..65535.

    Raises:
        OSError: As `read_photo` does.

    Example:
        >>> from importlib.resources import files
        >>> read_image(files("mattekit") / "assets" / "lemur.jpg").shape
        (440, 680, 3)
    """
    return to_bits(read_photo(path).pixels, bits)


def read_matte(path: str | os.PathLike[str], *, bits: Bits | None = 8) -> np.ndarray:
    """Read a matte or trimap; of an image with colours, the first channel, as the reference does.

    The numbers are taken as they are stored, whatever colour profile stands beside them.

    Args:
        path: The file; see `read_photo`.
        bits: 8 or 16 bits, whatever the file has; None: 16 where it has more than 8, else 8.

    Returns:
        (H, W), uint8 in 0..255 or uint16 in 0..65535.

    Raises:
        OSError: As `read_photo` does; and where the first channel would be a wrong matte: if there is an alpha channel
            that is not constant, so that the colours are those of a cut-out; if the image is CMYK or Lab, or a
            coloured palette; or if it holds 0 and 1 and nothing else, which as integers are black and nearly black.

    Example:
        >>> from importlib.resources import files
        >>> read_matte(files("mattekit") / "assets" / "lemur_alpha.png").shape
        (440, 680)
    """
    return to_bits(decode_matte(path).first_channel(), bits)


def decode_matte(path: str | os.PathLike[str]) -> Decoded:
    """What `read_matte` takes the first channel of, checked as it says."""
    return decode(path, _check_matte)


def read_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a rough mask, as segmenters write them: 0 and 1, 0 and 255, or a probability in 8 or 16 bits.

    Args:
        path: The file; see `read_photo`. Of an image with colours the first channel counts.

    Returns:
        (H, W) float32 in [0, 1].

    Raises:
        OSError: As `read_matte` does, but that 0 and 1 are a mask here.

    Example:
        >>> from importlib.resources import files
        >>> read_mask(files("mattekit") / "assets" / "lemur_alpha.png").max()
        np.float32(1.0)
    """
    mask = decode(path, _check_kind).first_channel()
    white = 1 if mask.max() == 1 else np.iinfo(mask.dtype).max
    return mask.astype(np.float32) / white


def has_colours(pixels: np.ndarray) -> bool:
    """Whether pixels, (H, W) or (H, W, C), are of a picture in colour, by more than the noise of a grey JPEG."""
    if pixels.ndim == 2:
        return False
    channels = np.moveaxis(pixels, -1, 0)
    spread = functools.reduce(np.maximum, channels) - functools.reduce(np.minimum, channels)
    return bool(spread.max() > _GREY * np.iinfo(pixels.dtype).max)


def to_bits(pixels: np.ndarray, bits: Bits | None) -> np.ndarray:
    """Pixels with so many bits: x in 8 is 257 * x in 16. None leaves them as they are."""
    if bits not in (8, 16, None):
        raise ValueError(f"bits must be 8, 16 or None, got {bits!r}")
    if bits == 8 and pixels.dtype == np.uint16:
        return np.rint(pixels / 257).astype(np.uint8)
    if bits == 16 and pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * 257
    return pixels


def _check_matte(decoded: Decoded) -> Decoded:
    """Raise ValueError where the first channel is no matte."""
    if _check_kind(decoded).first_channel().max() == 1:
        raise ValueError(
            "it holds 0 and 1 and nothing else, and 1 of 255 is nearly black: is it a mask? Then multiply it by 255"
        )
    return decoded


def _check_kind(decoded: Decoded) -> Decoded:
    """Raise ValueError where the image has colours that mean something, or an alpha channel that does."""
    if decoded.mode not in _GREY_OR_RGB:
        raise ValueError(f"a matte must be grey or RGB, got {decoded.mode}")
    if decoded.alpha is not None and decoded.alpha.min() < decoded.alpha.max():
        raise ValueError("its alpha channel is not constant, so it looks like a cut-out; give its alpha alone")
    if decoded.mode in ("P", "PA") and (decoded.pixels[..., 1:] != decoded.pixels[..., :1]).any():
        raise ValueError("its palette has colours, so it looks like a map of classes and no matte")
    return decoded

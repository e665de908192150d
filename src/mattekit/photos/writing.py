"""Photos, mattes and cut-outs to files."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mattekit.photos.atomic import write_atomically, write_bytes_together

SUFFIXES_OF_16_BITS = (".png", ".tif", ".tiff")


def write_image(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Write a photo, matte or cut-out in the format of the suffix, whole or not at all.

    Args:
        path: The file, with the suffix of a format that Pillow writes. Its folder is made if it is not there.
        pixels: (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, uint8; or uint16, for .png and .tif.

    Raises:
        OSError: If the file cannot be written, or its format cannot hold such pixels.
        TypeError: If ``pixels`` has another dtype.
        ValueError: If the suffix is that of no image format that Pillow writes, or ``pixels`` has another shape or no
            pixel.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "grey.png"
        >>> write_image(path, np.full((4, 6), 40000, np.uint16))
    """
    data = encode(path, pixels)
    write_atomically(path, lambda file: file.write(data))


def write_cutout(folder: str | os.PathLike[str], name: str, alpha: np.ndarray, cut: np.ndarray) -> None:
    """Write ``name_alpha.png``, a matte in [0, 1] rounded to 8 bits, and ``name_cutout.png``, an RGBA cut-out.

    Both or neither.
    """
    pictures = {"alpha": to_uint8(alpha), "cutout": cut}
    paths = {kind: Path(folder) / f"{name}_{kind}.png" for kind in pictures}
    write_bytes_together({path: encode(path, pictures[kind]) for kind, path in paths.items()})


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Pixels of floats in [0, 1] as uint8; those of uint8 as they are."""
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels.clip(0, 1) * 255).astype(np.uint8)


def encode(path: str | os.PathLike[str], pixels: np.ndarray, *, icc_profile: bytes | None = None) -> bytes:
    """What `write_image` writes; it says the errors. A profile goes along where the format can hold it."""
    suffix = Path(path).suffix.lower()
    if pixels.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"pixels must be uint8 or uint16, got {pixels.dtype}")
    if 0 in pixels.shape or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise ValueError(
            f"pixels must have shape (H, W), (H, W, 3) or (H, W, 4) and at least one pixel, got shape {pixels.shape}"
        )
    if Image.registered_extensions().get(suffix) not in Image.SAVE:
        raise ValueError(f"the suffix must be that of an image format that Pillow writes, got {os.fspath(path)!r}")
    if pixels.dtype == np.uint16 and suffix not in SUFFIXES_OF_16_BITS:
        raise OSError(f"16 bits a channel need .png or .tif, got {suffix}")
    if suffix == ".png" or pixels.dtype == np.uint16:
        return _encode_by_opencv(suffix, pixels, icc_profile)
    return _encode(suffix, pixels, icc_profile)


_SETTINGS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True, "exact": True}}
_WITHOUT_ALPHA = ("BMP", "DIB", "GIF", "JPEG", "MPO", "PPM")  # most drop it without a word, or all but a bit of it
_ICONS = ("ICO", "ICNS")  # shrunk to 256 pixels, or squeezed into squares


def _encode(suffix: str, pixels: np.ndarray, icc_profile: bytes | None) -> bytes:
    buffer = io.BytesIO()
    kind = Image.registered_extensions()[suffix]
    if pixels.shape[2:] == (4,) and kind in _WITHOUT_ALPHA:
        raise OSError(f"an alpha channel needs a format that keeps it, such as .png, got {suffix}")
    if kind in _ICONS:
        raise OSError(f"{suffix} is for icons, whose sizes are fixed: take another format, such as .png")
    settings = _SETTINGS.get(kind, {}) | ({} if icc_profile is None else {"icc_profile": icc_profile})
    try:
        Image.fromarray(pixels).save(buffer, format=kind, **settings)
    except (OverflowError, ValueError) as error:  # of WebP, GIF and others, where sides are too long
        raise OSError(f"cannot encode {pixels.shape} pixels as {suffix}: {error}") from error
    return buffer.getvalue()


def _encode_by_opencv(suffix: str, pixels: np.ndarray, icc_profile: bytes | None) -> bytes:
    """For 16 bits, of which Pillow writes grey alone, and for PNG, in a fifth of the time and a tenth more bytes."""
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 1] if suffix == ".png" else []
    order = pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    ok, data = cv2.imencode(suffix, order, settings)
    if not ok:
        raise OSError(f"cannot encode {pixels.shape} pixels of {pixels.dtype} as {suffix}")
    if icc_profile is None:
        return data.tobytes()
    return (_png_with_profile if suffix == ".png" else _tiff_with_profile)(data.tobytes(), icc_profile)


def _png_with_profile(png: bytes, icc_profile: bytes) -> bytes:
    """A PNG with an iCCP chunk after its header, which is 33 bytes long."""
    body = b"iCCPICC profile\0\0" + zlib.compress(icc_profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]


def _tiff_with_profile(tiff: bytes, icc_profile: bytes) -> bytes:
    """A TIFF of one image whose directory, rewritten at the end, has an entry for the profile too."""
    order = "<" if tiff[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    entries = [tiff[start + 2 + 12 * n :][:12] for n in range(count)]
    at = len(tiff) + len(tiff) % 2  # offsets are even
    entries.append(struct.pack(f"{order}HHII", 34675, 7, len(icc_profile), at))  # InterColorProfile, UNDEFINED
    entries.sort(key=lambda entry: struct.unpack_from(f"{order}H", entry))
    profile = icc_profile + bytes(len(icc_profile) % 2)
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    return tiff[:4] + struct.pack(f"{order}I", at + len(profile)) + tiff[8:].ljust(at - 8, b"\0") + profile + directory

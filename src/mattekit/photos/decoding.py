"""Image files to arrays: Pillow where it keeps every bit, OpenCV for 16 bits in colour and for colours in floats."""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from mattekit._checks import outside_unit

Source: TypeAlias = str | os.PathLike[str] | BinaryIO
"""A path, or an open file that can be searched."""

_ORIENTATION = 0x0112
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _CHANNELS, _PLANAR, _PROFILE = 256, 257, 258, 262, 277, 284, 34675  # of TIFF
_TIFF_STARTS = (b"II*\0", b"MM\0*")
_HEIF_BRANDS = b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"
_HIGHEST = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
_ROUNDING = 1e-6  # how far a float may pass 0 or 1, as resizing and blurring leave it
_OPENING = threading.Lock()  # filters of warnings are the whole process's
if hasattr(os, "register_at_fork"):  # a forked process has the lock, but not the thread that would let go of it
    os.register_at_fork(after_in_child=lambda: globals().update(_OPENING=threading.Lock()))
_PLAIN = {"1": "L", "P": "RGB", "RGBX": "RGB"}  # Pillow's modes that are not their own pixels
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


@dataclass(frozen=True)
class Decoded:
    """What a file holds, turned upright.

    Attributes:
        pixels: (H, W) or (H, W, C) without alpha, uint8 or uint16.
        alpha: (H, W), of the same type, or None.
        mode: Pillow's word for the kind of image.
        icc_profile: The colour profile, or None.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    mode: str
    icc_profile: bytes | None

    def colours(self) -> np.ndarray:
        """(H, W, 3)."""
        return self.pixels if self.pixels.ndim == 3 else np.dstack([self.pixels] * 3)

    def first_channel(self) -> np.ndarray:
        """(H, W)."""
        return self.pixels if self.pixels.ndim == 2 else np.ascontiguousarray(self.pixels[..., 0])


def decode(path: Source, then: Callable[[Decoded], Decoded]) -> Decoded:
    """Decode a file, and let ``then`` check or convert it. Whatever goes wrong is an OSError, but a lack of memory."""
    with _opened(path) as file:
        return then(_decode(file))


def measure(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width, upright, of an image that can be read; a PNG's checksums tell that without decoding it.

    Raises:
        OSError: If it cannot be read.
    """
    with _opened(path) as file:
        if file.read(4) in _TIFF_STARTS:  # may be of a kind that Pillow does not know
            file.seek(0)
            height, width = _decode(file).pixels.shape[:2]
            return height, width
        file.seek(0)
        with _open(file) as image:
            width, height = image.size
            tagged = any(word in str(key).lower() for key in image.info for word in ("exif", "xmp"))
            if image.format == "PNG" and not tagged:
                image.verify()
                return height, width
            image.load()
            return (width, height) if _orientation(image) >= 5 else (height, width)


@contextmanager
def _opened(path: Source) -> Iterator[BinaryIO]:
    """An open file. What goes wrong in reading it is an OSError that names it, as one of opening it does anyway."""
    is_stream = hasattr(path, "read")
    with nullcontext(path) if is_stream else open_regular(cast(Path, path)) as file:
        try:
            yield cast(BinaryIO, file)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's readers raise what they like
            name = getattr(path, "name", "a stream") if is_stream else os.fspath(cast(Path, path))
            text = " ".join(str(error).split())
            if isinstance(error, Image.UnidentifiedImageError):  # it would name the file, too
                text = "cannot identify image file"
            elif isinstance(error, Image.DecompressionBombError):
                text += "; to read it from Python all the same, set PIL.Image.MAX_IMAGE_PIXELS to half of its pixels"
            raise OSError(f"cannot read {name!r}: {text}") from error


def reason(path: str | os.PathLike[str], error: BaseException) -> str:
    """What went wrong with a file, in a line that does not name it again where it stands beside its name."""
    if isinstance(error, OSError) and error.strerror and str(error).endswith(f": {os.fspath(path)!r}"):
        return error.strerror
    text = " ".join(str(error).split()) or type(error).__name__
    return text.removeprefix(f"cannot read {os.fspath(path)!r}: ")


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file to read it; OSError if it is none, such as a named pipe, which would wait for ever."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # open() says the best of folders
        raise OSError(f"{os.fspath(path)!r} is no regular file, but a pipe, a socket or a device")
    return open(path, "rb")


def to_srgb(decoded: Decoded) -> Decoded:
    """RGB of whatever has another kind of colours, by its own profile where it has one."""
    profile = decoded.icc_profile
    is_rgb = profile is None or profile[16:20] == b"RGB "
    if decoded.mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        image = Image.fromarray(decoded.pixels, decoded.mode)
        return Decoded(np.asarray(_convert(image, None if is_rgb else profile)), decoded.alpha, "RGB", None)
    if not is_rgb and (decoded.pixels.ndim == 2 or decoded.mode == "LA"):
        return Decoded(_grey_to_srgb(decoded.first_channel(), profile), decoded.alpha, "RGB", None)
    return decoded if is_rgb else Decoded(decoded.pixels, decoded.alpha, decoded.mode, None)


def to_profile(pixels: np.ndarray, profile: bytes | None, wanted: bytes | None) -> np.ndarray:
    """RGB of 8 bits, (H, W, 3), of one profile in the numbers that have the same colours by another; None is sRGB.

    Where a profile is damaged, or of another kind of colours, the numbers stay.
    """
    return pixels if profile == wanted else np.asarray(_convert(Image.fromarray(pixels), profile, wanted))


def _profile(data: bytes | None) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB") if data is None else io.BytesIO(data))


def _grey_to_srgb(grey: np.ndarray, profile: bytes | None) -> np.ndarray:
    """(H, W, 3) of (H, W): each of 256 greys by their profile, as ImageCms knows 8 bits; those of 16 lie between."""
    ramp = np.asarray(_convert(Image.fromarray(np.arange(256, dtype=np.uint8)[None]), profile))[0]
    if grey.dtype == np.uint16:
        steps = np.arange(256) * 257
        channels = [np.interp(np.arange(65536), steps, channel * 257.0) for channel in ramp.T]
        ramp = np.rint(np.stack(channels, axis=1)).astype(np.uint16)
    return ramp[grey]


def _convert(image: Image.Image, profile: bytes | None, wanted: bytes | None = None) -> Image.Image:
    if profile != wanted:
        try:
            converted = ImageCms.profileToProfile(image, _profile(profile), _profile(wanted), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):  # a profile that is damaged, or of another kind of colours
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _open(file: BinaryIO) -> ImageFile.ImageFile:
    """What Pillow finds in a file, without its warning of an image above its limit; beyond twice that it refuses."""
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(file)
        except Image.UnidentifiedImageError:
            file.seek(0)
            if file.read(12)[4:] not in [b"ftyp" + brand for brand in _HEIF_BRANDS]:
                raise
            _register_heif()
            return Image.open(file)


def _register_heif() -> None:
    """Have Pillow read HEIF from now on; ValueError where nothing is installed that can."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise ValueError(
            "it is HEIF (.heic), as phones write it: pip install pillow-heif to read it, or save it as JPEG or PNG"
        ) from error
    register_heif_opener()


def _decode(file: BinaryIO) -> Decoded:
    try:
        image = _open(file)
    except Image.UnidentifiedImageError:
        file.seek(0)
        if file.read(4) not in _TIFF_STARTS:
            raise
        return _decode_foreign_tiff(file)
    with image:
        tags = image.tag_v2 if isinstance(image, TiffImageFile) else ImageFileDirectory_v2()
        _check_samples(tags)
        tiles = str(image.tile)
        image.load()
        orientation, profile = _orientation(image), image.info.get("icc_profile")
        if image.mode in ("F", "I", "I;16", "I;16B", "I;16L"):
            values = np.asarray(image)
            if image.mode == "I" and image.format in ("PNG", "PPM"):  # older Pillows' mode for 16 bits
                values = values.astype(np.uint16)
            if image.format == "HEIF":  # its bits are the highest of 16, and the lower ones 0
                values = values | values >> image.info["bit_depth"]
            pixels = _as_integers(values)
            return _upright(~pixels if tags.get(_PHOTOMETRIC) == 0 else pixels, image.mode, orientation, profile)
        if ";16" in tiles and "RGBa" not in tiles and image.mode in ("RGB", "RGBA", "LA"):  # Pillow keeps 8 bits
            pixels = _as_integers(_decode_by_opencv(file, image.size))
            pixels = pixels[..., :3] if image.mode == "RGB" else pixels  # without channels of no known meaning
            return _upright(pixels, image.mode, orientation, profile)
        if image.has_transparency_data:
            return _upright(np.asarray(image.convert("RGBA")), image.mode, orientation, profile)
        plain = image.convert(_PLAIN[image.mode]) if image.mode in _PLAIN else image
        return _upright(np.asarray(plain), image.mode, orientation, profile)


def _check_samples(tags: ImageFileDirectory_v2) -> None:
    """Raise ValueError for a TIFF whose samples Pillow and OpenCV would take for others, without a word."""
    bits = max(tags.get(_BITS, (1,)))
    if 8 < bits < 16:
        raise ValueError(f"its samples have {bits} bits: save it with 8 or 16")
    if bits > 8 and tags.get(_PLANAR) == 2 and tags.get(_CHANNELS, 1) > 1:
        raise ValueError(f"its channels of {bits} bits stand one after another: save it with the channels interleaved")


def _upright(pixels: np.ndarray, mode: str, orientation: int, profile: bytes | None) -> Decoded:
    pixels = np.require(_UPRIGHT.get(orientation, np.asarray)(pixels), requirements=["C", "W"])  # Pillow's are its own
    if pixels.ndim == 3 and pixels.shape[2] == 4 and mode != "CMYK":
        return Decoded(np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3]), mode, profile)
    return Decoded(pixels, None, mode, profile)


def _as_integers(values: np.ndarray) -> np.ndarray:
    """Samples on a scale that is certain: 8 or 16 bits as they are, floats in [0, 1] as 16 bits."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return values.astype(values.dtype.newbyteorder("="))
    if values.dtype.kind != "f":
        raise ValueError(
            f"its samples are {values.dtype.name}, which has no agreed white: save it with 8 or 16 bits, or as floats "
            "in [0, 1]"
        )
    low, high = float(values.min()), float(values.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
        raise ValueError(f"its samples are floats and must lie in [0, 1], {outside_unit(low, high)}")
    return np.rint(values.clip(0, 1) * 65535).astype(np.uint16)


def _orientation(image: Image.Image) -> int:
    return image.getexif().get(_ORIENTATION, 1)


def _decode_by_opencv(file: BinaryIO, size: tuple[int, int]) -> np.ndarray:
    file.seek(0)
    pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape[1::-1] != size:
        raise ValueError("it cannot be decoded")
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


def _decode_foreign_tiff(file: BinaryIO) -> Decoded:
    """A TIFF that Pillow does not know, such as one of floats in colour. Its size is checked before it is decoded."""
    file.seek(0)
    tags = ImageFileDirectory_v2(file.read(8))
    file.seek(tags.next)
    tags.load(file)
    width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > 2 * limit:
        raise Image.DecompressionBombError(f"{width} x {height} pixels are more than the limit of {2 * limit}")
    _check_samples(tags)
    turned = 5 <= int(tags.get(_ORIENTATION, 1)) <= 8  # OpenCV turns a TIFF upright itself
    pixels = _decode_by_opencv(file, (height, width) if turned else (width, height))
    bits, channels = max(tags.get(_BITS, (1,))), tags.get(_CHANNELS, 1)
    if (pixels.itemsize * 8, pixels.size) != (bits, width * height * channels):
        raise ValueError(f"it has {channels} channels of {bits} bits, which cannot be read: save it as PNG")
    if pixels.dtype == np.uint16 and tags.get(_PHOTOMETRIC) == 0:  # white, which OpenCV minds in other types alone
        pixels = ~pixels
    pixels = _as_integers(pixels)
    return _upright(pixels, "RGB" if pixels.ndim == 3 else "F", 1, tags.get(_PROFILE))

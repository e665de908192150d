"""Photos and mattes on disk: listing, reading, and writing that leaves a whole file or none."""

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files directly in a folder, sorted by name; hidden files are left out."""
    return sorted(
        path
        for path in Path(folder).iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a photo as (H, W, 3) uint8 RGB, turned upright by its EXIF orientation; an alpha channel is dropped.

    Raises:
        OSError: If the file is missing, truncated or no image.
    """
    with Image.open(path) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def read_matte(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a matte or trimap as (H, W) uint8; of an image with colours, the first channel, as the reference does.

    Raises:
        OSError: If the file is missing, truncated or no image.
    """
    with Image.open(path) as image:
        if image.mode.startswith("I"):  # 16 bits a pixel
            return np.round(np.asarray(image, dtype=np.float64) / 257).astype(np.uint8)
        if image.mode in ("1", "P", "PA"):
            image = image.convert("RGB")
        return np.array(image.getchannel(0))


def write_image(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Write uint8 pixels, (H, W), (H, W, 3) or (H, W, 4), in the format of the suffix, whole or not at all."""
    suffix = Path(path).suffix.lower()
    write_atomically(
        path, lambda file: Image.fromarray(pixels).save(file, format=Image.registered_extensions()[suffix])
    )


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path`` and move it into place when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def expand_folders(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Replace each folder by the images in it and keep files as they are, existing or not."""
    return [found for path in map(Path, paths) for found in (list_images(path) if path.is_dir() else [path])]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

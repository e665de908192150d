"""Photos and mattes on disk: listing, reading, and writing that leaves a whole file or none."""

import errno
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files directly in a folder, sorted by name; hidden files are left out."""
    return sorted(path for path in _visible(folder) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def count_others(folder: str | os.PathLike[str]) -> int:
    """How many entries of a folder `list_images` leaves out, hidden ones aside: sub-folders and other files."""
    return len(_visible(folder)) - len(list_images(folder))


def _visible(folder: str | os.PathLike[str]) -> list[Path]:
    return [path for path in Path(folder).iterdir() if not path.name.startswith(".")]


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a photo as (H, W, 3) uint8 RGB, turned upright by its EXIF orientation; an alpha channel is dropped.

    Raises:
        OSError: If the file is missing, truncated or no image.
    """
    with _opened(path) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def read_matte(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a matte or trimap as (H, W) uint8; of an image with colours, the first channel, as the reference does.

    Raises:
        OSError: If the file is missing, truncated or no image; or if it has an alpha channel that is not constant, so
            that its colours are those of a cut-out.
    """
    with _opened(path) as image:
        if "A" in image.getbands() and len(set(image.getchannel("A").getextrema())) > 1:
            raise ValueError("its alpha channel is not constant, so it looks like a cut-out; give its alpha alone")
        return np.array((image.convert("RGB") if image.mode in ("1", "P", "PA") else image).getchannel(0))


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """An image of 8 bits a channel. Whatever Pillow raises for a file that is none becomes an OSError."""
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode.startswith("I"):  # grey of 16 bits; convert() would clip it
                yield Image.fromarray(np.round(np.asarray(image, dtype=np.float64) / 257).astype(np.uint8))
            else:
                yield image
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(f"cannot read {os.fspath(path)!r}: {error}") from error


def write_image(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Write uint8 pixels, (H, W), (H, W, 3) or (H, W, 4), in the format of the suffix, whole or not at all."""
    suffix = Path(path).suffix.lower()
    write_atomically(
        path, lambda file: Image.fromarray(pixels).save(file, format=Image.registered_extensions()[suffix])
    )


def write_cutout(folder: str | os.PathLike[str], name: str, photo: np.ndarray, alpha: np.ndarray) -> None:
    """Write ``name_alpha.png``, a matte in [0, 1] rounded to 8 bits, and ``name_cutout.png``, the photo with it."""
    matte = np.rint(alpha * 255).astype(np.uint8)
    matte_path, cutout_path = cutout_paths(folder, name)
    write_image(matte_path, matte)
    write_image(cutout_path, np.dstack([photo, matte]))


def cutout_paths(folder: str | os.PathLike[str], name: str) -> tuple[Path, Path]:
    """The two files that `write_cutout` writes."""
    return Path(folder) / f"{name}_alpha.png", Path(folder) / f"{name}_cutout.png"


def demand_writable(path: Path) -> None:
    """Raise OSError if it shows already that no file can be written at ``path``; make nothing."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def demand_apart(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse to write over what is read, by whatever path: ValueError names both."""
    read = {identity(path): path for path in inputs}
    for path in outputs:
        if (source := read.get(identity(path))) is not None:
            raise ValueError(f"{path} must not be written, for {source} is read and would be lost")


def identity(path: Path) -> object:
    """Equal for two paths to one file or folder, which need not exist."""
    try:
        status = path.stat()
    except OSError:
        return path.resolve()
    return status.st_dev, status.st_ino


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

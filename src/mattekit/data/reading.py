"""The files of a sample, as arrays."""

from pathlib import Path

import numpy as np

from mattekit.photos import list_images, read_image, read_matte, read_photo
from mattekit.photos.reading import decode_matte, has_colours, to_bits
from mattekit.trimap import UNKNOWN, validate

read_picture = read_image


def read_alpha(path: Path, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """Read a matte of any depth as (H, W) in [0, 1].

    Raises:
        OSError: If the file is missing, truncated or no image, or is a cut-out or in colour.
    """
    decoded = decode_matte(path)
    if has_colours(decoded.pixels):
        raise OSError(f"cannot read {str(path)!r}: it has colours; a matte is grey")
    matte = decoded.first_channel()
    return matte.astype(dtype) / np.iinfo(matte.dtype).max


def read_trimap(path: Path) -> np.ndarray:
    """Read a trimap as (H, W) uint8; values beside the three, as JPEG leaves them, become the nearest.

    Raises:
        OSError: If the file is missing, truncated or no image; or if it holds two or three values, of which none would
            become unknown and two the same: that is no damage, but another number for the unknown, such as 1.
    """
    stored = read_matte(path)
    trimap = validate(stored, round=True)
    values, becoming = (np.flatnonzero(np.bincount(x.ravel(), minlength=256)) for x in (stored, trimap))
    if len(becoming) < len(values) <= 3 and UNKNOWN not in becoming:
        held = ", ".join(map(str, values))
        raise OSError(f"cannot read {str(path)!r} as a trimap: it holds {held}, and must hold 0, 128 and 255")
    return trimap


def read_cutout(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a cut-out: its colours (H, W, 3) uint8, and its alpha channel (H, W) float32 in [0, 1].

    Raises:
        OSError: If the file is missing, truncated, no image, or has no alpha channel.
    """
    photo = read_photo(path)
    if photo.alpha is None:
        raise OSError(f"cannot read {str(path)!r}: it has no alpha channel; give the folder of its mattes too")
    return to_bits(photo.pixels, 8), photo.alpha.astype(np.float32) / np.iinfo(photo.alpha.dtype).max


def images_by_stem(folder: Path, problems: list[str]) -> dict[str, Path]:
    """The images of a folder by their names without suffix; what is wrong with the folder goes to ``problems``."""
    if not folder.is_dir():
        problems.append(f"no folder: {folder}")
        return {}
    found: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in found:
            problems.append(f"ambiguous: {found[path.stem]} and {path} have one name")
        found[path.stem] = path
    if not found:
        problems.append(f"no images: {folder}")
    return found


def check_one_size(name: str, **fields: np.ndarray | None) -> None:
    """Raise ValueError unless all fields of a sample have one height and width."""
    sizes = {field: value.shape[:2] for field, value in fields.items() if value is not None}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{field} {height}x{width}" for field, (height, width) in sizes.items())
        raise ValueError(f"{name}: all files of a sample must have one size, got {shown} (height x width)")

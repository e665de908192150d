"""Samples to files."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mattekit._progress import hidden
from mattekit.data.loader import sample_generator
from mattekit.data.pairs import Folder
from mattekit.data.sample import PICTURES, Sample
from mattekit.data.sources import Source
from mattekit.photos.atomic import write_bytes_together
from mattekit.photos.writing import encode


def write_samples(source: Source, out: Folder, *, layers: bool = False, seed: int = 0, progress: bool = False) -> None:
    """Write all samples of a source as folders of PNG files, which `open_folder` opens.

    Args:
        source: The source. Its samples must have distinct names; what no file name can hold becomes ``_``, and so does
            a dot in front, which would hide the file.
        out: The folder to write to: ``image/``, ``alpha/``, and ``trimap/`` where samples have one.
        layers: Write ``foreground/`` and ``background/`` too, where samples have them.
        seed: What random sources draw from.
        progress: Show a progress bar.

    Raises:
        ValueError: If two samples have one name, or one has none.
        OSError: If a file cannot be read or written. What was written before stays, each sample whole.

    Example:
        >>> import tempfile
        >>> from mattekit.data import SyntheticMattes, open_folder
        >>> out = Path(tempfile.mkdtemp())
        >>> write_samples(SyntheticMattes(seed=0, size=32, length=2), out)
        >>> len(open_folder(out))
        2
    """
    from tqdm import tqdm

    owners: dict[str, int] = {}

    def write(index: int) -> None:
        sample = source(index, sample_generator(seed, 0, index))
        name = re.sub(r'^\.|[/\\:*?"<>|\0]', "_", sample.name)
        first = owners.setdefault(name, index)  # in one go, for several threads write
        if first != index or not name:
            of = f"samples {first} and {index}" if first != index else f"sample {index}"
            raise ValueError(f"names must be distinct and not empty, got {sample.name!r} for {of}")
        _write(sample, name, Path(out), layers)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # encoding PNG lets other threads run
        writing = pool.map(write, range(len(source)))
        for _ in tqdm(writing, "writing", len(source), unit="sample", disable=hidden(progress)):
            pass


def _write(sample: Sample, name: str, out: Path, layers: bool) -> None:
    """All files of a sample, or none."""
    fields = {field: getattr(sample, field) for field in (*(PICTURES if layers else ("image",)), "trimap")}
    pictures = {
        field: pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255).astype(np.uint8)
        for field, pixels in fields.items()
        if pixels is not None
    }
    pictures["alpha"] = _matte(sample.alpha)
    paths = {field: out / field / f"{name}.png" for field in pictures}
    write_bytes_together({path: encode(path, pictures[field]) for field, path in paths.items()})


def _matte(alpha: np.ndarray) -> np.ndarray:
    """A matte in 8 bits if these hold it exactly, else in 16."""
    eight_bit = np.rint(alpha * 255).astype(np.uint8)
    if np.array_equal(eight_bit / np.float32(255), alpha):
        return eight_bit
    return np.rint(alpha.astype(np.float64) * 65535).astype(np.uint16)

"""Weights by name: files in the package, and those that were published, downloaded on first use."""

from pathlib import Path

import torch

from mattekit.checkpoints.download import demand_whole, download
from mattekit.checkpoints.paddleseg import PublishedWeights, published
from mattekit.checkpoints.reading import Checkpoint, read_checkpoint

PACKAGED = Path(__file__).parent.parent / "weights"
"""A file NAME.safetensors in here is the weights NAME. There may be no such folder."""


def names_of_weights() -> list[str]:
    """Every name: first those of the package, then the published ones."""
    packaged = sorted(path.stem for path in PACKAGED.glob("*.safetensors"))
    return [*packaged, *(name for name in published if name not in packaged)]


def read_named(name: str, *, key: str | None = None) -> Checkpoint:
    """Read the weights of a name.

    Raises:
        RuntimeError: If they cannot be downloaded or read; of a file that is not what was downloaded the message says
            to delete it.
    """
    packaged = PACKAGED / f"{name}.safetensors"
    if packaged.exists():
        return read_checkpoint(packaged, key=key)
    record = published[name]
    path = fetch(record)
    try:
        return read_checkpoint(path, key=key)
    except RuntimeError:
        demand_whole(path, record.sha256)
        raise


def fetch(record: PublishedWeights) -> Path:
    """The file of published weights, downloaded into torch's hub folder (``TORCH_HOME``) the first time."""
    target = Path(torch.hub.get_dir()) / "checkpoints" / record.url.rsplit("/", 1)[-1]
    return download(record.url, target, length=record.length, sha256=record.sha256, check=read_checkpoint)

"""mattekit: image-matting building blocks for PyTorch.

The packages are imported on first use, so that ``import mattekit`` costs next to nothing:

>>> import mattekit
>>> mattekit.__version__.split(".")[0]
'0'
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "blocks",
    "checkpoints",
    "compositing",
    "data",
    "encoders",
    "evaluation",
    "export",
    "foreground",
    "inference",
    "losses",
    "metrics",
    "models",
    "photos",
    "training",
    "trimap",
]
_UNSTARRED = ["testing"]  # needs hypothesis, without which ``from mattekit import *`` is to work

if TYPE_CHECKING:
    from mattekit import (
        blocks,
        checkpoints,
        compositing,
        data,
        encoders,
        evaluation,
        export,
        foreground,
        inference,
        losses,
        metrics,
        models,
        photos,
        testing,  # noqa: F401
        training,
        trimap,
    )


def __getattr__(name: str):
    if name in __all__ or name in _UNSTARRED:
        return import_module(f"mattekit.{name}")
    raise AttributeError(f"module 'mattekit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_UNSTARRED]

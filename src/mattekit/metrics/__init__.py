"""Matting metrics whose numbers can be published: SAD, MSE, MAD, Grad and Conn as the MATLAB evaluation code has them.

One function a metric, :func:`evaluate` for all of them at once, and an accumulating class over each metric for loops
over a data set. `mattekit.evaluation` scores folders of files, and knows what the common benchmarks count.

Importing the package imports neither torch nor torchmetrics: the functions find torch where a tensor is passed, and the
classes bring torchmetrics with them.

>>> import numpy as np
>>> from mattekit import metrics
>>> metrics.mse(np.full((4, 4), 0.5), np.ones((4, 4)))
0.25
"""

from typing import TYPE_CHECKING

from mattekit.metrics.connectivity_error import connectivity_error
from mattekit.metrics.evaluate import Scores, evaluate
from mattekit.metrics.gradient_error import gradient_error
from mattekit.metrics.mad import mad
from mattekit.metrics.mse import mse
from mattekit.metrics.sad import sad

if TYPE_CHECKING:
    from mattekit.metrics.accumulate import MAD, MSE, SAD, ConnectivityError, GradientError

__all__ = [
    "MAD",
    "MSE",
    "SAD",
    "ConnectivityError",
    "GradientError",
    "Scores",
    "connectivity_error",
    "evaluate",
    "gradient_error",
    "mad",
    "mse",
    "sad",
]


def __getattr__(name: str):
    if name in ("MAD", "MSE", "SAD", "ConnectivityError", "GradientError"):
        from mattekit.metrics import accumulate

        return getattr(accumulate, name)
    raise AttributeError(f"module 'mattekit.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

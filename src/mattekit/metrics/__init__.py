"""Matting metrics whose numbers can be published: SAD, MSE, MAD, Grad and Conn as the MATLAB evaluation code has them.

One function a metric, :func:`evaluate` for all of them at once, an accumulating class over each for loops over a data
set (torchmetrics is imported when the first of them is asked for), and the protocols of the common benchmarks.

>>> import numpy as np
>>> from mattekit import metrics
>>> metrics.mse(np.full((4, 4), 0.5), np.ones((4, 4)))
0.25
"""

from mattekit.metrics.connectivity_error import connectivity_error
from mattekit.metrics.gradient_error import gradient_error
from mattekit.metrics.mad import mad
from mattekit.metrics.mse import mse
from mattekit.metrics.sad import sad

_CLASSES = {"SAD", "MSE", "MAD", "GradientError", "ConnectivityError"}
__all__ = [
    "connectivity_error",
    "gradient_error",
    "mad",
    "mse",
    "sad",
]

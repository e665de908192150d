"""Matting metrics whose numbers can be published: SAD, MSE, MAD, Grad and Conn as the MATLAB evaluation code has them.

One function a metric, :func:`evaluate` for all of them at once, and an accumulating class over each metric for loops
over a data set. `mattekit.evaluation` scores folders of files, and knows what the common benchmarks count.

>>> import numpy as np
>>> from mattekit import metrics
>>> metrics.mse(np.full((4, 4), 0.5), np.ones((4, 4)))
0.25

All functions share these arguments:

Args:
    pred: Predicted alpha, a tensor (N, 1, H, W) or a NumPy array (H, W): floats in [0, 1], or integers in 0..255. It is
        not written to.
    alpha: Ground-truth alpha, like `pred`; the dtype may differ.
    trimap: uint8, of the same shape: 0 background, 128 unknown, 255 foreground.
    region: The pixels that count: ``"unknown"``, ``"foreground"`` or ``"background"`` of the trimap, or ``"whole"``.
        None means unknown with a trimap and whole without.
    apply_trimap: Take the prediction as 0 and 1 where the trimap is sure, as the usual protocol does.
    check_trimap: Refuse a trimap that holds other values than the three, whose pixels would count nowhere. False counts
        128 alone as unknown, whatever else there is, as the reference does.

Returns:
    One value an image, in a float64 tensor (N,) on the device of `pred`, or a float for NumPy.

Raises:
    TypeError: If an argument is neither tensor nor array, is not what `pred` is, or has an unfit dtype.
    ValueError: If shapes, devices or ranges do not fit, if a region lacks its trimap, or if a trimap holds
        other values.

Importing the package imports neither torch nor torchmetrics: the functions find torch where a tensor is passed, and the
classes bring torchmetrics with them.
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
    if name in __all__:  # one of the classes: the functions are here
        from mattekit.metrics import accumulate

        return getattr(accumulate, name)
    raise AttributeError(f"module 'mattekit.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

"""One photo of the right size through a model: in one piece or window by window, as arrays."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mattekit._checks import check_number
from mattekit.checkpoints.description import unwrap
from mattekit.inference.pixels import to_batch, to_unit
from mattekit.inference.prepare import PreparedMatting, prepare
from mattekit.inference.windows import WINDOW_PIXELS, windows_of
from mattekit.models import PPMatting, Preprocessing
from mattekit.photos import limit_short_side
from mattekit.windows import Level, Window, declared

MULTIPLE = 32
"""Sides of the size at which a photo runs are multiples of this."""

Windows = Callable[[PPMatting, Sequence[int]], int]
"""How many pixels a window may have, for a network and a photo's size."""

_SURE_OF_TRANSITION = (-100.0, 0.0, -100.0)  # logits whose softmax is 0, 1 and 0
_MODES = threading.Condition()
_CHANGED: dict[nn.Module, int] = {}  # modules whose mode a thread has changed, and which thread


def outputs(
    model: nn.Module, pixels: np.ndarray, windows: Windows | None, *, sure: bool
) -> Iterator[tuple[Window, Any]]:
    """Run a photo, window by window where it must be; ``sure``: as if all of it were transition."""
    size = pixels.shape[0], pixels.shape[1]
    inner = unwrap(model)
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    dtype = torch.float32
    if not isinstance(inner, PreparedMatting):  # of quantised weights some are integers
        dtype = next((x.dtype for x in model.parameters() if x.is_floating_point()), dtype)
    batch = to_batch(pixels, device)
    most = size[0] * size[1]
    if windows is not None:
        most = windows(network_of(model), size)
    elif _runs_large_photos_in_windows(model):
        most = min(most, WINDOW_PIXELS)
    if windows is None and not sure and most == size[0] * size[1]:
        yield Window(0, 0, *size), model(to_unit(batch, dtype))
        return
    halves = inner if isinstance(inner, PreparedMatting) else network_of(inner)
    encoded = halves.encode(Level([batch], size, lambda x: to_unit(x, dtype), stride=1))
    if sure:
        fusion = network_of(model).fusion
        transition = torch.tensor(_SURE_OF_TRANSITION, device=device).view(1, 3, 1, 1).expand(1, 3, *size)
        encoded = encoded._replace(alpha=Level([transition, encoded.detail], size, fusion, halo=fusion, stride=1))
    for window in windows_of(size, most):
        yield window, halves.decode(encoded, window)


def network_of(model: nn.Module) -> PPMatting:
    """The network whose two halves are run one by one, within what `prepare` made, or within a wrapper."""
    network = unwrap(model)
    network = network.network if isinstance(network, PreparedMatting) else network
    if not isinstance(network, PPMatting):
        raise TypeError(
            "model must be a PPMatting or a prepared one to run in windows or to follow a trimap or mask, "
            f"got {type(network).__name__}"
        )
    if declared(network, "decode") is None:
        raise TypeError(
            "model must run by PPMatting's own methods, without hooks on itself, to run in windows or to follow a "
            f"trimap or mask, got {type(network).__name__}"
        )
    return network


def _runs_large_photos_in_windows(model: nn.Module) -> bool:
    if not isinstance(model, PreparedMatting) or model.network.tile_bytes is None:
        return False
    return declared(model.network, "decode") is not None


def join_arrays(
    parts: Iterator[tuple[Window, Any]], fields: Sequence[str], size: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Join what windows gave, as arrays (H, W) or (H, W, 3)."""
    whole: dict[str, np.ndarray] = {}
    for (top, left, height, width), output in parts:
        _check_finite(output)
        for name in fields:
            x = _array_of(output, name, (height, width))
            if name not in whole:
                whole[name] = np.empty((*size, *x.shape[2:]), np.float32)
            whole[name][top : top + height, left : left + width] = x
    return whole


def _array_of(output: Any, name: str, size: tuple[int, int]) -> np.ndarray:
    """A map that a model, of any kind, gave for an image of this size."""
    field = "semantic_logits" if name == "semantic" else name
    x = getattr(output, field, None)
    if not isinstance(x, Tensor):
        if name == "alpha":
            raise TypeError(f"model must return an object with alpha, got a {type(output).__name__} without")
        raise TypeError(f"model must return detail and semantic_logits beside alpha for return_maps, got no {name}")
    shape = (1, 3 if name == "semantic" else 1, *size)
    if x.shape != shape:
        raise ValueError(f"model must return {field} in shape {shape}, got {tuple(x.shape)}")
    x = x.float()
    x = x.softmax(1)[0].permute(1, 2, 0) if name == "semantic" else x[0, 0]
    return x.cpu().numpy()


def prepared(model: nn.Module) -> PreparedMatting:
    """Return a model itself where it is prepared, within wrappers too, and else what `prepare` makes of it."""
    inner = unwrap(model)
    return inner if isinstance(inner, PreparedMatting) else prepare(network_of(inner))


def limit_of(model: nn.Module, max_short_side: int | None) -> int | None:
    """The limit of the short side that is asked for, or else that the model's weights were trained for.

    Raises:
        TypeError: If it is no integer.
        ValueError: If it is below `MULTIPLE`.
    """
    if max_short_side is None:
        return getattr(unwrap(model), "max_short_side", None)
    check_number("max_short_side", max_short_side, Integral)
    if max_short_side < MULTIPLE:
        raise ValueError(f"max_short_side must be at least {MULTIPLE}, got {max_short_side}")
    return max_short_side


def limited(model: nn.Module, pixels: np.ndarray, max_short_side: int | None) -> np.ndarray:
    """A photo shrunk to that limit, in the way that the model's weights know."""
    antialias = preprocessing_of(model).antialias
    return limit_short_side(pixels, limit_of(model, max_short_side), antialias=antialias)


def preprocessing_of(model: nn.Module) -> Preprocessing:
    """What a model, prepared or wrapped, expects of photos; PaddleSeg's ways where it does not say."""
    network = unwrap(model)
    network = network.network if isinstance(network, PreparedMatting) else network
    known = getattr(network, "preprocessing", None)
    return known if isinstance(known, Preprocessing) else Preprocessing()


@contextmanager
def in_evaluation(model: nn.Module) -> Iterator[None]:
    """Have a model in evaluation mode; where a module's mode is changed, other threads wait for that module.

    Threads that nest several models in training mode must take them in one order, or they wait for each other.
    """
    modules, me = list(model.modules()), threading.get_ident()
    training: list[nn.Module] = []
    try:
        with _MODES:
            _MODES.wait_for(lambda: all(_CHANGED.get(module, me) == me for module in modules))
            training = [module for module in modules if module.training]
            _CHANGED.update(dict.fromkeys(training, me))
        if training:
            model.eval()
        yield
    finally:
        with _MODES:
            for module in training:
                module.training = True
                _CHANGED.pop(module, None)
            _MODES.notify_all()


def _check_finite(output: object) -> None:
    """Check an output for NaN and infinity, the fields that explain it first."""
    for name, field in (("detail map", "detail"), ("semantic logits", "semantic_logits"), ("alpha", "alpha")):
        x = getattr(output, field, None)
        if isinstance(x, Tensor) and not x.isfinite().all():
            bad = int((~x.isfinite()).sum())
            raise RuntimeError(
                f"the model's {name} must be finite, got {bad} of {x.numel()} values that are not: are its weights "
                "damaged, or did activations pass the largest float16, 65504? Then take bfloat16 or float32"
            )

"""From a photo of any size to its matte."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from mattekit._checks import outside_unit
from mattekit.inference.prepare import PreparedMatting, prepare
from mattekit.inference.windows import decode_in_windows, pixels_within
from mattekit.models import PPMatting
from mattekit.photos import limit_short_side, resize, to_multiple_of

_MULTIPLE = 32
_MODES = threading.RLock()


@torch.inference_mode()
def predict(
    model: nn.Module,
    image: np.ndarray | Tensor,
    *,
    max_short_side: int | None = None,
    max_memory: int | None = None,
) -> np.ndarray:
    """Predict the matte of one photo, at the photo's own size.

    The photo is shrunk until its short side is at most ``max_short_side``, each side is brought down to a multiple of
    32, the model runs, and the matte is brought back to the photo's size; all resizing is bilinear. The model is used
    in evaluation mode, where it is and in its precision, and left as it was, each of its modules in its own mode.
    Threads may share a model: while one uses it that is in training mode, the others wait.

    Args:
        model: A `mattekit.models.PPMatting`, or anything that takes (1, 3, H, W) in [0, 1] and returns an object with
            ``alpha``, and perhaps ``detail`` and ``semantic_logits``.
        image: RGB: an array, (H, W, 3) uint8 or uint16, as image readers give it; or a tensor, (3, H, W) or
            (1, 3, H, W), floating-point in [0, 1] or uint8.
        max_short_side: Limit of the short side, in pixels, from 32 up. None: ``model.max_short_side``, the limit its
            weights were trained for, if they are known to have one, else no limit. Within a wrapper such as
            ``nn.DataParallel``, that of ``model.module``.
        max_memory: How many bytes the prediction may take, beyond the photo. It keeps to that, roughly, by computing
            large photos window by window, which a network of parts that say how far they see allows. None: no limit is
            set, and photos of more than 4 megapixels run in windows if the model is a prepared one.

    Returns:
        The matte, (H, W) float32 in [0, 1].

    Raises:
        TypeError: If ``image`` is neither array nor tensor, or has another dtype; or if ``max_memory`` is given and the
            model is neither a `mattekit.models.PPMatting` nor prepared.
        ValueError: If ``image`` has another shape, ``max_short_side`` is below 32, or ``max_memory`` is too little for
            the photo whatever the windows.
        RuntimeError: If the model's detail map, semantic logits or matte is not finite. A matte alone would not show
            it: where the logits are NaN, their argmax is the foreground.

    Source:
        PaddleSeg's test-time policy, LimitShort, then ResizeToIntMult by 32, in OpenCV's arithmetic; a photo of uint8
        stays uint8 until it is small enough, as there. Two differences: PaddleSeg's predictor takes the matte back in
        the same two steps and truncates it to 8 bits; here it goes back in one and stays float32.

    Example:
        >>> import numpy as np
        >>> from mattekit.inference import predict
        >>> from mattekit.models import pp_matting
        >>> photo = np.zeros((70, 101, 3), dtype=np.uint8)
        >>> predict(pp_matting("hrnet_w18_small_v1"), photo, max_short_side=64).shape
        (70, 101)
    """
    if max_memory is None:
        return _predict(model, image, max_short_side, _whole)

    def in_windows(model: nn.Module, batch: Tensor) -> Iterator[tuple[tuple[slice, slice], object]]:
        prepared = _prepared(model)
        tiled = prepared.network.tile_bytes is not None
        return _windows(prepared, batch, pixels_within(max_memory, batch.shape[-2:], tiled=tiled))

    return _predict(model, image, max_short_side, in_windows)


@torch.inference_mode()
def predict_windowed(
    model: nn.Module, image: np.ndarray | Tensor, *, window: int = 1024, max_short_side: int | None = None
) -> np.ndarray:
    """Predict the matte of one photo as `predict` does, computing what is local window by window.

    The matte is the same but for the rounding of float32: what needs the whole photo is computed on the whole, and each
    window with as many pixels around it as it sees.

    Args:
        model: A `mattekit.models.PPMatting` or what `prepare` made of it; the first is prepared for this one call.
        image: As in `predict`.
        window: Side of a window, in pixels, from 32 up.
        max_short_side: As in `predict`.

    Returns:
        The matte, (H, W) float32 in [0, 1].

    Raises:
        TypeError: As `predict`; and if the model is neither of these.
        ValueError: As `predict`; and if ``window`` is below 32.
        RuntimeError: As `predict`.

    Example:
        >>> import numpy as np
        >>> from mattekit.inference import predict_windowed
        >>> from mattekit.models import pp_matting
        >>> photo = np.zeros((70, 101, 3), dtype=np.uint8)
        >>> predict_windowed(pp_matting("hrnet_w18_small_v1"), photo, window=32).shape
        (70, 101)
    """
    if window < _MULTIPLE:
        raise ValueError(f"window must be at least {_MULTIPLE}, got {window}")
    return _predict(
        model, image, max_short_side, lambda model, batch: _windows(_prepared(model), batch, window * window)
    )


_Where = tuple[slice, slice]
_Run = Callable[[nn.Module, Tensor], Iterator[tuple[_Where, object]]]


def _predict(model: nn.Module, image: object, max_short_side: int | None, run: _Run) -> np.ndarray:
    pixels = _to_pixels(image)
    if max_short_side is None:
        unwrapped = model if hasattr(model, "max_short_side") else getattr(model, "module", model)
        max_short_side = getattr(unwrapped, "max_short_side", None)
    elif max_short_side < _MULTIPLE:
        raise ValueError(f"max_short_side must be at least {_MULTIPLE}, got {max_short_side}")
    batch = _to_batch(to_multiple_of(limit_short_side(pixels, max_short_side), _MULTIPLE))
    parameter = next(model.parameters(), None)
    if parameter is not None:
        batch = batch.to(parameter.device, torch.float32 if isinstance(model, PreparedMatting) else parameter.dtype)
    alpha = np.empty(batch.shape[-2:], np.float32)
    with _in_evaluation(model):
        for (rows, columns), output in run(model, batch):
            _check_finite(output)
            alpha[rows, columns] = output.alpha[0, 0].float().cpu().numpy()  # pyright: ignore
    return resize(alpha, pixels.shape[:2]).clip(0, 1)


def _whole(model: nn.Module, batch: Tensor) -> Iterator[tuple[_Where, object]]:
    yield (slice(None), slice(None)), model(batch)


def _windows(prepared: PreparedMatting, batch: Tensor, pixels: int) -> Iterator[tuple[_Where, object]]:
    for (top, left, height, width), output in decode_in_windows(prepared, batch, pixels):
        yield (slice(top, top + height), slice(left, left + width)), output


def _prepared(model: nn.Module) -> PreparedMatting:
    if isinstance(model, PreparedMatting):
        return model
    if not isinstance(model, PPMatting):
        raise TypeError(f"model must be a PPMatting or a prepared one to run in windows, got {type(model).__name__}")
    return prepare(model)


@contextmanager
def _in_evaluation(model: nn.Module) -> Iterator[None]:
    """Have a model in evaluation mode; where it is not yet, other threads wait until its modules have theirs back."""
    with _MODES:
        training = [module for module in model.modules() if module.training]
        if training:
            try:
                model.eval()
                yield
            finally:
                for module in training:
                    module.training = True
            return
    yield


def _to_pixels(image: object) -> np.ndarray:
    """An (H, W, 3) array of uint8 or uint16, or of float32 in [0, 1]."""
    if isinstance(image, Tensor):
        pixels = image.detach().cpu()
        if pixels.ndim == 4 and pixels.shape[0] == 1:
            pixels = pixels[0]
        if pixels.ndim != 3 or pixels.shape[0] != 3:
            raise ValueError(f"image must be a tensor (3, H, W) or (1, 3, H, W), got {tuple(image.shape)}")
        if pixels.dtype != torch.uint8 and not pixels.is_floating_point():
            raise TypeError(f"image must be floating-point or uint8, got {pixels.dtype}")
        pixels = pixels.permute(1, 2, 0)
        pixels = np.ascontiguousarray((pixels.float() if pixels.is_floating_point() else pixels).numpy())
    elif isinstance(image, np.ndarray):
        if image.dtype not in (np.uint8, np.uint16):
            raise TypeError(f"image must be uint8 or uint16 where it is an array, got {image.dtype}")
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image must be an array (H, W, 3), got {image.shape}")
        pixels = image
    else:
        raise TypeError(f"image must be a numpy.ndarray or a torch.Tensor, got {type(image).__name__}")
    if min(pixels.shape) == 0:
        raise ValueError(f"image must not be empty, got {tuple(image.shape)}")
    if pixels.dtype.kind == "f" and not (pixels.min() >= 0 and pixels.max() <= 1):
        found = outside_unit(float(pixels.min()), float(pixels.max()))
        raise ValueError(f"image must lie in [0, 1] where it is floating-point, {found}")
    return pixels


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


def _to_batch(pixels: np.ndarray) -> Tensor:
    most = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    batch = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    return batch if most == 1 else batch.div_(int(most))

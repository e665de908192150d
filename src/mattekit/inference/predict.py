"""From a photo of any size to its matte."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor, nn

from mattekit import trimap as trimaps
from mattekit._checks import check_module, check_number, check_positive
from mattekit.inference.closed_form import refine_alpha
from mattekit.inference.folding import check_weights
from mattekit.inference.guided import guided_upsample
from mattekit.inference.pixels import to_pixels
from mattekit.inference.running import (
    MULTIPLE,
    Windows,
    in_evaluation,
    join_arrays,
    limited,
    outputs,
    prepared,
    preprocessing_of,
)
from mattekit.inference.windows import pixels_within
from mattekit.models import PPMatting
from mattekit.photos import resize, to_multiple_of

MASK_BAND = 32
"""The unknown band around the edge of a mask reaches this part of the photo's short side to either side."""


class Prediction(NamedTuple):
    """What `predict` returns where all maps are asked for, each at the photo's own size.

    Attributes:
        alpha: The matte, (H, W) float32 in [0, 1].
        detail: The detail map, (H, W) float32 in [0, 1]; it means something in the transition region.
        semantic: The network's own probabilities of foreground, transition and background, (3, H, W) float32;
            `mattekit.trimap.from_semantic` makes a trimap of them.
    """

    alpha: np.ndarray
    detail: np.ndarray
    semantic: np.ndarray


@dataclass(frozen=True)
class Augmentation:
    """In which views `predict` runs a photo; the maps of all views are averaged.

    Args:
        flip: Whether each view is run mirrored as well.
        scales: Sizes of the views, relative to the size at which the photo would be run.

    Raises:
        ValueError: If there is no scale, or one is not positive.
        TypeError: If ``scales`` is no sequence, or a scale is no number.

    Example:
        >>> from mattekit.inference import Augmentation
        >>> Augmentation(scales=(0.75, 1, 1.25)).flip
        True
    """

    flip: bool = True
    scales: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        if not isinstance(self.scales, Sequence):
            raise TypeError(f"scales must be a sequence of numbers, got {self.scales!r}")
        if not self.scales:
            raise ValueError("scales must have one number at least, got none")
        for scale in self.scales:
            check_positive("scales", scale)


@overload
def predict(
    model: nn.Module,
    image: np.ndarray | Tensor,
    *,
    trimap: np.ndarray | Tensor | None = None,
    mask: np.ndarray | Tensor | None = None,
    augment: Augmentation | None = None,
    return_maps: Literal[False] = False,
    refine: bool = False,
    max_short_side: int | None = None,
    max_memory: int | None = None,
) -> np.ndarray: ...


@overload
def predict(
    model: nn.Module,
    image: np.ndarray | Tensor,
    *,
    trimap: np.ndarray | Tensor | None = None,
    mask: np.ndarray | Tensor | None = None,
    augment: Augmentation | None = None,
    return_maps: Literal[True],
    refine: bool = False,
    max_short_side: int | None = None,
    max_memory: int | None = None,
) -> Prediction: ...


@torch.inference_mode()
def predict(
    model: nn.Module,
    image: np.ndarray | Tensor,
    *,
    trimap: np.ndarray | Tensor | None = None,
    mask: np.ndarray | Tensor | None = None,
    augment: Augmentation | None = None,
    return_maps: bool = False,
    refine: bool = False,
    max_short_side: int | None = None,
    max_memory: int | None = None,
) -> np.ndarray | Prediction:
    """Predict the matte of one photo, at the photo's own size.

    The photo is shrunk until its short side is at most ``max_short_side``, each side is brought down to a multiple of
    32, the model runs, and the matte is brought back to the photo's size. All resizing is bilinear, except that the
    photo is shrunk by area averaging for a model whose ``preprocessing.antialias`` is true, and the matte brought back
    by `guided_upsample` for one whose ``preprocessing.guided`` is; the other maps are not, nor is the matte of a photo
    that is run at its own size. The model is used in evaluation mode, where it is and in its precision, and left as it
    was, each of its modules in its own mode. Threads may share a model: while one uses it that is in training mode, the
    others that use it wait.

    A trimap, or a rough mask, says which subject is meant; it takes the place of the network's own semantic map. The
    rule: what the trimap knows comes out exactly as given, 0 or 1, and the detail map decides the rest. All of the
    unknown region counts as transition, so keep it narrow: along edges the detail map was trained to mean something,
    and deep within foreground or background it was not. This works with every fusion: a learned one is given a
    semantic map that says transition everywhere.

    Args:
        model: A `mattekit.models.PPMatting`, or anything that takes (1, 3, H, W) in [0, 1] and returns an object with
            ``alpha``, (1, 1, H, W), and perhaps ``detail``, of this shape too, and ``semantic_logits``, (1, 3, H, W).
        image: RGB: an array, (H, W, 3) uint8 or uint16, as image readers give it; or a tensor, (3, H, W) or
            (1, 3, H, W), floating-point in [0, 1] or uint8.
        trimap: Of the photo's size, uint8 of 0, 128 and 255: an array (H, W), or a tensor (1, 1, H, W).
        mask: Of the photo's size, a mask of the subject, as `mattekit.trimap.from_mask` takes it: an array (H, W), or a
            tensor (1, 1, H, W). A band along its edge is unknown that reaches 1/32 of the photo's short side to either
            side; for another one, make the trimap yourself. Give this or ``trimap``.
        augment: Views of the photo to run and average, for the last per cent. None: the photo as it is.
        return_maps: Whether to return a `Prediction`, with the detail map and the semantic map beside the matte.
        refine: Whether to draw the matte's transition anew by the photo's own colours, as `refine_alpha` does with its
            defaults: finer hair, for less than a second a megapixel, of thin things about three. Of a trimap or
            mask it draws what is unknown.
        max_short_side: Limit of the short side, in pixels, from 32 up. None: ``model.max_short_side``, the limit its
            weights were trained for, if they are known to have one, else no limit. torch.compile, DataParallel,
            DistributedDataParallel and AveragedModel are looked through.
        max_memory: How many bytes the prediction may take, beyond the photo. It keeps to that, roughly, by computing
            large photos window by window, which a network of parts that say how far they see allows. None: no limit is
            set, and photos of more than 4 megapixels run in windows if the model is a prepared one. It is not for
            ``refine``, which takes what the transition needs.

    Returns:
        The matte, (H, W) float32 in [0, 1]; or all three maps.

    Raises:
        TypeError: If ``model`` is no module; if ``image`` is neither array nor tensor, or has another dtype; if
            ``trimap`` or ``mask`` has another type; or if ``max_memory``, ``trimap`` or ``mask`` is given and the model
            is neither a `mattekit.models.PPMatting` nor prepared, or overrides its methods; if the model returns no
            alpha, or none of the maps that are asked for; or if ``max_short_side``, ``max_memory``, ``augment`` or
            ``refine`` is of another type.
        ValueError: If ``image`` has another shape, ``trimap`` or ``mask`` another size or other values, both are given,
            ``refine`` and ``max_memory`` are, the model returns maps of another shape, ``max_short_side`` is below 32,
            or ``max_memory`` is too little for the photo whatever the windows.
        RuntimeError: If the model's detail map, semantic logits or matte is not finite. A matte alone would not show
            it: where the logits are NaN, their argmax is the foreground. And if a batch norm's variance is infinite, as
            a large one is in float16: it would return its bias whatever it takes. And if a weight is on the meta
            device.

    Source:
        PaddleSeg's test-time policy, LimitShort, then ResizeToIntMult by 32, in OpenCV's arithmetic; a photo of uint8
        stays uint8 until it is small enough, as there. Two differences: PaddleSeg's predictor takes the matte back in
        the same two steps and truncates it to 8 bits; here it goes back in one and stays float32. ``antialias`` and
        ``guided`` are no part of it.

    Example:
        >>> import numpy as np
        >>> from mattekit.inference import predict
        >>> from mattekit.models import pp_matting
        >>> photo = np.zeros((70, 101, 3), dtype=np.uint8)
        >>> predict(pp_matting("hrnet_w18_small_v1"), photo, max_short_side=64).shape
        (70, 101)
    """
    if not isinstance(refine, bool):
        raise TypeError(f"refine must be True or False, got {refine!r}")
    if max_memory is not None:
        check_number("max_memory", max_memory, Integral)
        if refine:
            raise ValueError("give refine or max_memory, got both")

    def windows(network: PPMatting, size: Sequence[int]) -> int:
        return pixels_within(max_memory or 0, size, tiled=network.tile_bytes is not None)

    return _predict(
        model,
        image,
        None if max_memory is None else windows,
        (trimap, mask),
        augment,
        return_maps,
        max_short_side,
        refine,
    )


@overload
def predict_windowed(
    model: nn.Module,
    image: np.ndarray | Tensor,
    *,
    window: int = 1024,
    trimap: np.ndarray | Tensor | None = None,
    mask: np.ndarray | Tensor | None = None,
    augment: Augmentation | None = None,
    return_maps: Literal[False] = False,
    max_short_side: int | None = None,
) -> np.ndarray: ...


@overload
def predict_windowed(
    model: nn.Module,
    image: np.ndarray | Tensor,
    *,
    window: int = 1024,
    trimap: np.ndarray | Tensor | None = None,
    mask: np.ndarray | Tensor | None = None,
    augment: Augmentation | None = None,
    return_maps: Literal[True],
    max_short_side: int | None = None,
) -> Prediction: ...


@torch.inference_mode()
def predict_windowed(
    model: nn.Module,
    image: np.ndarray | Tensor,
    *,
    window: int = 1024,
    trimap: np.ndarray | Tensor | None = None,
    mask: np.ndarray | Tensor | None = None,
    augment: Augmentation | None = None,
    return_maps: bool = False,
    max_short_side: int | None = None,
) -> np.ndarray | Prediction:
    """Predict the matte of one photo as `predict` does, computing what is local window by window.

    The matte is the same but for the rounding of float32: what needs the whole photo is computed on the whole, and each
    window with as many pixels around it as it sees.

    Args:
        model: A `mattekit.models.PPMatting` or what `prepare` made of it; the first is prepared for this one call.
        image: As in `predict`.
        window: Side of a window, in pixels, from 32 up.
        trimap: As in `predict`.
        mask: As in `predict`.
        augment: As in `predict`.
        return_maps: As in `predict`.
        max_short_side: As in `predict`.

    Returns:
        As `predict`.

    Raises:
        TypeError: As `predict`; and if the model is neither of these, or ``window`` no integer.
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
    check_number("window", window, Integral)
    if window < MULTIPLE:
        raise ValueError(f"window must be at least {MULTIPLE}, got {window}")
    return _predict(model, image, lambda *_: window * window, (trimap, mask), augment, return_maps, max_short_side)


_Hint = np.ndarray | Tensor | None


def _predict(
    model: nn.Module,
    image: object,
    windows: Windows | None,
    hints: tuple[_Hint, _Hint],
    augment: Augmentation | None,
    return_maps: bool,
    max_short_side: int | None,
    refine: bool = False,
) -> Any:
    if not isinstance(augment, Augmentation | None):
        raise TypeError(f"augment must be an Augmentation or None, got {augment!r}")
    check_module("model", model)
    pixels = to_pixels(image)
    size = pixels.shape[:2]
    trimap = _trimap_of(*hints, size)
    shrunk = limited(model, pixels, max_short_side)
    check_weights(model)
    views = [(1, False)]
    if augment is not None:
        views = [(scale, flip) for scale in augment.scales for flip in ((False, True) if augment.flip else (False,))]
    fields = Prediction._fields if return_maps else ("alpha",)
    guided = preprocessing_of(model).guided
    mean: dict[str, np.ndarray] = {}
    with in_evaluation(model):
        network = model if windows is None else prepared(model)
        for scale, flip in views:
            view = shrunk if scale == 1 else _scaled(shrunk, scale)
            if any(side % MULTIPLE for side in view.shape[:2]):  # a photo that fits is not copied: it may be large
                view = to_multiple_of(view, MULTIPLE)
            parts = outputs(network, _flipped(view) if flip else view, windows, sure=trimap is not None)
            for name, x in join_arrays(parts, fields, view.shape[:2]).items():
                x = _flipped(x) if flip else x
                x = x if x.shape[:2] == size else _enlarged(x, name, view, pixels, guided)
                np.clip(x, 0, 1, out=x)
                # ten tenths of 1 are more than 1 in float32
                mean[name] = x if len(views) == 1 else np.minimum(mean.get(name, 0) + x / len(views), 1)
    if refine:
        mean["alpha"] = refine_alpha(mean["alpha"], pixels, trimap=trimap)
    elif trimap is not None:
        mean["alpha"] = trimaps.apply(mean["alpha"], trimap)
    if not return_maps:
        return mean["alpha"]
    return Prediction(mean["alpha"], mean["detail"], mean["semantic"].transpose(2, 0, 1))


def _trimap_of(trimap: _Hint, mask: _Hint, size: tuple[int, int]) -> np.ndarray | None:
    """Return the trimap that was given, or make one of the mask, as an array of the photo's size."""
    if trimap is not None and mask is not None:
        raise ValueError("give trimap or mask, got both")
    name, hint = ("trimap", trimap) if mask is None else ("mask", mask)
    if hint is None:
        return None
    if not isinstance(hint, np.ndarray | Tensor):
        raise TypeError(f"{name} must be a numpy.ndarray or a torch.Tensor, got {type(hint).__name__}")
    shape = size if isinstance(hint, np.ndarray) else (1, 1, *size)
    if tuple(hint.shape) != shape:
        raise ValueError(f"{name} must have the photo's height and width, in shape {shape}, got {tuple(hint.shape)}")
    given: Any = hint if isinstance(hint, np.ndarray) else hint.detach().cpu()
    if mask is None:
        known = trimaps.validate(given)
    else:  # of a square kernel the width costs nothing
        known = trimaps.from_mask(given, width=max(round(min(size) / MASK_BAND), 1), kernel="square")
    return np.asarray(known).reshape(size)


def _enlarged(x: np.ndarray, name: str, view: np.ndarray, pixels: np.ndarray, guided: bool) -> np.ndarray:
    """Bring a map of a view to the photo's size: the matte along the photo's edges where that is asked for."""
    if guided and name == "alpha":
        return guided_upsample(x.clip(0, 1), view, pixels)
    return resize(x, pixels.shape[:2])


def _scaled(pixels: np.ndarray, scale: float) -> np.ndarray:
    return resize(pixels, [max(round(scale * side), 1) for side in pixels.shape[:2]])


def _flipped(x: np.ndarray) -> np.ndarray:
    return x[:, ::-1]

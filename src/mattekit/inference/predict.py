"""From a photo of any size to its matte."""

import numpy as np
import torch
from torch import Tensor, nn

from mattekit._checks import outside_unit
from mattekit.photos import limit_short_side, resize, to_multiple_of

_MULTIPLE = 32


@torch.inference_mode()
def predict(model: nn.Module, image: np.ndarray | Tensor, *, max_short_side: int | None = None) -> np.ndarray:
    """Predict the matte of one photo, at the photo's own size.

    The photo is shrunk until its short side is at most ``max_short_side``, each side is brought down to a multiple of
    32, the model runs, and the matte is brought back to the photo's size; all resizing is bilinear. The model is used
    in evaluation mode, where it is and in its precision, and left as it was, each of its modules in its own mode.

    Args:
        model: A `mattekit.models.PPMatting`, or anything that takes (1, 3, H, W) in [0, 1] and returns an object with
            ``alpha``, and perhaps ``detail`` and ``semantic_logits``.
        image: RGB: an array, (H, W, 3) uint8, as image readers give it; or a tensor, (3, H, W) or (1, 3, H, W),
            floating-point in [0, 1] or uint8.
        max_short_side: Limit of the short side, in pixels, from 32 up. None: ``model.max_short_side``, the limit its
            weights were trained for, if they are known to have one, else no limit. Within a wrapper such as
            ``nn.DataParallel``, that of ``model.module``.

    Returns:
        The matte, (H, W) float32 in [0, 1].

    Raises:
        TypeError: If ``image`` is neither array nor tensor, or has another dtype.
        ValueError: If ``image`` has another shape, or ``max_short_side`` is below 32.
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
    pixels = _to_pixels(image)
    if max_short_side is None:
        unwrapped = model if hasattr(model, "max_short_side") else getattr(model, "module", model)
        max_short_side = getattr(unwrapped, "max_short_side", None)
    elif max_short_side < _MULTIPLE:
        raise ValueError(f"max_short_side must be at least {_MULTIPLE}, got {max_short_side}")
    batch = _to_batch(to_multiple_of(limit_short_side(pixels, max_short_side), _MULTIPLE))
    parameter = next(model.parameters(), None)
    if parameter is not None:
        batch = batch.to(parameter.device, parameter.dtype)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        output = model(batch)
    finally:
        for module, training in modes:
            module.training = training
    _check_finite(output)
    return resize(output.alpha[0, 0].float().cpu().numpy(), pixels.shape[:2]).clip(0, 1)


def _to_pixels(image: object) -> np.ndarray:
    """An (H, W, 3) array of uint8, or of float32 in [0, 1]."""
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
        if image.dtype != np.uint8:
            raise TypeError(f"image must be uint8 where it is an array, got {image.dtype}")
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image must be an array (H, W, 3), got {image.shape}")
        pixels = image
    else:
        raise TypeError(f"image must be a numpy.ndarray or a torch.Tensor, got {type(image).__name__}")
    if min(pixels.shape) == 0:
        raise ValueError(f"image must not be empty, got {tuple(image.shape)}")
    if pixels.dtype != np.uint8 and not (pixels.min() >= 0 and pixels.max() <= 1):
        found = outside_unit(float(pixels.min()), float(pixels.max()))
        raise ValueError(f"image must lie in [0, 1] where it is floating-point, {found}")
    return pixels


def _check_finite(output: object) -> None:
    """Demand an output without NaN and infinity, the fields that explain it first."""
    for name, field in (("detail map", "detail"), ("semantic logits", "semantic_logits"), ("alpha", "alpha")):
        x = getattr(output, field, None)
        if isinstance(x, Tensor) and not x.isfinite().all():
            bad = int((~x.isfinite()).sum())
            raise RuntimeError(
                f"the model's {name} must be finite, got {bad} of {x.numel()} values that are not: are its weights "
                "damaged, or did activations pass the largest float16, 65504? Then take bfloat16 or float32"
            )


def _to_batch(pixels: np.ndarray) -> Tensor:
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return batch.float() / 255 if batch.dtype == torch.uint8 else batch

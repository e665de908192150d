"""The paper's Figure 5: what the parts of a PP-Matting see in a photo."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mattekit.inference import predict
from mattekit.inference.running import MULTIPLE, in_evaluation, limited
from mattekit.models import PPMatting
from mattekit.photos import to_multiple_of


@torch.no_grad()
def figure5(model: PPMatting, image: np.ndarray, *, max_short_side: int | None = None) -> dict[str, np.ndarray]:
    """Return the maps of Figure 5 for any PP-Matting and any photo.

    Args:
        model: The network, in any mode, in which it is left.
        image: The photo, (H, W, 3) RGB uint8.
        max_short_side: As `mattekit.inference.predict` has it.

    Returns:
        In the paper's order, each (H, W) float32 in [0, 1], ``alpha``; ``s1``, ``s2``, ... of the context's blocks that
        guide (or, where none does, of 1, 3 and 5); ``low_level``, the encoder's first feature; ``g1``, ``g2``, ... of
        the gates' outputs; ``detail``. A feature is shown by the mean of its channels, a gate's output by its first
        channel, both stretched from the 1st to the 99th percentile.

    Raises:
        TypeError: If the image is no array of uint8, or the network is not made of PP-Matting's parts.

    Source:
        Section 4.4, Figure 5. Which channels of s and of the low-level feature are shown, the paper does not say.

    Example:
        >>> from mattekit.models import pp_matting
        >>> maps = figure5(pp_matting("hrnet_w18_small_v1"), np.zeros((64, 96, 3), np.uint8))
        >>> list(maps), maps["s1"].shape
        (['alpha', 's1', 's2', 's3', 'low_level', 'g1', 'g2', 'g3', 'detail'], (64, 96))
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise TypeError(f"image must be an array of uint8, got {getattr(image, 'dtype', type(image).__name__)}")
    maps = predict(model, image, max_short_side=max_short_side, return_maps=True)
    small = to_multiple_of(limited(model, image, max_short_side), MULTIPLE)
    device = next(model.parameters()).device
    with in_evaluation(model):
        features, guidance, gated = _inside(model, torch.from_numpy(small).permute(2, 0, 1)[None].to(device) / 255)
    blocks = tuple(getattr(model.detail, "guidance", ())) or (1, 3, 5)
    shown = partial(_shown, size=image.shape[:2])
    return {
        "alpha": maps.alpha,
        **{f"s{n}": shown(guidance[block - 1].mean(1)) for n, block in enumerate(blocks, 1)},
        "low_level": shown(features[0].mean(1)),
        **{f"g{n}": shown(gate[:, 0]) for n, gate in enumerate(gated, 1)},
        "detail": maps.detail,
    }


def _inside(model: PPMatting, image: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor], list[Tensor]]:
    """The encoder's features, the context's guidance and what comes out of the gates, in their order."""
    gated: list[Tensor] = []
    gates = getattr(model.detail, "gates", nn.ModuleDict())
    hooks = [gate.register_forward_hook(lambda _gate, _inputs, out: gated.append(out)) for gate in gates.values()]
    size = image.shape[-2:]
    try:
        features = model.encoder(model.normalise(image))
        context = model.context(*model.seen_by_context(image, features[-1]))
        model.detail(features[:2], context.guidance, size)
    finally:
        for hook in hooks:
            hook.remove()
    return features, context.guidance, gated


def _shown(feature: Tensor, size: tuple[int, int]) -> np.ndarray:
    """A map (1, h, w) at a photo's size, stretched over [0, 1]."""
    values = F.interpolate(feature[None].float().cpu(), size, mode="nearest")[0, 0].numpy()
    low, high = np.percentile(values, (1, 99))
    return ((values - low) / max(high - low, 1e-12)).clip(0, 1).astype(np.float32)

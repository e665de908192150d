"""Turning trimaps into what networks read, and back."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mattekit._checks import assert_async, check_choice, check_nchw, check_unmasked, has_async_assertions, is_readable
from mattekit.trimap._distance import distances
from mattekit.trimap._forms import (
    BACKGROUND,
    FOREGROUND,
    Array,
    check_values,
    like,
    merge,
    to_tensor,
    trimap_tensor,
    wrap,
)

FBA_SIGMAS = (6.4, 25.6, 51.2)
"""Pixels: 0.02, 0.08 and 0.16 of 320, the crop that FBA trains with."""


def from_semantic(semantic: Array) -> Array:
    """Turn the network's three classes into a trimap.

    Args:
        semantic: Scores or probabilities of foreground, transition and background, floating-point: a tensor
            (N, 3, H, W), or an array (3, H, W) or (N, 3, H, W). Or the classes themselves, integers 0, 1 and 2:
            a tensor (N, 1, H, W), or an array (H, W) or (N, H, W).

    Returns:
        uint8: a tensor (N, 1, H, W), or an array (H, W) or (N, H, W). Where scores are equal, the first class wins.

    Raises:
        TypeError: If it is neither tensor nor array, or bool.
        ValueError: If its shape is wrong, a score is NaN (a GPU checks that in its own time), or classes other than 0,
            1 and 2 turn up; they are counted and located.

    Source:
        The order of classes is that of the published weights of PP-Matting.

    Example:
        >>> from_semantic(np.array([[2, 1, 0]]))
        array([[  0, 128, 255]], dtype=uint8)
    """
    if isinstance(semantic, np.ndarray):
        is_scores = np.issubdtype(semantic.dtype, np.floating)
    else:
        is_scores = isinstance(semantic, Tensor) and semantic.is_floating_point()
    if is_scores:
        check_unmasked("semantic", semantic)
        return _from_scores(semantic)
    classes = to_tensor("semantic", semantic)
    if classes.dtype == torch.bool:
        raise TypeError("semantic must hold scores or classes, got bool; from_mask takes masks")
    check_values("semantic", classes, (0, 1, 2))
    return like(semantic, merge(classes == 0, classes == 2))


def _from_scores(semantic: Array) -> Array:
    if isinstance(semantic, np.ndarray):
        if semantic.ndim not in (3, 4) or semantic.shape[-3] != 3:
            raise ValueError(f"semantic must have shape (3, H, W) or (N, 3, H, W) as an array, got {semantic.shape}")
        scores = wrap(semantic if semantic.ndim == 4 else semantic[None])
    else:
        scores = semantic
    check_nchw("semantic", scores, 3)
    _check_no_nan(scores)
    classes = scores.argmax(1, keepdim=True)
    return like(semantic, merge(classes == 0, classes == 2), batched=semantic.ndim == 4)


def _check_no_nan(scores: Tensor) -> None:
    """Check that no score is NaN, which argmax takes for the largest: it would be foreground without a word."""
    if is_readable(scores):
        if bad := int(scores.isnan().any(1).sum()):
            raise ValueError(f"semantic must not be NaN, got NaN in {bad} pixel{'s' * (bad > 1)}")
    elif has_async_assertions(scores):
        assert_async(~scores.isnan().any(), "semantic must not be NaN")


def to_classes(trimap: Array) -> Array:
    """Turn a trimap into the network's classes: 0 foreground, 1 transition, 2 background.

    Args:
        trimap: uint8, a tensor (N, 1, H, W) or an array (H, W) or (N, H, W).

    Returns:
        int64, of the trimap's shape. Every value other than 0 and 255 becomes 1.

    Raises:
        TypeError: If the trimap is not uint8.
        ValueError: If its shape is wrong.

    Source:
        The order of classes is that of the published weights of PP-Matting.

    Example:
        >>> to_classes(np.array([[0, 128, 255]], dtype=np.uint8))
        array([[2, 1, 0]])
    """
    return like(trimap, _classes(trimap_tensor(trimap)))


def to_one_hot(trimap: Array) -> Array:
    """Turn a trimap into three channels: foreground, transition, background.

    Args:
        trimap: uint8, a tensor (N, 1, H, W) or an array (H, W) or (N, H, W).

    Returns:
        float32 of 0 and 1, as a tensor (N, 3, H, W), or an array (3, H, W) or (N, 3, H, W).

    Raises:
        TypeError: If the trimap is not uint8.
        ValueError: If its shape is wrong.

    Source:
        The order is that of PP-Matting's classes. GCA and its descendants have background first: flip the channels.

    Example:
        >>> to_one_hot(np.array([[0, 128, 255]], dtype=np.uint8))[:, 0]
        array([[0., 0., 1.], [0., 1., 0.], [1., 0., 0.]], dtype=float32)
    """
    classes = _classes(trimap_tensor(trimap))
    return like(trimap, torch.cat([classes == c for c in range(3)], 1).float())


def distance_maps(trimap: Array, *, encoding: Literal["fba", "euclidean"] = "fba") -> Array:
    """Encode a trimap by the distance of each pixel to what is known.

    Args:
        trimap: uint8, a tensor (N, 1, H, W) or an array (H, W) or (N, H, W).
        encoding: ``"fba"``: six channels, Gaussians exp(-d²/2σ²) with σ = 6.4, 25.6 and 51.2 pixels of the distance to
            the background, then of that to the foreground. ``"euclidean"``: two channels, the distances themselves.

    Returns:
        Of float32, a tensor (N, 6 or 2, H, W), or an array (6 or 2, H, W) or (N, 6 or 2, H, W). To a region that does
        not exist the distance is infinite and its Gaussians are 0.

    Raises:
        TypeError: If the trimap is not uint8.
        ValueError: If its shape or ``encoding`` is wrong.

    Source:
        Forte and Pitié 2020 (FBA) and its published code, which takes the idea from Le et al. 2018 (clicks).

    Example:
        >>> distance_maps(np.array([[0, 128, 128]], dtype=np.uint8), encoding="euclidean")[:, 0]
        array([[ 0.,  1.,  2.], [inf, inf, inf]], dtype=float32)
        >>> distance_maps(np.array([[0, 128, 255]], dtype=np.uint8))[::3, 0].round(3)
        array([[1.   , 0.988, 0.952], [0.952, 0.988, 1.   ]], dtype=float32)
    """
    known = trimap_tensor(trimap)
    check_choice("encoding", encoding, ("fba", "euclidean"))
    maps = distances(torch.cat([known == BACKGROUND, known == FOREGROUND], 1))
    if encoding == "fba":
        sigmas = maps.new_tensor(FBA_SIGMAS).view(-1, 1, 1)
        maps = torch.exp(-maps[:, :, None].square() / (2 * sigmas.square())).flatten(1, 2)
    return like(trimap, maps)


def _classes(trimap: Tensor) -> Tensor:
    return 1 + (trimap == BACKGROUND).long() - (trimap == FOREGROUND).long()

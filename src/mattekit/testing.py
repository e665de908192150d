"""Hypothesis strategies for mattes, trimaps and images, with the awkward cases weighted up.

They draw what breaks matting code: mattes that are all 0 or all 1, no unknown pixel or nothing else, a single pixel,
one row, denormals, and values on the thresholds that metrics and trimap code use. Failures shrink towards a single
pixel of zeros. In a test they look like this::

    from hypothesis import given
    from mattekit.testing import matte_triples

    @given(matte_triples())
    def test_my_metric(case):
        pred, alpha, trimap = case
        assert my_metric(pred, alpha, trimap) >= 0

Needs hypothesis: ``pip install hypothesis``.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mattekit import trimap as _trimap
from mattekit._checks import check_positive

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as npst
except ImportError as error:
    raise ImportError("mattekit.testing needs hypothesis: pip install hypothesis") from error

__all__ = ["alphas", "images", "matte_pairs", "matte_triples", "shapes", "trimaps"]

# Hypothesis checks a strategy that it has not seen before, which takes longer than to draw from it.
_kept = lru_cache(maxsize=1000)

ArrayStrategy = st.SearchStrategy[np.ndarray]
Shape = tuple[int, int, int, int]
"""(N, 1, H, W)."""


def shapes(*, max_batch: int = 2, min_side: int = 1, max_side: int = 12) -> st.SearchStrategy[Shape]:
    """Draw shapes (N, 1, H, W) of mattes: often one pixel, one row or one column.

    To draw several things of one shape, draw the shape first: ``shapes().flatmap(lambda s: st.tuples(alphas(shape=s),
    images(shape=s)))``.

    Args:
        max_batch: The largest N.
        min_side: The least height and width.
        max_side: The largest height and width.

    Returns:
        A strategy of tuples of four integers.

    Raises:
        ValueError: If a limit is not positive, or the sides' limits are the wrong way round.

    Example:
        >>> from hypothesis import find
        >>> find(shapes(), lambda shape: shape[-1] > 2)
        (1, 1, 1, 3)
    """
    if not 1 <= min_side <= max_side:
        raise ValueError(f"min_side must be from 1 to max_side, {max_side}, got {min_side}")
    check_positive("max_batch", max_batch)
    batch, side = st.integers(1, max_batch), st.integers(min_side, max_side)
    least, ordinary = st.just(min_side), st.integers(min(max(min_side, 3), max_side), max_side)
    return st.one_of(
        st.tuples(st.just(1), st.just(1), least, least),
        st.tuples(batch, st.just(1), least, side),
        st.tuples(batch, st.just(1), side, least),
        st.tuples(batch, st.just(1), side, side),
        *[st.tuples(batch, st.just(1), ordinary, ordinary)] * 3,  # nearly as likely as the special ones together
    )


def alphas(
    *, shape: Shape | None = None, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> st.SearchStrategy[Tensor]:
    """Draw mattes: constant ones, binary ones, ramps, one odd pixel, arbitrary values, and noise.

    Args:
        shape: (N, 1, H, W); None draws one from `shapes`.
        dtype: A floating-point type.
        device: Where the matte shall lie.

    Returns:
        A strategy of tensors with values in [0, 1].

    Example:
        >>> from hypothesis import find
        >>> find(alphas(), lambda alpha: alpha.mean() > 0.5)
        tensor([[[[1.]]]])
    """
    return _of_shape(shape, lambda s: _unit_arrays(s, dtype).map(lambda a: _tensor(a, dtype, device)))


def trimaps(*, shape: Shape | None = None, device: torch.device | str = "cpu") -> st.SearchStrategy[Tensor]:
    """Draw trimaps: of one value, without unknown pixels, with a single unknown pixel, and any mixture.

    Args:
        shape: (N, 1, H, W); None draws one from `shapes`.
        device: Where the trimap shall lie.

    Returns:
        A strategy of uint8 tensors holding only 0, 128 and 255.

    Example:
        >>> from hypothesis import find
        >>> find(trimaps(), lambda trimap: (trimap == 128).any())
        tensor([[[[128]]]], dtype=torch.uint8)
    """
    return _of_shape(shape, lambda s: _trimap_arrays(s).map(lambda a: _tensor(a, torch.uint8, device)))


def matte_pairs(
    *, shape: Shape | None = None, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> st.SearchStrategy[tuple[Tensor, Tensor]]:
    """Draw a predicted and a true matte of one shape: equal ones, a few wrong pixels, opposite ones, unrelated ones.

    Args:
        shape: (N, 1, H, W); None draws one from `shapes`.
        dtype: A floating-point type.
        device: Where the mattes shall lie.

    Returns:
        A strategy of tuples (pred, alpha).

    Example:
        >>> from hypothesis import find
        >>> pred, alpha = find(matte_pairs(), lambda pair: (pair[0] != pair[1]).any())
        >>> pred.item(), alpha.item()
        (1.0, 0.0)
    """

    def pairs(s: Shape) -> st.SearchStrategy[tuple[Tensor, Tensor]]:
        return _pairs_of_arrays(s, dtype).map(
            lambda pair: (_tensor(pair[0], dtype, device), _tensor(pair[1], dtype, device))
        )

    return _of_shape(shape, pairs)


def matte_triples(
    *, shape: Shape | None = None, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> st.SearchStrategy[tuple[Tensor, Tensor, Tensor]]:
    """Draw a predicted matte, a true one and a trimap of one shape; the trimap need not fit the mattes.

    Args:
        shape: (N, 1, H, W); None draws one from `shapes`.
        dtype: A floating-point type, of the mattes.
        device: Where the tensors shall lie.

    Returns:
        A strategy of tuples (pred, alpha, trimap).

    Example:
        >>> from hypothesis import find
        >>> pred, alpha, trimap = find(matte_triples(), lambda case: (case[0] != case[1])[case[2] == 128].any())
        >>> pred.item(), alpha.item(), trimap.item()
        (1.0, 0.0, 128)
    """

    def triples(s: Shape) -> st.SearchStrategy[tuple[Tensor, Tensor, Tensor]]:
        pairs = matte_pairs(shape=s, dtype=dtype, device=device)
        return st.tuples(pairs, trimaps(shape=s, device=device)).map(lambda case: (*case[0], case[1]))

    return _of_shape(shape, triples)


def images(
    *, shape: Shape | None = None, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> st.SearchStrategy[Tensor]:
    """Draw RGB images: black, white, of one grey, and of arbitrary values.

    Args:
        shape: (N, 1, H, W), a matte's shape, or (N, 3, H, W); None draws one from `shapes`.
        dtype: A floating-point type.
        device: Where the image shall lie.

    Returns:
        A strategy of tensors (N, 3, H, W) with values in [0, 1].

    Example:
        >>> from hypothesis import find
        >>> find(images(), lambda image: True).flatten()
        tensor([0., 0., 0.])
    """

    def rgb(s: Shape) -> st.SearchStrategy[Tensor]:
        return _unit_arrays((s[0], 3, s[2], s[3]), dtype).map(lambda a: _tensor(a, dtype, device))

    return _of_shape(shape, rgb)


def _of_shape(shape: Shape | None, strategy: Callable[[Shape], st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    if shape is None:
        return shapes().flatmap(strategy)
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"shape must be four positive numbers, (N, C, H, W), got {shape}")
    n, c, h, w = shape  # a list will do, too
    return strategy((n, c, h, w))


def _tensor(array: np.ndarray, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    return torch.from_numpy(array.copy()).to(device, dtype)


@_kept
def _unit_values(dtype: torch.dtype) -> st.SearchStrategy[float]:
    """Values in [0, 1], every other one awkward for this type or for a threshold somewhere in the field."""
    if not dtype.is_floating_point:
        raise TypeError(f"dtype must be floating-point, got {dtype}")
    info = torch.finfo(dtype)
    awkward = [
        0.0,
        1.0,
        0.5,
        0.1,  # the connectivity error's step
        0.15,  # and its tolerance
        1 / 255,
        127 / 255,
        128 / 255,
        254 / 255,
        info.eps,
        1 - info.eps / 2,  # the largest value below 1
        info.tiny,  # the least normal number
        info.tiny / 2,  # a denormal one
    ]
    return st.sampled_from(awkward) | st.floats(0, 1)


@_kept
def _unit_arrays(shape: tuple[int, ...], dtype: torch.dtype) -> st.SearchStrategy[np.ndarray]:
    """float64 arrays of values in [0, 1], simplest kind first."""
    values = _unit_values(dtype)
    return st.one_of(
        st.sampled_from([0.0, 1.0]).map(lambda value: np.full(shape, value)),
        values.map(lambda value: np.full(shape, value)),
        st.builds(_with_odd_pixel, st.sampled_from([np.zeros(shape), np.ones(shape)]), _pixels(shape), values).map(
            lambda pair: pair[0]
        ),
        *[_varied_arrays(shape, dtype)] * 4,
    )


@_kept
def _varied_arrays(shape: tuple[int, ...], dtype: torch.dtype) -> ArrayStrategy:
    """Ramps, and arrays whose pixels each have a value of their own."""
    return st.one_of(
        st.just(np.broadcast_to(np.linspace(0, 1, shape[-1]), shape)),
        _each_pixel(shape, st.sampled_from([0.0, 1.0])),
        _each_pixel(shape, st.integers(0, 255)).map(lambda noise: noise / 255),
        _each_pixel(shape, _unit_values(dtype)),
    )


@_kept
def _pairs_of_arrays(shape: Shape, dtype: torch.dtype) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    mattes = _unit_arrays(shape, dtype)
    return st.one_of(
        mattes.map(lambda a: (a.copy(), a)),
        mattes.map(lambda a: (1 - a, a)),
        st.builds(_with_odd_pixel, mattes, _pixels(shape), _unit_values(dtype)),
        st.tuples(mattes, mattes),
        *[st.tuples(_varied_arrays(shape, dtype), _varied_arrays(shape, dtype))] * 2,
    )


def _each_pixel(shape: tuple[int, ...], values: st.SearchStrategy[Any], dtype: Any = np.float64) -> ArrayStrategy:
    """Arrays that vary: without a fill value, with which most pixels would be the same."""
    return npst.arrays(dtype, shape, elements=values, fill=st.nothing())


@_kept
def _trimap_arrays(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    trimap_values = [_trimap.BACKGROUND, _trimap.FOREGROUND, _trimap.UNKNOWN]
    known = _each_pixel(shape, st.sampled_from(trimap_values[:2]), np.uint8)
    return st.one_of(
        st.sampled_from(trimap_values).map(lambda value: np.full(shape, value, dtype=np.uint8)),
        known,
        st.builds(_with_odd_pixel, known, _pixels(shape), st.just(_trimap.UNKNOWN)).map(lambda pair: pair[0]),
        *[_each_pixel(shape, st.sampled_from(trimap_values), np.uint8)] * 3,
    )


@_kept
def _pixels(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*(st.integers(0, size - 1) for size in shape))


def _with_odd_pixel(array: np.ndarray, pixel: tuple[int, ...], value: float) -> tuple[np.ndarray, np.ndarray]:
    """A copy with one pixel set, and the original."""
    changed = array.copy()
    changed[pixel] = value
    return changed, array

import functools
import shutil

import cv2
import numpy as np
import pytest
import torch
import torch._inductor.config
from hypothesis import given
from hypothesis import strategies as st

from mattekit.losses import laplacian_loss
from mattekit.losses.laplacian import _split_burt
from mattekit.testing import alphas, matte_pairs, shapes
from oracles import losses as oracles

SIDE = 64  # after four halvings still larger than the kernel's radius, which np.pad's and torch's reflection need


def mean_of_bands(bands_of, pred, alpha, weights, residual):
    """The published form: the weighted sum of each level's mean."""
    levels = len(weights) - residual
    total = 0.0
    for p, a in zip(pred.numpy()[:, 0], alpha.numpy()[:, 0], strict=True):
        (bands_p, rest_p), (bands_a, rest_a) = bands_of(p, levels), bands_of(a, levels)
        pairs = zip([*bands_p, rest_p], [*bands_a, rest_a], strict=True)
        total += sum(w * abs(x - y).mean() for w, (x, y) in zip(weights, pairs, strict=False))
    return total / len(pred)


@pytest.fixture
def pair():
    return torch.rand(2, 1, SIDE, 96, dtype=torch.float64), torch.rand(2, 1, SIDE, 96, dtype=torch.float64)


# All in float64 with the same operations in another order; 1e-12 is a thousand roundings.


def test_the_default_is_fbas(pair):
    expected = mean_of_bands(oracles.laplacian_bands_burt, *pair, (1, 2, 4, 8, 16), residual=False)
    assert laplacian_loss(*pair).item() == pytest.approx(expected, rel=1e-12)


def test_robust_video_mattings(pair):
    expected = mean_of_bands(oracles.laplacian_bands_burt, *pair, (1, 2, 4, 8, 16), residual=False) / 5
    assert laplacian_loss(*pair, weights=(0.2, 0.4, 0.8, 1.6, 3.2)).item() == pytest.approx(expected, rel=1e-12)


def test_aims(pair):
    expected = mean_of_bands(oracles.laplacian_bands_pooled, *pair, (1,) * 6, residual=True)
    found = laplacian_loss(*pair, pyramid="pooled", residual=True, weights=(1,) * 6)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_aims_masked(pair):
    mask = torch.rand_like(pair[0]) > 0.5
    masked = [x * mask for x in pair]
    expected = mean_of_bands(oracles.laplacian_bands_pooled, *masked, (1,) * 6, residual=True)
    options = {"pyramid": "pooled", "residual": True, "weights": (1,) * 6, "mask_inputs": True}
    found = laplacian_loss(*pair, mask, reduction="sum", **options) / pair[0].numel()
    assert found.item() == pytest.approx(expected, rel=1e-12)
    mean = laplacian_loss(*pair, mask, **options)
    assert mean.item() == pytest.approx(expected * mask.numel() / mask.sum().item(), rel=1e-12)


def test_masked_before_burts_pyramid(pair):
    mask = torch.rand_like(pair[0]) > 0.5
    masked = [x * mask for x in pair]
    expected = mean_of_bands(oracles.laplacian_bands_burt, *masked, (1, 2, 4, 8, 16), residual=False)
    found = laplacian_loss(*pair, mask, mask_inputs=True, reduction="sum") / pair[0].numel()
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("soft", [False, True])
def test_mgmattings_masked(pair, soft):
    """Each level's mean, by every 2^s-th weight."""
    mask = torch.rand_like(pair[0]).where(torch.tensor([True, False]).view(2, 1, 1, 1), 0)
    mask[1, :, 40:, 5:9] = 0.75
    mask = mask if soft else mask > 0.5
    bands = [oracles.laplacian_bands_burt((p - a).numpy()[0], 5)[0] for p, a in zip(*pair, strict=True)]
    expected = 0.0
    for level in range(5):
        weights = mask[:, 0, :: 2**level, :: 2**level].double().numpy()
        total = sum((abs(one[level]) * weight).sum() for one, weight in zip(bands, weights, strict=True))
        expected += 2**level * total / weights.sum()
    assert laplacian_loss(*pair, mask, mask_levels=True).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("pyramid", ["burt", "pooled"])
def test_a_mask_of_ones_changes_nothing_whatever_the_sides(pyramid):
    pred, alpha = torch.rand(2, 2, 1, 37, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    options = {"pyramid": pyramid, "residual": True}
    masked = laplacian_loss(pred, alpha, torch.ones_like(alpha), mask_levels=True, **options)
    assert masked.item() == pytest.approx(laplacian_loss(pred, alpha, **options).item(), rel=1e-12)


def test_a_level_without_weights_adds_nothing(pair):
    mask = torch.zeros_like(pair[0])
    mask[:, :, 1::2] = 1  # of the first level alone
    first = laplacian_loss(*pair, mask, weights=(1, 0, 0, 0, 0))
    assert laplacian_loss(*pair, mask, mask_levels=True).item() == pytest.approx(first.item(), rel=1e-12)


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # of torch's own inductor backend
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: no g++ on the PATH")
def test_compiled_gradients_at_odd_sides():
    pair = torch.rand(2, 1, 1, 7, 9)
    loss = functools.partial(laplacian_loss, levels=1, residual=True, pyramid="pooled")
    torch.compiler.reset()
    with torch._inductor.config.patch(compile_threads=1):  # a pool of processes takes longer to start than this takes
        expected, found = (
            torch.autograd.grad(f(pred := pair[0].clone().requires_grad_(), pair[1]), pred)[0]
            for f in (loss, torch.compile(loss, fullgraph=True))
        )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("pyramid", ["burt", "pooled"])
def test_other_levels_and_the_default_weight_of_the_residual(pair, pyramid):
    bands_of = getattr(oracles, f"laplacian_bands_{pyramid}")
    expected = mean_of_bands(bands_of, *pair, (1, 2, 4), residual=True)
    assert laplacian_loss(*pair, levels=2, residual=True, pyramid=pyramid).item() == pytest.approx(expected, rel=1e-12)


@given(alphas(shape=(1, 1, 16, 22)))
def test_levels_are_opencvs(alpha):
    expected = cv2.pyrDown(alpha[0, 0].numpy(), borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(_split_burt(alpha)[1][0, 0], expected, rtol=0, atol=1e-6)  # float32


@given(matte_pairs(), st.sampled_from(["burt", "pooled"]), st.booleans())
def test_any_size_will_do(pair, pyramid, residual):
    maps = laplacian_loss(*pair, pyramid=pyramid, residual=residual, reduction="none")
    assert maps.shape == pair[0].shape
    assert maps.isfinite().all()


@given(st.data(), shapes(), st.sampled_from(["burt", "pooled"]))
def test_bands_do_not_see_a_constant(data, shape, pyramid):
    alpha = data.draw(alphas(shape=shape, dtype=torch.float64))
    # five levels of weights up to 16, each off by a few roundings of values of order 1
    assert laplacian_loss(alpha / 2 + 0.5, alpha / 2, pyramid=pyramid).item() < 1e-13


def test_a_level_is_spread_over_the_pixels_it_stands_for():
    pred, alpha = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    pred[0, 0, 5, 9] = 1
    maps = laplacian_loss(pred, alpha, levels=3, weights=(0, 0, 1), reduction="none")[0, 0]
    blocks = maps.unfold(0, 4, 4).unfold(1, 4, 4).flatten(2)
    assert (blocks == blocks[..., :1]).all()
    assert blocks[..., 0].argmax() == 4 * 1 + 2  # the block of pixel (5, 9)


def test_colours():
    pred, alpha = torch.rand(2, 3, 32, 32, dtype=torch.float64), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    mask = torch.rand(2, 1, 32, 32) > 0.5
    for options in ({}, {"mask_inputs": True}, {"mask_levels": True}):
        each = [laplacian_loss(pred[:, c : c + 1], alpha[:, c : c + 1], mask, **options) for c in range(3)]
        torch.testing.assert_close(laplacian_loss(pred, alpha, mask, **options), torch.stack(each).mean())


def test_errors():
    x = torch.rand(1, 1, 4, 4)
    with pytest.raises(ValueError, match="weights must hold one number a level, 6 in all, got 5"):
        laplacian_loss(x, x, residual=True, weights=(1,) * 5)
    with pytest.raises(ValueError, match="pyramid must be one of 'burt', 'pooled', got 'wavelet'"):
        laplacian_loss(x, x, pyramid="wavelet")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="mask_inputs needs a mask, got None"):
        laplacian_loss(x, x, mask_inputs=True)
    with pytest.raises(ValueError, match="mask_levels needs a mask, got None"):
        laplacian_loss(x, x, mask_levels=True)
    with pytest.raises(ValueError, match="mask_inputs and mask_levels exclude each other, got both"):
        laplacian_loss(x, x, x, mask_inputs=True, mask_levels=True)
    with pytest.raises(TypeError, match=r"levels must be an integer, got 2\.5"):
        laplacian_loss(x, x, levels=2.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="levels must be positive, got 0"):
        laplacian_loss(x, x, levels=0)

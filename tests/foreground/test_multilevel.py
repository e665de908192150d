from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mattekit.foreground import estimate_foreground, multilevel
from mattekit.photos import read_image, read_matte
from mattekit.testing import alphas, images, shapes
from oracles import foreground as oracles


@pytest.fixture(scope="module")
def lemur():
    assets = files("mattekit") / "assets"
    photo, matte = read_image(assets / "lemur.jpg"), read_matte(assets / "lemur_alpha.png")
    return photo.astype(np.float32) / 255, matte.astype(np.float32) / 255


@pytest.mark.parametrize(
    "crop", [np.s_[:, :], np.s_[30:431, 100:651], np.s_[:, 300:]], ids=["whole", "odd sides", "upright"]
)
def test_agrees_with_pymatting(lemur, crop):
    """The mean difference at most 0.01, with the same levels; it was 0.0020 and 0.0076 on the whole."""
    image, alpha = lemur[0][crop], lemur[1][crop]
    unknown = (alpha > 0) & (alpha < 1)
    threads = torch.get_num_threads()
    expected = oracles.pymatting_ml()(image, alpha, return_background=True)
    assert torch.get_num_threads() == threads, "other tests would round otherwise"
    found = estimate_foreground(image, alpha, return_background=True)
    for ours, theirs in zip(found, expected, strict=True):
        assert np.abs(ours - theirs)[unknown].mean() <= 0.01
    # what one sees of the difference, on any new background: less than a fifth of an 8-bit step on average
    assert (alpha[..., None] * np.abs(found[0] - expected[0]))[unknown].mean() < 0.2 / 255


def test_is_closer_to_pymatting_than_pymatting_mirrored(lemur):
    """Two sweeps leave the order of pixels visible: that is what the two differ by."""
    image, alpha = lemur
    unknown = (alpha > 0) & (alpha < 1)
    theirs = oracles.pymatting_ml()
    expected = theirs(image, alpha)
    mirrored = theirs(image[:, ::-1].copy(), alpha[:, ::-1].copy())[:, ::-1]
    found = estimate_foreground(image, alpha)
    assert np.abs(found - expected)[unknown].mean() < np.abs(mirrored - expected)[unknown].mean() / 2


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_many_sweeps_reach_the_minimum(monkeypatch, size):
    monkeypatch.setattr(multilevel, "_SWEEPS", ((np.inf, 400),))
    draws = np.random.default_rng(0)
    alpha = draws.uniform(0.2, 0.8, size)
    image = draws.uniform(0.3, 0.7, (*size, 3))
    found = estimate_foreground(image, alpha, return_background=True)
    for channel in range(3):
        expected = oracles.least_squares(image[..., channel], alpha)
        assert expected.min() > 0  # so that the range has no part in it
        assert expected.max() < 1
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours[..., channel], theirs, rtol=0, atol=1e-4)  # of float32 sweeps


@given(shapes(max_batch=1), st.data())
def test_the_colours_add_up_to_the_image(shape, data):
    """Within the share of the smoothness, W / (W + α² + (1 - α)²), where no colour met the end of its range."""
    image, alpha = data.draw(images(shape=shape)), data.draw(alphas(shape=shape))
    foreground, background = estimate_foreground(image, alpha, return_background=True)
    residual = (alpha * foreground + (1 - alpha) * background - image).abs().amax(1)[0].double().numpy()
    matte = alpha[0, 0].double().numpy()
    weights = oracles.total_weights(matte)
    bound = weights / (weights + matte**2 + (1 - matte) ** 2) + 1e-6
    is_free = torch.stack([(x > 0) & (x < 1) for x in (foreground, background)]).all(0).all(1)[0].numpy()
    is_known = (matte == 0) | (matte == 1)
    assert (residual <= bound)[is_free].all()
    assert (residual[is_known] <= 1e-6).all()


@given(shapes(max_batch=1).filter(lambda shape: shape[2] * shape[3] > 1), st.data())
def test_two_constant_colours_come_apart(shape, data):
    """Exactly, but for roundings, if what passes for sure (above 0.9, below 0.1) is."""
    alpha = data.draw(alphas(shape=shape)).clamp(0.1, 0.9)
    alpha = torch.where(alpha == 0.9, 1, torch.where(alpha == 0.1, 0, alpha))
    alpha[..., 0, 0], alpha[..., -1, -1] = 1, 0
    colours = data.draw(st.tuples(*[st.floats(0, 1, width=32)] * 6))
    front, back = torch.tensor(colours).view(2, 1, 3, 1, 1).expand(2, *image_shape(shape))
    found = estimate_foreground(alpha * front + (1 - alpha) * back, alpha, return_background=True)
    torch.testing.assert_close(found[0], front, rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1], back, rtol=0, atol=1e-5)


def image_shape(shape):
    return shape[0], 3, *shape[2:]


@pytest.mark.parametrize("size", [(61, 90), (90, 61), (64, 64)])
def test_strips_change_nothing(monkeypatch, size):
    image, alpha = torch.rand(2, 3, *size), torch.rand(2, 1, *size)
    whole = estimate_foreground(image, alpha, return_background=True)
    monkeypatch.setattr(multilevel, "_STRIP_PIXELS", 600)
    strips = estimate_foreground(image, alpha, return_background=True)
    for found, expected in zip(strips, whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # fused or not, by where vectors end


def test_levels_are_those_of_the_paper():
    """From one pixel, each side growing by its own factor: side^(i / n), n = ⌈log2 of the longer⌉."""
    assert multilevel._level_sizes(440, 680)[:4] == [(1, 1), (2, 2), (3, 4), (6, 7)]
    assert multilevel._level_sizes(440, 680)[-2:] == [(239, 354), (440, 680)]
    assert multilevel._level_sizes(1, 1) == [(1, 1), (1, 1)]

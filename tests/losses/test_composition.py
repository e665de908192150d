import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mattekit.losses import composition_loss
from mattekit.testing import images, matte_pairs, shapes
from oracles import losses as oracles


@given(st.data(), shapes(max_side=6))
def test_agrees_with_the_loop(data, shape):
    pred, alpha = data.draw(matte_pairs(shape=shape, dtype=torch.float64))
    foreground, background = (data.draw(images(shape=shape, dtype=torch.float64)) for _ in range(2))
    expected = oracles.composition(*(x.numpy() for x in (pred, alpha, foreground, background)), 1e-6)
    found = composition_loss(pred, alpha, foreground, background, reduction="none")
    # the loop composes with rounding of 1e-16, which the root of d² + 1e-12 turns into at most as much
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-15)


@given(st.data(), shapes())
def test_it_is_the_alpha_error_times_the_contrast(data, shape):
    pred, alpha = data.draw(matte_pairs(shape=shape, dtype=torch.float64))
    foreground, background = (data.draw(images(shape=shape, dtype=torch.float64)) for _ in range(2))
    found = composition_loss(pred, alpha, foreground, background, eps=1e-9, reduction="none")
    expected = (pred - alpha).abs() * (foreground - background).abs()
    torch.testing.assert_close(found, expected, rtol=0, atol=1.1e-9)  # eps, at most


def test_the_mean_is_over_pixels_and_channels():
    pred, alpha = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    foreground = torch.tensor([0.3, 0.6, 0.9]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    background = torch.zeros(1, 3, 2, 2)
    assert composition_loss(pred, alpha, foreground, background).item() == pytest.approx(0.6)
    mask = torch.tensor([[True, False], [False, False]])[None, None]
    assert composition_loss(pred, alpha, foreground, background, mask).item() == pytest.approx(0.6)
    assert composition_loss(pred, alpha, foreground, background, mask, reduction="sum").item() == pytest.approx(1.8)


def test_one_background_serves_the_batch():
    pred, alpha = torch.rand(3, 1, 2, 2), torch.rand(3, 1, 2, 2)
    foreground, background = torch.rand(3, 3, 2, 2), torch.rand(1, 3, 2, 2)
    expected = composition_loss(pred, alpha, foreground, background.expand(3, 3, 2, 2))
    assert composition_loss(pred, alpha, foreground, background) == expected


@pytest.mark.parametrize(
    ("foreground", "error", "message"),
    [
        (torch.rand(1, 1, 2, 2), ValueError, "foreground must have shape (N, 3, H, W), got (1, 1, 2, 2)"),
        (torch.ones(1, 3, 2, 2, dtype=torch.uint8), TypeError, "foreground must be floating-point, got torch.uint8"),
        (torch.rand(1, 3, 2, 3), ValueError, "foreground must fit pred, (1, 1, 2, 2), got (1, 3, 2, 3)"),
        (torch.rand(4, 3, 2, 2), ValueError, "foreground must hold 1 image or as many as pred, 1, got 4"),
        (None, TypeError, "foreground must be a torch.Tensor, got NoneType"),
    ],
)
@pytest.mark.parametrize("mask", [None, torch.ones(1, 1, 2, 2)], ids=["whole", "masked"])
def test_images_are_checked(foreground, error, message, mask):
    pair, image = torch.rand(2, 1, 1, 2, 2), torch.rand(1, 3, 2, 2)
    with pytest.raises(error, match=re.escape(message)):
        composition_loss(*pair, foreground, image, mask)
    with pytest.raises(error, match=re.escape(message.replace("foreground", "background"))):
        composition_loss(*pair, image, foreground, mask)


def test_the_derivative_is_the_closed_form():
    pred, alpha = torch.rand(2, 2, 1, 3, 4, dtype=torch.float64)
    foreground, background = torch.rand(2, 2, 3, 3, 4, dtype=torch.float64)
    pred[0] = alpha[0]  # the slope at equality is 0
    leaf = pred.clone().requires_grad_()
    (found,) = torch.autograd.grad(composition_loss(leaf, alpha, foreground, background, eps=0.01), leaf)
    contrast = foreground - background
    difference = (pred - alpha) * contrast
    expected = (difference / (difference**2 + 1e-4).sqrt() * contrast).sum(1, keepdim=True) / difference.numel()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-16)


def test_colours_outside_the_mask_may_be_anything():
    pair, (foreground, background) = torch.rand(2, 1, 1, 2, 2), torch.rand(2, 1, 3, 2, 2)
    mask = torch.tensor([[True, False], [True, True]])[None, None]
    expected = composition_loss(*pair, foreground, background, mask)
    pred = pair[0].clone().requires_grad_()
    loss = composition_loss(
        pred, pair[1], foreground.masked_fill(~mask, torch.nan), background.masked_fill(~mask, torch.inf), mask
    )
    assert loss == expected
    assert torch.autograd.grad(loss, pred)[0].isfinite().all()


def test_the_mask_is_checked():
    mattes, colours = torch.rand(2, 1, 1, 2, 2).unbind(0), torch.rand(2, 1, 3, 2, 2).unbind(0)
    with pytest.raises(TypeError, match="mask must be bool or floating-point"):
        composition_loss(*mattes, *colours, torch.ones(1, 1, 2, 2, dtype=torch.uint8))
    with pytest.raises(ValueError, match=re.escape("mask must have shape (1, 1, 2, 2), got (1, 1, 2, 3)")):
        composition_loss(*mattes, *colours, torch.ones(1, 1, 2, 3))

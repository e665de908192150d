import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mattekit.losses import alpha_loss
from mattekit.testing import matte_pairs
from oracles import losses as oracles


@given(matte_pairs(dtype=torch.float64), st.sampled_from([1e-6, 1e-3, 0.5]))
def test_agrees_with_the_loop(pair, eps):
    expected = oracles.charbonnier(*(x.numpy() for x in pair), eps)
    # float64, the same operations: a rounding each
    torch.testing.assert_close(
        alpha_loss(*pair, eps=eps, reduction="none"), torch.from_numpy(expected), rtol=1e-14, atol=0
    )


def test_the_default_is_the_papers_epsilon():
    same = torch.full((1, 1, 3, 3), 0.3, dtype=torch.float64)
    assert alpha_loss(same, same).item() == pytest.approx(1e-6, rel=1e-12)


def test_the_derivative_is_the_closed_form():
    pred = torch.rand(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    alpha = torch.rand(1, 1, 4, 5, dtype=torch.float64)
    (grad,) = torch.autograd.grad(alpha_loss(pred, alpha, eps=0.1), pred)
    d = (pred - alpha).detach()
    torch.testing.assert_close(grad, d / (d.square() + 0.01).sqrt() / d.numel())


def test_a_mask_of_weights_is_a_weighted_mean():
    pred = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64).view(1, 1, 1, 3)
    weights = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64).view(1, 1, 1, 3)
    # (0.1·1 + 0.2·0.5) / 1.5; eps adds 1e-12/0.2 at most
    assert alpha_loss(pred, torch.zeros_like(pred), weights).item() == pytest.approx(0.2 / 1.5, abs=1e-11)


def test_a_megapixel_in_half_precision_does_not_overflow():
    ones = torch.ones(1, 1, 1024, 1024, dtype=torch.float16)
    zeros = torch.zeros_like(ones)
    assert alpha_loss(ones, zeros, reduction="sum").item() == 1024 * 1024
    assert alpha_loss(ones, zeros, ones).item() == 1

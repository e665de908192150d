import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from mattekit.losses import semantic_loss
from mattekit.testing import shapes, trimaps
from mattekit.trimap import to_classes
from oracles import losses as oracles


def logits_of(shape, seed, dtype=torch.float64):
    n, _, h, w = shape
    return torch.randn(n, 3, h, w, dtype=dtype, generator=torch.Generator().manual_seed(seed)) * 4


@given(st.data(), shapes(), st.integers(0, 99), st.sampled_from([0.0, 1e-6, 0.1]))
def test_agrees_with_the_loop(data, shape, seed, eps):
    trimap, logits = data.draw(trimaps(shape=shape)), logits_of(shape, seed)
    expected = oracles.semantic(logits.numpy(), trimap.numpy(), eps)
    found = semantic_loss(logits, trimap, eps=eps, reduction="none")
    # the loop divides before it takes the logarithm, of probabilities down to exp(-30)
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-12, atol=1e-15)


@given(st.data(), shapes(), st.integers(0, 99))
def test_agrees_with_torchs_cross_entropy(data, shape, seed):
    trimap, logits = data.draw(trimaps(shape=shape)), logits_of(shape, seed)
    classes = to_classes(trimap)[:, 0]
    torch.testing.assert_close(semantic_loss(logits, trimap), F.cross_entropy(logits, classes))
    torch.testing.assert_close(
        semantic_loss(logits, trimap, reduction="sum"), F.cross_entropy(logits, classes, reduction="sum")
    )


@given(st.data(), shapes(max_batch=3), st.integers(0, 99))
def test_a_mask_is_a_crop(data, shape, seed):
    trimap, logits = data.draw(trimaps(shape=shape)), logits_of(shape, seed)
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, :, : (shape[2] + 1) // 2, shape[3] // 2 :] = True
    crop = (..., slice((shape[2] + 1) // 2), slice(shape[3] // 2, None))
    torch.testing.assert_close(semantic_loss(logits, trimap, mask), semantic_loss(logits[crop], trimap[crop]))


def test_scores_outside_the_mask_may_be_anything():
    logits, trimap = logits_of((1, 1, 2, 3), 0), torch.tensor([0, 128, 255], dtype=torch.uint8).expand(1, 1, 2, 3)
    mask = torch.tensor([True, False, True]).expand(1, 1, 2, 3)
    broken = logits.masked_fill(~mask, torch.nan).requires_grad_()
    loss = semantic_loss(broken, trimap, mask)
    assert loss == semantic_loss(logits, trimap, mask)
    (grad,) = torch.autograd.grad(loss, broken)
    assert grad.isfinite().all()
    assert not grad[..., 1].any()


def test_the_derivative_is_the_closed_form():
    logits = logits_of((2, 1, 3, 4), 0).requires_grad_()
    trimap = torch.tensor([0, 128, 255], dtype=torch.uint8).repeat(2, 1, 4, 1).mT
    (grad,) = torch.autograd.grad(semantic_loss(logits, trimap, reduction="sum"), logits)
    one_hot = F.one_hot(to_classes(trimap)[:, 0], 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(grad, logits.detach().softmax(1) - one_hot)


@pytest.mark.parametrize("eps", [0.0, 1e-6])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_sure_and_wrong_is_finite(dtype, eps):
    logits = torch.tensor([1e4, 0, -1e4], dtype=dtype).view(1, 3, 1, 1).requires_grad_()
    loss = semantic_loss(logits, torch.zeros(1, 1, 1, 1, dtype=torch.uint8), eps=eps)
    loss.backward()
    assert loss.item() == pytest.approx(13.815510558 if eps else 2e4, rel=1e-2 if dtype == torch.bfloat16 else 1e-3)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@given(st.data(), shapes(), st.integers(0, 99))
def test_half_precision(data, shape, seed):
    trimap, logits = data.draw(trimaps(shape=shape)), logits_of(shape, seed, torch.float16)
    with torch.autocast("cpu", torch.bfloat16):
        found = semantic_loss(logits, trimap)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), semantic_loss(logits.double(), trimap), rtol=1e-5, atol=1e-6)  # float32


def test_nothing_masked_in_is_no_loss():
    logits = logits_of((1, 1, 2, 2), 0).requires_grad_()
    loss = semantic_loss(logits, torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.zeros(1, 1, 2, 2))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("eps", [0.0, 1e-3])
def test_gradcheck(eps):
    logits = logits_of((1, 1, 2, 3), 0).requires_grad_()
    trimap = torch.tensor([0, 128, 255], dtype=torch.uint8).repeat(1, 1, 2, 1)
    mask = torch.rand(1, 1, 2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: semantic_loss(x, trimap, mask, eps=eps), logits)


def test_compiles_without_breaks():
    logits, trimap = logits_of((2, 1, 4, 4), 0), torch.full((2, 1, 4, 4), 128, dtype=torch.uint8)
    compiled = torch.compile(semantic_loss, fullgraph=True, backend="eager")
    assert compiled(logits, trimap, eps=1e-6) == semantic_loss(logits, trimap, eps=1e-6)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"semantic_logits": torch.rand(1, 2, 4, 4)}, ValueError, "semantic_logits must have shape (N, 3, H, W)"),
        (
            {"semantic_logits": torch.ones(1, 3, 4, 4, dtype=torch.int64)},
            TypeError,
            "semantic_logits must be floating-point",
        ),
        ({"trimap": torch.zeros(1, 1, 4, 4)}, TypeError, "trimap must be torch.uint8, got torch.float32"),
        (
            {"trimap": torch.zeros(1, 1, 4, 5, dtype=torch.uint8)},
            ValueError,
            "trimap must have shape (1, 1, 4, 4) as semantic_logits has it, got (1, 1, 4, 5)",
        ),
        ({"mask": torch.ones(1, 1, 5, 4)}, ValueError, "mask must have shape (1, 1, 4, 4), got (1, 1, 5, 4)"),
        ({"mask": torch.ones(1, 1, 4, 4).byte()}, TypeError, "mask must be bool or floating-point"),
        ({"eps": -1}, ValueError, "eps must not be negative, got -1"),
        ({"reduction": "max"}, ValueError, "reduction must be one of 'mean', 'sum', 'none', got 'max'"),
    ],
)
def test_errors(change, error, message):
    arguments = {
        "semantic_logits": torch.rand(1, 3, 4, 4),
        "trimap": torch.zeros(1, 1, 4, 4, dtype=torch.uint8),
        **change,
    }
    with pytest.raises(error, match=re.escape(message)):
        semantic_loss(**arguments)

import itertools
import math

import pytest
import torch

from mattekit.blocks import ConvFusion, DetailFusion, ReplaceFusion, SoftFusion


def pixels_of(fusion):
    """Of each pixel of two random images: its three logits, the detail map, and alpha."""
    logits, detail = torch.randn(2, 3, 5, 7), torch.rand(2, 1, 5, 7)
    alpha = fusion(logits, detail)
    assert alpha.shape == detail.shape
    for n, y, x in itertools.product(range(2), range(5), range(7)):
        yield logits[n, :, y, x].tolist(), detail[n, 0, y, x].item(), alpha[n, 0, y, x].item()


def test_replace_agrees_with_a_loop():
    for (foreground, transition, background), detail, alpha in pixels_of(ReplaceFusion()):
        likeliest = max(foreground, transition, background)
        assert alpha == {foreground: 1.0, transition: detail, background: 0.0}[likeliest]


def test_replace_hands_gradients_to_the_transition_alone():
    logits, detail = torch.randn(2, 3, 5, 7).requires_grad_(), torch.rand(2, 1, 5, 7).requires_grad_()
    ReplaceFusion()(logits, detail).sum().backward()
    assert logits.grad is None
    assert detail.grad.equal((logits.argmax(1, keepdim=True) == 1).float())


def test_soft_agrees_with_a_loop():
    for logits, detail, alpha in pixels_of(SoftFusion()):
        foreground, transition, background = map(math.exp, logits)
        expected = foreground + transition * detail
        assert alpha == pytest.approx(expected / (foreground + transition + background))


def test_soft_is_replacement_where_the_semantic_map_is_sure():
    logits, detail = 1000 * torch.randn(2, 3, 50, 70), torch.rand(2, 1, 50, 70)
    first, second = logits.topk(2, dim=1).values.unbind(1)
    sure = (first - second > 20)[:, None]  # e^-20 is less than float32 resolves
    assert 0.9 < sure.float().mean() < 1
    soft, replaced = SoftFusion()(logits, detail), ReplaceFusion()(logits, detail)
    torch.testing.assert_close(soft[sure], replaced[sure], rtol=1e-6, atol=1e-6)


def test_soft_stays_within_1():
    logits = 9 * torch.randn(2, 3, 300, 300)
    probabilities = logits.softmax(1)
    assert (probabilities[:, 0] + probabilities[:, 1]).max() > 1  # rounded numbers, summed
    assert SoftFusion()(logits, torch.ones(2, 1, 300, 300)).max() == 1


def test_soft_hands_gradients_to_both_maps():
    logits, detail = torch.randn(2, 3, 5, 7).requires_grad_(), torch.rand(2, 1, 5, 7).requires_grad_()
    SoftFusion()(logits, detail).sum().backward()
    foreground, transition, background = logits.softmax(1).unbind(1)
    torch.testing.assert_close(detail.grad[:, 0], transition)
    # of a sum of p_c a_c by the logit c: p_c (a_c - alpha)
    alpha = foreground + transition * detail[:, 0]
    expected = [foreground * (1 - alpha), transition * (detail[:, 0] - alpha), -background * alpha]
    torch.testing.assert_close(logits.grad, torch.stack(expected, 1))


def test_conv_is_a_pointwise_convolution_of_both_maps():
    fusion = ConvFusion()
    torch.nn.init.normal_(fusion.conv.weight)
    logits, detail = torch.randn(2, 3, 5, 7), torch.rand(2, 1, 5, 7)
    maps = torch.cat([detail, logits.softmax(1)], 1)
    expected = (torch.einsum("oi,nihw->nohw", fusion.conv.weight[:, :, 0, 0], maps) + fusion.conv.bias).sigmoid()
    torch.testing.assert_close(fusion(logits, detail), expected)


def test_conv_starts_near_replacement():
    sure = 20 * torch.eye(3).view(1, 3, 1, 3)
    alpha = ConvFusion()(sure, torch.full((1, 1, 1, 3), 0.5)).flatten().tolist()
    assert alpha[0] > 0.95
    assert alpha[1] == pytest.approx(0.5)
    assert alpha[2] < 0.05


def test_detail_leaves_the_semantic_map_aside():
    detail = torch.rand(2, 1, 5, 7)
    assert DetailFusion()(torch.randn(2, 3, 5, 7), detail) is detail


@pytest.mark.parametrize("fusion", [ReplaceFusion(), ConvFusion(), DetailFusion(), SoftFusion()])
def test_bad_shapes(fusion):
    with pytest.raises(ValueError, match=r"detail must have the height and width of semantic_logits, \(4, 4\), got"):
        fusion(torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 5))
    with pytest.raises(ValueError, match=r"semantic_logits must have shape \(N, 3, H, W\), got \(1, 2, 4, 4\)"):
        fusion(torch.rand(1, 2, 4, 4), torch.rand(1, 1, 4, 4))

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from mattekit.losses import (
    PADDLESEG,
    PPMattingLosses,
    alpha_loss,
    composition_loss,
    detail_loss,
    fusion_loss,
    gradient_loss,
    pp_matting_loss,
    semantic_loss,
)
from mattekit.trimap import unknown_mask

REFERENCE = Path(__file__).parent.parent / "data" / "paddleseg" / "losses.npz"

# The reference sums in float32; over 1,920 pixels and three channels that leaves about 1e-6 of the value.
RTOL = 1e-5


class Output(NamedTuple):
    alpha: Tensor
    detail: Tensor
    semantic_logits: Tensor


@pytest.fixture(params=[torch.float32, torch.float64])
def reference(request):
    arrays = dict(np.load(REFERENCE))
    inputs = {name: torch.from_numpy(a) for name, a in arrays.items() if not name.startswith("loss_")}
    inputs = {name: x.to(request.param) if x.is_floating_point() else x for name, x in inputs.items()}
    values = {name.removeprefix("loss_"): float(a) for name, a in arrays.items() if name.startswith("loss_")}
    return inputs, values


def output_of(inputs):
    return Output(inputs["fusion"], inputs["detail"], inputs["semantic_logits"])


def test_agrees_with_the_authors_code(reference):
    inputs, values = reference
    losses = pp_matting_loss(
        output_of(inputs), inputs["alpha"], inputs["trimap"], inputs["foreground"], inputs["background"], **PADDLESEG
    )
    assert losses.total.item() == pytest.approx(values.pop("all"), rel=RTOL)
    assert set(values) == set(PPMattingLosses._fields) - {"total"}
    for name, value in values.items():
        assert getattr(losses, name).item() == pytest.approx(value, rel=RTOL), name


def test_each_loss_alone_agrees_with_the_authors_code(reference):
    inputs, values = reference
    pred, detail, alpha, trimap = inputs["fusion"], inputs["detail"], inputs["alpha"], inputs["trimap"]
    foreground, background = inputs["foreground"], inputs["background"]
    unknown = unknown_mask(trimap)
    found = {
        "semantic": semantic_loss(inputs["semantic_logits"], trimap, eps=1e-6),
        "detail": detail_loss(detail, alpha, trimap, eps=1e-3, mask_inputs=True),
        "detail_alpha": alpha_loss(detail, alpha, unknown, eps=1e-3),
        "detail_gradient": gradient_loss(detail, alpha, unknown, eps=1e-3, mask_inputs=True),
        "fusion": fusion_loss(pred, alpha, foreground, background, eps=1e-3),
        "fusion_alpha": alpha_loss(pred, alpha, eps=1e-3),
        "fusion_composition": composition_loss(pred, alpha, foreground, background, eps=1e-3),
        "fusion_gradient": gradient_loss(pred, alpha, eps=1e-3),
    }
    assert set(found) == set(values) - {"all"}
    for name, value in found.items():
        assert value.item() == pytest.approx(values[name], rel=RTOL), name


def test_the_paper_is_another_loss_than_the_code(reference):
    """So that the defaults cannot drift to the code's numbers, or PADDLESEG to the paper's."""
    inputs, values = reference
    losses = pp_matting_loss(
        output_of(inputs), inputs["alpha"], inputs["trimap"], inputs["foreground"], inputs["background"]
    )
    for name, value in values.items():
        assert getattr(losses, name.replace("all", "total")).item() != pytest.approx(value, rel=RTOL), name
    assert losses.total == losses.semantic + losses.detail + losses.fusion
    assert losses.detail == losses.detail_alpha + losses.detail_gradient
    assert losses.fusion == losses.fusion_alpha + losses.fusion_gradient + losses.fusion_composition


@pytest.fixture
def case():
    trimap = torch.tensor([0, 128, 255], dtype=torch.uint8).repeat(2, 1, 5, 2)
    alpha = torch.rand(2, 1, 5, 6)
    output = Output(torch.rand(2, 1, 5, 6), torch.rand(2, 1, 5, 6), torch.randn(2, 3, 5, 6))
    return output, alpha, trimap, torch.rand(2, 3, 5, 6), torch.rand(2, 3, 5, 6)


def test_every_option_reaches_its_loss(case):
    output, alpha, trimap, foreground, background = case
    options = {"eps": 0.1, "operator": "gaussian", "mask_inputs": True}
    losses = pp_matting_loss(*case, weights=(2, 3, 5), semantic_eps=0.2, **options)
    unknown = unknown_mask(trimap)
    assert losses.semantic == semantic_loss(output.semantic_logits, trimap, eps=0.2)
    assert losses.detail_alpha == alpha_loss(output.detail, alpha, unknown, eps=0.1)
    assert losses.detail_gradient == gradient_loss(output.detail, alpha, unknown, **options)
    assert losses.detail == detail_loss(output.detail, alpha, trimap, **options)
    assert losses.fusion_alpha == alpha_loss(output.alpha, alpha, eps=0.1)
    assert losses.fusion_gradient == gradient_loss(output.alpha, alpha, operator="gaussian", eps=0.1)
    assert losses.fusion_composition == composition_loss(output.alpha, alpha, foreground, background, eps=0.1)
    assert losses.fusion == fusion_loss(output.alpha, alpha, foreground, background, eps=0.1, operator="gaussian")
    assert losses.total == 2 * losses.semantic + 3 * losses.detail + 5 * losses.fusion


def test_the_defaults_are_the_papers(case):
    output, alpha, trimap, foreground, background = case
    losses = pp_matting_loss(*case)
    unknown = unknown_mask(trimap)
    assert losses.semantic == semantic_loss(output.semantic_logits, trimap, eps=0.0)
    assert losses.detail_alpha == alpha_loss(output.detail, alpha, unknown, eps=1e-6)
    paper = {"operator": "sobel", "mask_inputs": False, "eps": 1e-6}
    assert losses.detail_gradient == gradient_loss(output.detail, alpha, unknown, **paper)
    assert losses.detail == detail_loss(output.detail, alpha, trimap) == losses.detail_alpha + losses.detail_gradient
    assert losses.fusion_alpha == alpha_loss(output.alpha, alpha, eps=1e-6)
    assert losses.fusion_gradient == gradient_loss(output.alpha, alpha, operator="sobel", eps=1e-6)
    assert losses.fusion_composition == composition_loss(output.alpha, alpha, foreground, background, eps=1e-6)
    assert losses.fusion == fusion_loss(output.alpha, alpha, foreground, background)
    assert losses.total == losses.semantic + losses.detail + losses.fusion


def test_without_foreground_and_background_there_is_no_composition_term(case):
    output, alpha, trimap, foreground, background = case
    losses = pp_matting_loss(output, alpha, trimap)
    assert losses.fusion_composition == 0
    assert losses.fusion == losses.fusion_alpha + losses.fusion_gradient == fusion_loss(output.alpha, alpha)
    with pytest.raises(ValueError, match="together or not at all, got no background"):
        pp_matting_loss(output, alpha, trimap, foreground)
    with pytest.raises(ValueError, match="together or not at all, got no foreground"):
        fusion_loss(output.alpha, alpha, background=background)


def test_layers_known_for_some_images_only(case):
    """The composition term is the mean over the images that have them; what the others hold does not matter."""
    output, alpha, trimap, foreground, background = case
    foreground[0], background[0] = torch.nan, 255
    has_layers = torch.tensor([False, True])
    losses = pp_matting_loss(*case, has_layers=has_layers)
    alone = composition_loss(output.alpha[1:], alpha[1:], foreground[1:], background[1:])
    torch.testing.assert_close(losses.fusion_composition, alone)
    without = pp_matting_loss(output, alpha, trimap)
    torch.testing.assert_close(losses.total, without.total + alone)
    assert losses.fusion == fusion_loss(output.alpha, alpha, foreground, background, has_layers=has_layers)
    assert composition_loss(output.alpha, alpha, foreground, background, has_layers=has_layers) == alone
    nothing = pp_matting_loss(*case, has_layers=torch.tensor([False, False]))
    assert nothing.fusion_composition == 0
    assert nothing.total == without.total
    mask = torch.zeros_like(alpha, dtype=torch.bool)
    mask[:, :, 2:] = True
    masked = composition_loss(output.alpha, alpha, foreground, background, mask, has_layers=has_layers)
    torch.testing.assert_close(
        masked, composition_loss(output.alpha[1:], alpha[1:], foreground[1:], background[1:], mask[1:])
    )
    with pytest.raises(ValueError, match=r"^foreground must lie in \[0, 1\], got NaN"):
        pp_matting_loss(*case)
    with pytest.raises(TypeError, match=r"^has_layers must be a bool tensor, got torch.uint8"):
        pp_matting_loss(*case, has_layers=has_layers.byte())
    with pytest.raises(TypeError, match=r"^has_layers must be a bool tensor, got list"):
        pp_matting_loss(*case, has_layers=[True, False])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^has_layers must have shape \(2,\), got \(1,\)"):
        pp_matting_loss(*case, has_layers=has_layers[:1])


def test_gradients_stay_where_layers_are_known(case):
    output, alpha, _, foreground, background = case
    pred = output.alpha.clone().requires_grad_()
    foreground[0] = torch.nan
    composition_loss(pred, alpha, foreground, background, has_layers=torch.tensor([False, True])).backward()
    assert pred.grad is not None
    assert (pred.grad[0] == 0).all()
    assert (pred.grad[1] != 0).all()


def test_a_mask_reaches_every_loss(case):
    output, alpha, trimap, foreground, background = case
    mask = torch.rand_like(alpha)
    losses = pp_matting_loss(*case, mask)
    unknown = unknown_mask(trimap) * mask
    assert losses.semantic == semantic_loss(output.semantic_logits, trimap, mask)
    assert losses.detail_alpha == alpha_loss(output.detail, alpha, unknown)
    assert losses.detail_gradient == gradient_loss(output.detail, alpha, unknown)
    assert losses.detail == detail_loss(output.detail, alpha, trimap, mask)
    assert losses.fusion_alpha == alpha_loss(output.alpha, alpha, mask)
    assert losses.fusion_gradient == gradient_loss(output.alpha, alpha, mask)
    assert losses.fusion_composition == composition_loss(output.alpha, alpha, foreground, background, mask)
    assert losses.fusion == fusion_loss(output.alpha, alpha, foreground, background, mask)


def test_what_is_no_trimap_is_refused(case):
    """127 all over gave a detail loss of 0."""
    output, alpha, trimap, *_ = case
    for loss in (
        lambda t: pp_matting_loss(output, alpha, t),
        lambda t: detail_loss(output.detail, alpha, t),
        lambda t: semantic_loss(output.semantic_logits, t),
    ):
        with pytest.raises(ValueError, match=r"^trimap must hold only 0, 128 and 255, got 127 in 60 pixels"):
            loss(torch.full_like(trimap, 127))
        loss(trimap)


def test_truths_out_of_range_are_refused(case):
    output, alpha, trimap, foreground, background = case
    with pytest.raises(ValueError, match=r"^alpha must lie in \[0, 1\], got .*: did you pass 0..255"):
        pp_matting_loss(output, alpha * 255, trimap)
    with pytest.raises(ValueError, match=r"^foreground must lie in \[0, 1\], got .*: did you pass 0..255"):
        pp_matting_loss(output, alpha, trimap, foreground * 255, background)
    with pytest.raises(ValueError, match=r"^background must lie in \[0, 1\], got .*: did you pass 0..255"):
        pp_matting_loss(output, alpha, trimap, foreground, background * 255)


def test_compiled_code_refuses_them_too(case):
    output, alpha, trimap, *_ = case
    compiled = torch.compile(pp_matting_loss, fullgraph=True, backend="eager")
    with pytest.raises(RuntimeError, match=r"^alpha must lie in \[0, 1\]"):
        compiled(output, alpha * 255, trimap)
    with pytest.raises(RuntimeError, match=r"^trimap must hold only 0, 128 and 255"):
        compiled(output, alpha, torch.full_like(trimap, 127))


def test_gradients_reach_each_output_from_its_own_losses(case):
    output, alpha, trimap, foreground, background = case
    leaves = Output(*(x.clone().requires_grad_() for x in output))
    losses = pp_matting_loss(leaves, alpha, trimap, foreground, background)

    def reached(loss):
        grads = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
        return [name for name, grad in zip(Output._fields, grads, strict=True) if grad is not None and grad.any()]

    assert reached(losses.semantic) == ["semantic_logits"]
    assert reached(losses.detail) == ["detail"]
    assert reached(losses.fusion) == ["alpha"]
    assert reached(losses.total) == list(Output._fields)


def test_detail_loss_looks_at_the_unknown_region_only_where_it_masks_its_inputs(case):
    output, alpha, trimap, _, _ = case
    elsewhere = torch.where(unknown_mask(trimap), output.detail, 1 - output.detail)
    one, other = (detail_loss(d, alpha, trimap, mask_inputs=True) for d in (output.detail, elsewhere))
    assert one == other


def test_detail_loss_reductions(case):
    output, alpha, trimap, _, _ = case
    maps = detail_loss(output.detail, alpha, trimap, reduction="none")
    unknown = unknown_mask(trimap)
    assert maps.shape == alpha.shape
    assert (maps[~unknown] == 0).all()
    total = detail_loss(output.detail, alpha, trimap, reduction="sum")
    torch.testing.assert_close(total, maps.sum())
    torch.testing.assert_close(detail_loss(output.detail, alpha, trimap), total / unknown.sum())


def test_nothing_unknown_is_no_detail_loss(case):
    output, alpha, trimap, _, _ = case
    leaf = output.detail.clone().requires_grad_()
    loss = detail_loss(leaf, alpha, torch.zeros_like(trimap))
    loss.backward()
    assert loss.item() == 0
    assert leaf.grad is not None
    assert not leaf.grad.any()


def test_half_precision(case):
    output, alpha, trimap, foreground, background = case
    expected = pp_matting_loss(*case)
    # the inputs are rounded to 8 bits of mantissa, 2^-9 relative; three losses of order 1 add up
    with torch.autocast("cpu", torch.bfloat16):
        losses = pp_matting_loss(Output(*(x.bfloat16() for x in output)), alpha, trimap, foreground, background)
    assert all(loss.dtype == torch.float32 for loss in losses)
    torch.testing.assert_close(losses.total, expected.total, rtol=1e-2, atol=0)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_without_breaks(case, backend):
    compiled = torch.compile(pp_matting_loss, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(*case), pp_matting_loss(*case))


@pytest.mark.cuda
def test_on_cuda(case):
    expected = pp_matting_loss(*case)
    output, *rest = case
    losses = pp_matting_loss(Output(*(x.cuda() for x in output)), *(x.cuda() for x in rest))
    torch.testing.assert_close(tuple(x.cpu() for x in losses), tuple(expected))


@pytest.mark.parametrize(
    ("trimap", "error", "message"),
    [
        (torch.zeros(2, 1, 5, 6), TypeError, "trimap must be torch.uint8, got torch.float32"),
        (torch.zeros(2, 5, 6, dtype=torch.uint8), ValueError, "trimap must have shape (N, 1, H, W), got (2, 5, 6)"),
        (torch.zeros(2, 1, 6, 6, dtype=torch.uint8), ValueError, "trimap must have shape (2, 1, 5, 6)"),
        (torch.zeros(1, 1, 5, 6, dtype=torch.uint8), ValueError, "got (1, 1, 5, 6)"),
    ],
)
def test_the_trimap_is_checked(case, trimap, error, message):
    output, alpha, *_ = case
    with pytest.raises(error, match=re.escape(message)):
        detail_loss(output.detail, alpha, trimap)
    with pytest.raises(error, match=re.escape(message)):
        pp_matting_loss(output, alpha, trimap)


def test_the_detail_map_is_checked(case):
    _, alpha, trimap, _, _ = case
    with pytest.raises(ValueError, match=re.escape("detail must have shape (N, 1, H, W), got (2, 3, 5, 6)")):
        detail_loss(torch.rand(2, 3, 5, 6), alpha, trimap)
    with pytest.raises(ValueError, match=re.escape("must have shape (2, 1, 5, 7) as detail has it, got (2, 1, 5, 6)")):
        detail_loss(torch.rand(2, 1, 5, 7), alpha, trimap)


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("alpha", torch.rand(2, 1, 5, 7), ValueError, "output.alpha must have the shape of alpha, (2, 1, 5, 6)"),
        ("alpha", torch.rand(2, 3, 5, 6), ValueError, "output.alpha must have shape (N, 1, H, W), got (2, 3, 5, 6)"),
        ("detail", torch.rand(2, 1, 5, 7), ValueError, "as detail has it"),
        ("detail", torch.ones(2, 1, 5, 6, dtype=torch.int64), TypeError, "detail must be floating-point"),
        ("semantic_logits", torch.rand(2, 2, 5, 6), ValueError, "semantic_logits must have shape (N, 3, H, W)"),
    ],
)
def test_the_output_is_checked(case, field, value, error, message):
    output, alpha, trimap, *_ = case
    with pytest.raises(error, match=re.escape(message)):
        pp_matting_loss(output._replace(**{field: value}), alpha, trimap)
    with pytest.raises(TypeError, match="output must have alpha, detail and semantic_logits, got a Tensor"):
        pp_matting_loss(output.alpha, alpha, trimap)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"^alpha must be a torch.Tensor, got NoneType"):
        pp_matting_loss(output, None, trimap)  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        ValueError, match=re.escape("alpha must have the shape of detail, (2, 1, 5, 6), got (1, 1, 5, 6)")
    ):
        detail_loss(output.detail, alpha[:1], trimap)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 1.0, 1.0, 9.0)])
def test_there_are_three_weights(case, weights):
    with pytest.raises(ValueError, match=re.escape(f"weights must be three numbers, λ1, λ2 and λ3, got {weights}")):
        pp_matting_loss(*case, weights=weights)


@pytest.mark.parametrize("options", [{}, PADDLESEG], ids=["the paper", "PaddleSeg"])
def test_gradcheck(case, options):
    output, *others = case
    leaves = [x.double().requires_grad_() for x in output]
    others = [x.double() if x.is_floating_point() else x for x in others]

    def parts(*leaves):
        return tuple(pp_matting_loss(Output(*leaves), *others, **options))[:4]

    assert torch.autograd.gradcheck(parts, leaves)


def test_the_preset_cannot_be_changed():
    with pytest.raises(TypeError):
        PADDLESEG["eps"] = 1  # pyright: ignore[reportIndexIssue]

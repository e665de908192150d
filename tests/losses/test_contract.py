"""The one contract, and the laws, of the losses that compare two mattes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from mattekit.losses import alpha_loss, composition_loss, detail_loss, fusion_loss, gradient_loss, laplacian_loss
from mattekit.testing import alphas, matte_pairs, shapes

COLOURS = (1.0, 0.125, 0.0), (0.5, 0.75, 1.0)


def composition(pred, alpha, mask=None, **options):
    """Composition loss with fixed colours, so that the laws need to move nothing but mattes and masks."""
    n, _, h, w = pred.shape
    red, sky = (torch.tensor(c, dtype=torch.float32).view(1, 3, 1, 1) for c in COLOURS)
    foreground, background = (c.to(pred).expand(n, 3, h, w) for c in (red, sky))
    return composition_loss(pred, alpha, foreground, background, mask, **options)


def detail(pred, alpha, mask=None, **options):
    """Detail loss where everything is unknown."""
    trimap = torch.full(pred.shape, 128, dtype=torch.uint8, device=pred.device)
    return detail_loss(pred, alpha, trimap, mask, **options)


def fusion(pred, alpha, mask=None, **options):
    """Fusion loss with fixed colours."""
    n, _, h, w = pred.shape
    red, sky = (torch.tensor(c).to(pred).view(1, 3, 1, 1).expand(n, 3, h, w) for c in COLOURS)
    return fusion_loss(pred, alpha, red, sky, mask, **options)


@dataclass(frozen=True)
class Case:
    name: str
    loss: Callable[..., torch.Tensor]
    at_equality: float = 0.0
    reach: int | None = 0  # pixels beyond the mask that the masked loss sees; None for all of the image
    convex: bool = True  # the magnitude of a gradient within an absolute difference is not
    flips: bool = True
    channels: int = 1

    def __str__(self):
        return self.name


def case(name: str, loss: Callable[..., torch.Tensor], options: dict[str, Any] | None = None, **facts: Any) -> Case:
    def call(pred, alpha, mask=None, **more):
        return loss(pred, alpha, mask, **(options or {}), **more)

    return Case(name, call, **facts)


CASES = [
    case("alpha", alpha_loss, at_equality=1e-6),
    case("alpha as PaddleSeg", alpha_loss, {"eps": 1e-3}, at_equality=1e-3),
    case("composition", composition, at_equality=1e-6, channels=3),
    case("gradient", gradient_loss, reach=1, convex=False),
    case("gradient with the Gaussian", gradient_loss, {"operator": "gaussian"}, reach=4, convex=False),
    case("detail", detail, at_equality=1e-6, reach=1, convex=False),
    case("fusion", fusion, at_equality=2e-6, reach=1, convex=False),
    # where every second sample is kept, a matte and its mirror image keep different ones
    case("Laplacian", laplacian_loss, {"levels": 3}, reach=None, flips=False),
    case("Laplacian as AIM", laplacian_loss, {"levels": 2, "pyramid": "pooled", "residual": True}, reach=None),
]


def cases_with(fact: Callable[[Case], object]):
    return pytest.mark.parametrize("case", [c for c in CASES if fact(c)], ids=str)


every_case = cases_with(lambda case: True)

MASKED_BEFORE = [
    case("gradient as PaddleSeg", gradient_loss, {"eps": 1e-3, "mask_inputs": True}),
    case("Laplacian as AIM, masked", laplacian_loss, {"pyramid": "pooled", "residual": True, "mask_inputs": True}),
    case("Laplacian as MGMatting, masked", laplacian_loss, {"mask_levels": True}),
]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
DOUBLE = torch.float64
EXACT = {"rtol": 1e-12, "atol": 1e-15}  # float64, the same numbers summed in another order


def masks(shape):
    """bool masks and weights; weights whose sum is next to nothing in float32 count as none, and are drawn as such."""
    weights = alphas(shape=shape)
    return st.one_of(
        weights.map(lambda a: a > 0.5), weights.map(lambda a: a.where(a > 1e-18, 0)), st.just(torch.ones(shape))
    )


# ---- laws


@every_case
@given(matte_pairs())
def test_never_negative(case, pair):
    assert (case.loss(*pair, reduction="none") >= 0).all()


@every_case
@given(alphas(dtype=DOUBLE))
def test_at_equality_there_is_nothing_but_eps(case, alpha):
    maps = case.loss(alpha, alpha.clone(), reduction="none")
    assert_close(maps, torch.full_like(maps, case.at_equality), rtol=1e-12, atol=0)


@every_case
@given(matte_pairs())
def test_symmetric(case, pair):
    pred, alpha = pair
    assert case.loss(pred, alpha, reduction="none").equal(case.loss(alpha, pred, reduction="none"))


@cases_with(lambda case: case.flips)
@given(st.data(), shapes())
def test_flips_change_nothing(case, data, shape):
    shape = (shape[0], 1, 4 * shape[2], 4 * shape[3])  # whole blocks for two levels of 2×2 means
    pred, alpha = data.draw(matte_pairs(shape=shape, dtype=DOUBLE))
    mask = data.draw(masks(shape))
    for dim in (2, 3):
        assert_close(case.loss(*(x.flip(dim) for x in (pred, alpha, mask))), case.loss(pred, alpha, mask), **EXACT)


@every_case
@given(st.data(), shapes())
def test_masked_is_the_mean_of_the_cropped_map(case, data, shape):
    pred, alpha = data.draw(matte_pairs(shape=shape, dtype=DOUBLE))
    crop = data.draw(boxes(shape))
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[crop] = True
    assert_close(case.loss(pred, alpha, mask), case.loss(pred, alpha, reduction="none")[crop].mean(), **EXACT)


@cases_with(lambda case: case.reach is not None)
@given(st.data(), shapes())
def test_masked_is_cropped(case, data, shape):
    pred, alpha = data.draw(matte_pairs(shape=shape, dtype=DOUBLE))
    crop = data.draw(boxes(shape))
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[crop] = True
    wider = (..., *(slice(max(s.start - case.reach, 0), s.stop + case.reach) for s in crop[2:]))
    assert_close(case.loss(pred, alpha, mask), case.loss(pred[wider], alpha[wider], mask[wider]), **EXACT)


def boxes(shape):
    def span(size):
        return st.tuples(st.integers(0, size - 1), st.integers(1, size)).map(
            lambda s: slice(min(s[0], s[1] - 1), max(s[0] + 1, s[1]))
        )

    return st.tuples(st.just(slice(None)), st.just(slice(None)), span(shape[2]), span(shape[3]))


@every_case
@given(st.data(), shapes(max_batch=3))
def test_sums_add_up_over_images(case, data, shape):
    pred, alpha = data.draw(matte_pairs(shape=shape, dtype=DOUBLE))
    mask = data.draw(masks(shape))
    each = [
        case.loss(*images, reduction="sum") for images in zip(pred.split(1), alpha.split(1), mask.split(1), strict=True)
    ]
    assert_close(case.loss(pred, alpha, mask, reduction="sum"), torch.stack(each).sum(), **EXACT)


@every_case
@given(st.data(), shapes(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_error_in_the_same_direction_costs_more(case, data, shape, one, other):
    pred, alpha = data.draw(matte_pairs(shape=shape, dtype=DOUBLE))
    if not case.convex:
        alpha = torch.full_like(alpha, 0.5)  # gradients may cancel; against a flat matte they cannot
    less, more = sorted((one, other))
    losses = [case.loss(alpha + t * (pred - alpha), alpha).item() for t in (less, more)]
    assert losses[0] <= losses[1] * (1 + 1e-12) + 1e-15


@cases_with(lambda case: case.convex)
@given(st.data(), shapes(), st.floats(0, 1))
def test_a_mixture_never_beats_the_worse_end(case, data, shape, t):
    (one, other), alpha = (
        data.draw(matte_pairs(shape=shape, dtype=DOUBLE)),
        data.draw(alphas(shape=shape, dtype=DOUBLE)),
    )
    ends = case.loss(one, alpha), case.loss(other, alpha)
    mixed = case.loss(torch.lerp(one, other, t), alpha)
    bound = (1 - t) * ends[0] + t * ends[1]  # convexity, which is the stronger law
    assert mixed.item() <= bound.item() * (1 + 1e-12) + 1e-15


@pytest.mark.parametrize("case", [*CASES, *MASKED_BEFORE], ids=str)
@given(st.data(), shapes(), st.sampled_from(DTYPES))
def test_gradients_are_finite_everywhere(case, data, shape, dtype):
    pair = data.draw(matte_pairs(shape=shape, dtype=dtype))
    mask = data.draw(alphas(shape=shape, dtype=dtype))
    pred, alpha = (x.requires_grad_() for x in pair)
    case.loss(pred, alpha, mask).backward()
    for x in (pred, alpha):
        assert x.grad is not None
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("case", [*CASES, *MASKED_BEFORE], ids=str)
@given(matte_pairs(dtype=DOUBLE), st.sampled_from(["mean", "sum", "none"]), st.sampled_from([torch.bool, *DTYPES]))
def test_an_empty_mask_is_zero_with_zero_gradients(case, pair, reduction, mask_dtype):
    pred, alpha = (x.requires_grad_() for x in pair)
    loss = case.loss(pred, alpha, torch.zeros(pred.shape, dtype=mask_dtype), reduction=reduction)
    loss.sum().backward()
    assert (loss == 0).all()
    for x in (pred, alpha):
        assert x.grad is not None
        assert (x.grad == 0).all()


@pytest.mark.parametrize("case", [*CASES, *MASKED_BEFORE], ids=str)
@given(st.data(), shapes(), st.sampled_from([torch.nan, torch.inf, -torch.inf]), st.sampled_from(DTYPES))
def test_what_is_not_finite_outside_the_mask_counts_as_0(case, data, shape, value, dtype):
    pred, alpha = data.draw(matte_pairs(shape=shape, dtype=dtype))
    mask = data.draw(masks(shape))
    broken = (mask == 0) & data.draw(alphas(shape=shape).map(lambda a: a > 0.5))
    expected, found = [
        with_gradients(
            case.loss, *(x.masked_fill(broken, fill) for x, fill in zip((pred, alpha), fills, strict=True)), mask
        )
        for fills in ((0, 0), (value, 0.5))
    ]
    assert_close(found[0], expected[0], rtol=0, atol=0)
    for slopes, expected_slopes in zip(found[1:], expected[1:], strict=True):
        # where losses are sums, masked and unmasked ones may add up their slopes in another order
        atol = 0 if case.name not in ("detail", "fusion") else 4 * torch.finfo(slopes.dtype).eps
        assert_close(slopes, expected_slopes.masked_fill(broken, 0), rtol=0, atol=atol)


def with_gradients(loss, pred, alpha, mask):
    pred, alpha = pred.detach().requires_grad_(), alpha.detach().requires_grad_()
    result = loss(pred, alpha, mask)
    return [result.detach(), *torch.autograd.grad(result, (pred, alpha))]


@pytest.mark.parametrize("case", [*CASES, *MASKED_BEFORE], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_a_mask_of_next_to_nothing_counts_as_empty(case, dtype):
    """One over its area is next to the largest number there is, and a loss may well be steep."""
    pred, alpha = (torch.zeros(1, 1, 1, 1, dtype=dtype, requires_grad=True) for _ in range(2))
    mask = torch.full_like(pred, torch.finfo(dtype).tiny, requires_grad=False)
    found = torch.stack(torch.autograd.grad(case.loss(pred, alpha, mask), (pred, alpha)))
    assert found.equal(torch.zeros_like(found))


@every_case
@given(st.data(), shapes(), st.sampled_from(DTYPES[:3]), st.booleans())
def test_low_precision_is_close_to_double(case, data, shape, dtype, autocast):
    pair = data.draw(matte_pairs(shape=shape, dtype=dtype))
    mask = data.draw(masks(shape))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = case.loss(*pair, mask)
    assert found.dtype == torch.float32
    # float32 from the first operation on: some dozens of roundings of 6e-8, relative to values of order 1
    assert_close(found.double(), case.loss(*(x.double() for x in pair), mask), rtol=1e-5, atol=5e-6)


# ---- the contract


@every_case
@given(st.data(), shapes())
def test_reductions_agree(case, data, shape):
    pred, alpha = data.draw(matte_pairs(shape=shape, dtype=DOUBLE))
    mask = data.draw(masks(shape))
    maps, plain = (case.loss(pred, alpha, m, reduction="none") for m in (mask, None))
    assert maps.shape == (shape[0], case.channels, *shape[2:])
    assert_close(maps, plain * mask)
    assert_close(case.loss(pred, alpha, mask, reduction="sum"), maps.sum())
    area = mask.double().sum() * case.channels
    assert_close(case.loss(pred, alpha, mask), maps.sum() / area if area > 0 else maps.new_zeros(()))
    assert_close(case.loss(pred, alpha), plain.mean())
    assert_close(case.loss(pred, alpha, reduction="sum"), plain.sum())


@every_case
def test_inputs_are_left_alone(case):
    pred, alpha, mask = torch.rand(3, 2, 1, 6, 7).unbind(0)
    copies = [x.clone() for x in (pred, alpha, mask)]
    case.loss(pred, alpha, mask)
    assert all(x.equal(copy) for x, copy in zip((pred, alpha, mask), copies, strict=True))


@pytest.mark.parametrize("case", [*CASES, *MASKED_BEFORE], ids=str)
def test_gradcheck(case):
    # 9 × 6 pixels: three levels, and a border on every side of the widest kernel
    pred, alpha, mask = torch.rand(3, 1, 1, 9, 6, dtype=DOUBLE).unbind(0)
    inputs = pred.requires_grad_(), alpha.requires_grad_()
    assert torch.autograd.gradcheck(lambda p, a: case.loss(p, a, mask), inputs)


@pytest.mark.parametrize("case", [*CASES, *MASKED_BEFORE], ids=str)
def test_compiles_without_breaks(case):
    pred, alpha = torch.rand(2, 1, 1, 32, 32).unbind(0)
    mask = torch.rand(1, 1, 32, 32) > 0.5
    torch.compiler.reset()  # the cases share one wrapper, which would use up the limit of recompilations
    compiled = torch.compile(case.loss, fullgraph=True, backend="eager")
    assert compiled(pred, alpha, mask) == case.loss(pred, alpha, mask)


@pytest.mark.cuda
@pytest.mark.parametrize("case", [*CASES, *MASKED_BEFORE], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_on_cuda(case, dtype):
    pred, alpha = (x.to(dtype).requires_grad_() for x in torch.rand(2, 2, 1, 40, 40).unbind(0))
    mask = torch.rand(2, 1, 40, 40) > 0.5
    expected = case.loss(pred, alpha, mask)
    expected_grad = torch.autograd.grad(expected, pred)[0]
    with torch.autocast("cuda", torch.float16):
        found = case.loss(pred.cuda(), alpha.cuda(), mask.cuda())
    assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-7)
    assert_close(torch.autograd.grad(found, pred)[0], expected_grad, rtol=1e-3, atol=1e-6)


X = torch.rand(2, 1, 4, 4)


@every_case
@pytest.mark.parametrize("value", [255.0, 1.1, -0.1, torch.nan, torch.inf])
def test_a_truth_out_of_range_is_refused(case, value):
    """An alpha of 0..255 gave a loss of some hundreds, and a network that learned nothing."""
    alpha = X.clone()
    alpha[1, 0, 2, 3] = value
    with pytest.raises(ValueError, match=r"^alpha must lie in \[0, 1\], got"):
        case.loss(X, alpha)
    mask = torch.ones(X.shape)
    with pytest.raises(ValueError, match=r"^alpha must lie in \[0, 1\], got"):
        case.loss(X, alpha, mask)
    mask[1, 0, 2, 3] = 0
    assert case.loss(X, alpha, mask).isfinite()


@every_case
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_truth_beyond_one_by_rounding_is_taken(case, dtype):
    """As cv2.GaussianBlur leaves it: 2e-16 above 1 in double precision."""
    alpha = torch.ones(1, 1, 3, 3, dtype=dtype)
    alpha[0, 0, 1, 1] += 2 * torch.finfo(dtype).eps
    assert case.loss(alpha, alpha).isfinite()
    alpha[0, 0, 1, 1] += 16 * torch.finfo(dtype).eps + 2e-6
    with pytest.raises(ValueError, match=r"^alpha must lie in \[0, 1\], got"):
        case.loss(alpha, alpha)


@every_case
@pytest.mark.parametrize("value", [-0.5, torch.nan, torch.inf, -torch.inf])
def test_weights_below_zero_and_infinite_ones_are_refused(case, value):
    """Scores passed for weights gave a loss of 0, which nothing is learned from, where their sum was negative.

    One infinite weight gave a NaN.
    """
    mask = torch.ones(X.shape)
    mask[1, 0, 2, 3] = value
    with pytest.raises(ValueError, match=f"^mask must be finite and not negative anywhere, got {value:g}$"):
        case.loss(X, X, mask)


@pytest.mark.parametrize("case", CASES[::4], ids=str)  # all of them check by one function
def test_compiled_code_refuses_it_too(case):
    torch.compiler.reset()
    compiled = torch.compile(case.loss, fullgraph=True, backend="aot_eager")
    compiled(X, X)
    with pytest.raises(RuntimeError, match=r"^alpha must lie in \[0, 1\]"):
        compiled(X, X * 255)


@every_case
def test_a_batch_of_no_image_costs_nothing(case):
    pred = X[:0].clone().requires_grad_()
    for mask in (None, X[:0]):
        loss = case.loss(pred, X[:0], mask)
        assert loss == 0
        loss.backward()
        assert case.loss(pred, X[:0], mask, reduction="none").shape == (0, case.channels, 4, 4)


@every_case
def test_maps_over_batches_and_differentiates_twice(case):
    """Filters and roots bring their own backward passes, which torch.func and double backward need, too."""
    preds, alphas = torch.rand(2, 3, 1, 1, 6, 5, dtype=DOUBLE).unbind()
    slopes = torch.func.vmap(torch.func.grad(case.loss))(preds, alphas)
    for pred, alpha, slope in zip(preds, alphas, slopes, strict=True):
        assert_close(slope, with_gradients(case.loss, pred, alpha, None)[1], **EXACT)
    pred = preds[0].clone().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda p: case.loss(p, alphas[0]).square(), pred)


# composition and fusion make their colours, and detail its trimap, to fit pred before they call the loss
@cases_with(lambda case: case.name not in ("composition", "detail", "fusion"))
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[0.0]], X), TypeError, "pred must be a torch.Tensor, got list"),
        ((X, X.numpy()), TypeError, "alpha must be a torch.Tensor, got ndarray"),
        ((X[0], X), ValueError, "pred must have shape (N, "),
        ((X.byte(), X), TypeError, "pred must be floating-point, got torch.uint8"),
        ((X, X.byte()), TypeError, "alpha must be floating-point, got torch.uint8"),
        ((X[:, :, :0], X[:, :, :0]), ValueError, "pred must have at least one pixel, got shape (2, 1, 0, 4)"),
        ((X, X[:1]), ValueError, "alpha must have the shape of pred, (2, 1, 4, 4), got (1, 1, 4, 4)"),
        ((X, X, X[0]), ValueError, "mask must have shape (N, 1, H, W), got (1, 4, 4)"),
        ((X, X, X[:1]), ValueError, "mask must have shape (2, 1, 4, 4), got (1, 1, 4, 4)"),
        ((X, X, X[..., :3]), ValueError, "mask must have shape (2, 1, 4, 4), got (2, 1, 4, 3)"),
        (
            (X, X, X.byte()),
            TypeError,
            "mask must be bool or floating-point, as unknown_mask(trimap) is, got torch.uint8",
        ),
    ],
)
def test_arguments_are_checked(case, arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        case.loss(*arguments)


@every_case
def test_options_are_checked(case):
    with pytest.raises(ValueError, match="reduction must be one of 'mean', 'sum', 'none', got 'avg'"):
        case.loss(X, X, reduction="avg")


@pytest.mark.parametrize("loss", [alpha_loss, gradient_loss, composition])
def test_eps_is_checked(loss):
    for eps in (-0.1, 0, float("nan")):
        with pytest.raises(ValueError, match=f"eps must be positive, got {eps!r}"):
            loss(X, X, eps=eps)
    with pytest.raises(ValueError, match="eps must be at least 1e-18, whose square float32 still holds, got 1e-23"):
        loss(X, X, eps=1e-23)
    with pytest.raises(TypeError, match="eps must be a number, got 'small'"):
        loss(X, X, eps="small")


@pytest.mark.parametrize("loss", [alpha_loss, gradient_loss])
def test_the_least_eps_has_finite_slopes(loss):
    pred = X.clone().requires_grad_()
    assert torch.autograd.grad(loss(pred, X, eps=1e-18), pred)[0].isfinite().all()


@pytest.mark.parametrize("loss", [alpha_loss, gradient_loss])
def test_mattes_have_one_channel(loss):
    with pytest.raises(ValueError, match=re.escape("pred must have shape (N, 1, H, W), got (1, 3, 4, 4)")):
        loss(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4))

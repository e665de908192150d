"""What holds for both methods: forms, types, ranges, and laws."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mattekit.foreground import estimate_foreground
from mattekit.testing import alphas, images, shapes

both = pytest.mark.parametrize("method", ["multilevel", "blur_fusion"])


@st.composite
def photos(draw, max_side=12):
    """An image and its matte."""
    shape = draw(shapes(max_side=max_side))
    return draw(images(shape=shape)), draw(alphas(shape=shape))


@both
@given(photos())
def test_colours_are_in_range_and_exact_where_they_are_known(method, case):
    image, alpha = case
    foreground, background = estimate_foreground(image, alpha, method=method, return_background=True)
    for colours in (foreground, background):
        assert colours.shape == image.shape
        assert colours.dtype == torch.float32
        assert ((colours >= 0) & (colours <= 1)).all()
    assert torch.where(alpha == 1, foreground, image).equal(image)
    assert torch.where(alpha == 0, background, image).equal(image)


@both
@given(shapes(), st.tuples(*[st.integers(0, 255)] * 3), st.data())
def test_a_constant_image_comes_back_exactly(method, shape, colour, data):
    alpha = data.draw(alphas(shape=shape))
    image = torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1).expand(shape[0], 3, *shape[2:])
    for colours in estimate_foreground(image, alpha, method=method, return_background=True):
        assert colours.equal(image)
    for colours in estimate_foreground(image / 255, alpha, method=method, return_background=True):
        torch.testing.assert_close(colours, image / 255, rtol=0, atol=2e-5)  # 1e-5 of blur fusion's divisors, twice


@both
@given(photos())
def test_inputs_are_left_alone(method, case):
    image, alpha = case
    matte = (alpha * 255).byte()
    matte *= matte.max() != 1 if matte.numel() else 1  # of 0 and 1 it would be taken for a mask
    for x in (image, (image * 255).byte()):
        for a in (alpha, matte):
            before = x.clone(), a.clone()
            estimate_foreground(x, a, method=method)
            assert x.equal(before[0])
            assert a.equal(before[1])


@both
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (17, 40), (33, 7)])
def test_a_batch_is_its_images(method, size):
    image, alpha = torch.rand(3, 3, *size), torch.rand(3, 1, *size)
    together = estimate_foreground(image, alpha, method=method)
    alone = torch.cat([estimate_foreground(image[i : i + 1], alpha[i : i + 1], method=method) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)  # roundings
    shared = estimate_foreground(image[:1], alpha, method=method)
    assert shared.shape == image.shape
    torch.testing.assert_close(shared[:1], alone[:1], rtol=0, atol=1e-6)


@both
@pytest.mark.parametrize(
    ("kind", "step"),
    [(np.uint8, 1 / 255), (np.uint16, 1 / 65535), (np.float16, 1e-3), (np.float32, 0), (np.float64, 1e-7)],
)
def test_arrays_keep_their_type(method, kind, step):
    draws = np.random.default_rng(0)
    white = np.iinfo(kind).max if np.issubdtype(kind, np.integer) else 1
    image = (draws.random((20, 31, 3)) * white).astype(kind)
    alpha = (draws.random((20, 31)) * white).astype(kind)
    found = estimate_foreground(image, alpha, method=method)
    assert found.dtype == kind
    tensors = (torch.from_numpy((x / white).astype(np.float32)) for x in (image, alpha))
    image, alpha = next(tensors).permute(2, 0, 1)[None], next(tensors)[None, None]
    expected = estimate_foreground(image, alpha, method=method)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found / white, expected, rtol=0, atol=0.51 * step + 1e-6)  # half a step of the type


def test_arrays_may_be_read_only_and_turned():
    draws = np.random.default_rng(0)
    image, alpha = draws.random((20, 31, 3), np.float32), draws.random((20, 31), np.float32)
    expected = estimate_foreground(image, alpha)
    turned = np.asfortranarray(image)
    image.flags.writeable = alpha.flags.writeable = False
    assert (estimate_foreground(image, alpha) == expected).all()
    assert (estimate_foreground(turned, alpha) == expected).all()
    assert (estimate_foreground(image[::-1], alpha[::-1])[::-1] >= 0).all()


def test_no_images():
    foreground = estimate_foreground(torch.rand(0, 3, 4, 5), torch.rand(0, 1, 4, 5))
    assert foreground.shape == (0, 3, 4, 5)


def test_no_gradient_and_no_need_of_none():
    image = torch.rand(1, 3, 6, 7, requires_grad=True)
    assert not estimate_foreground(image, torch.rand(1, 1, 6, 7, requires_grad=True)).requires_grad


@both
def test_autocast_changes_nothing(method):
    """The sum over 300 × 300 white pixels, 90,000, is infinite in float16, and was: all colours were NaN."""
    image, alpha = torch.ones(1, 3, 300, 300), torch.ones(1, 1, 300, 300)
    alpha[..., :10] = 0.5
    expected = estimate_foreground(image, alpha, method=method, return_background=True)
    for dtype in (torch.float16, torch.bfloat16):
        with torch.autocast("cpu", dtype):
            found = estimate_foreground(image, alpha, method=method, return_background=True)
        assert all(x.equal(y) for x, y in zip(found, expected, strict=True))


@both
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_default_dtype_changes_nothing(method, dtype):
    image, alpha = torch.rand(1, 3, 20, 30), torch.rand(1, 1, 20, 30)
    expected = estimate_foreground(image, alpha, method=method)
    torch.set_default_dtype(dtype)
    try:
        found = estimate_foreground(image, alpha, method=method)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.equal(expected)


@pytest.mark.cuda
@both
def test_cuda_agrees_with_the_cpu(method):
    image, alpha = torch.rand(2, 3, 131, 258), torch.rand(2, 1, 131, 258)
    expected = estimate_foreground(image, alpha, method=method, return_background=True)
    found = estimate_foreground(image.cuda(), alpha.cuda(), method=method, return_background=True)
    for x, y in zip(found, expected, strict=True):
        assert x.device.type == "cuda"
        torch.testing.assert_close(x.cpu(), y, rtol=0, atol=1e-4)  # roundings, carried through the sweeps


IMAGE, ALPHA = torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4)
PHOTO, MATTE = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5))


@pytest.mark.parametrize(
    ("image", "alpha", "error", "message"),
    [
        (IMAGE[0], ALPHA, ValueError, "image must have shape (N, 3, H, W), got (3, 4, 4)"),
        (IMAGE, IMAGE, ValueError, "alpha must have shape (N, 1, H, W), got (2, 3, 4, 4)"),
        (IMAGE, ALPHA[..., :3], ValueError, "alpha must fit image, (2, 3, 4, 4), got (2, 1, 4, 3)"),
        (torch.cat([IMAGE, IMAGE]), ALPHA, ValueError, "alpha must fit image, (4, 3, 4, 4), got (2, 1, 4, 4)"),
        (IMAGE[..., :0], ALPHA[..., :0], ValueError, "image must have at least one pixel, got shape (2, 3, 4, 0)"),
        (
            IMAGE.int(),
            ALPHA,
            TypeError,
            "image must be floating-point or uint8 (as an array uint16 too), got torch.int32",
        ),
        (
            IMAGE,
            ALPHA > 0.5,
            TypeError,
            "alpha must be floating-point or uint8 (as an array uint16 too), got torch.bool",
        ),
        (IMAGE * 255, ALPHA, ValueError, "image must lie in [0, 1], got"),
        (IMAGE, ALPHA * float("nan"), ValueError, "alpha must lie in [0, 1], got NaN"),
        (
            PHOTO,
            ALPHA,
            TypeError,
            "image and alpha must both be torch.Tensor or both numpy.ndarray, got ndarray and Tensor",
        ),
        ("photo", MATTE, TypeError, "image and alpha must both be torch.Tensor or both numpy.ndarray, got str and"),
        (PHOTO[..., 0], MATTE, ValueError, "image must be an array (H, W, 3), got (4, 5)"),
        (PHOTO, PHOTO, ValueError, "alpha must be an array (H, W), got (4, 5, 3)"),
        (PHOTO, MATTE.T, ValueError, "alpha must fit image, (4, 5, 3), got (5, 4)"),
        (PHOTO[:0], MATTE[:0], ValueError, "image must have at least one pixel, got shape (0, 5, 3)"),
    ],
)
def test_arguments_are_checked(image, alpha, error, message):
    with pytest.raises(error, match=re.escape(message)):
        estimate_foreground(image, alpha)


def test_the_method_is_checked():
    with pytest.raises(ValueError, match="method must be one of 'multilevel', 'blur_fusion', got 'cf'"):
        estimate_foreground(IMAGE, ALPHA, method="cf")  # pyright: ignore[reportCallIssue, reportArgumentType]


@both
def test_a_few_ulp_beyond_are_0_and_1(method):
    """As blurring leaves them."""
    alpha = ALPHA.clone()
    alpha[..., 0] = 1
    beyond = alpha.where(alpha < 1, alpha + torch.finfo(alpha.dtype).eps)
    assert (beyond > 1).any()
    assert torch.equal(
        estimate_foreground(IMAGE, beyond, method=method), estimate_foreground(IMAGE, alpha, method=method)
    )


def test_masked_arrays_are_refused():
    photo, alpha = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5))
    with pytest.raises(TypeError, match="alpha must not be a masked array"):
        estimate_foreground(photo, np.ma.masked_equal(alpha, 0))
    with pytest.raises(TypeError, match="image must not be a masked array"):
        estimate_foreground(np.ma.masked_equal(photo, 0), alpha)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_zeros_and_ones_are_no_matte(dtype):
    mask = np.eye(4, dtype=dtype)
    with pytest.raises(ValueError, match="alpha must not hold 0 and 1 and nothing else"):
        estimate_foreground(np.zeros((4, 4, 3), np.uint8), mask)
    estimate_foreground(np.zeros((4, 4, 3), np.uint8), 2 * mask)

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import color

from mattekit.compositing import Checkerboard, composite, cutout
from mattekit.foreground import estimate_foreground
from mattekit.testing import alphas, images, shapes


@st.composite
def layers(draw, dtype=torch.float64):
    shape = draw(shapes())
    foreground, background = (draw(images(shape=shape, dtype=dtype)) for _ in range(2))
    return foreground, background, draw(alphas(shape=shape, dtype=dtype))


@given(layers())
def test_agrees_with_the_loop(case):
    foreground, background, alpha = case
    found = composite(foreground, background, alpha)
    for n, c, y, x in np.ndindex(found.shape):
        f, b, a = foreground[n, c, y, x].item(), background[n, c, y, x].item(), alpha[n, 0, y, x].item()
        assert found[n, c, y, x].item() == pytest.approx(a * f + (1 - a) * b, rel=1e-14, abs=1e-300)  # roundings


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@given(st.data())
def test_the_result_lies_between_foreground_and_background(dtype, data):
    foreground, background, alpha = data.draw(layers(dtype))
    found = composite(foreground, background, alpha)
    assert (found >= torch.minimum(foreground, background)).all()
    assert (found <= torch.maximum(foreground, background)).all()


@given(layers())
def test_light_lies_between_foreground_and_background(case):
    """To the seam of the sRGB curve, whose two published halves meet to 1e-7 only, magnified by its slope of 12.92."""
    foreground, background, alpha = case
    found = composite(foreground, background, alpha, linear=True)
    assert (found >= torch.minimum(foreground, background) - 2e-6).all()
    assert (found <= torch.maximum(foreground, background) + 2e-6).all()


@pytest.mark.parametrize("linear", [False, True])
@given(layers())
def test_exact_where_alpha_is_0_or_1(linear, case):
    foreground, background, alpha = case
    alpha = alpha.round()
    expected = torch.where(alpha == 1, foreground, background)
    assert composite(foreground, background, alpha, linear=linear).equal(expected)
    assert composite(foreground, background, alpha.requires_grad_(), linear=linear).equal(expected)


@given(layers())
def test_premultiplied(case):
    foreground, background, alpha = case
    found = composite(foreground * alpha, background, alpha, premultiplied=True)
    torch.testing.assert_close(found, composite(foreground, background, alpha), rtol=0, atol=1e-15)


@pytest.mark.parametrize("linear", [False, True])
@given(layers())
def test_premultiplied_is_exact_where_alpha_is_0_or_1(linear, case):
    foreground, background, alpha = case
    alpha = alpha.round()
    found = composite(foreground * alpha, background, alpha, premultiplied=True, linear=linear)
    assert found.equal(torch.where(alpha == 1, foreground, background))


def test_premultiplied_light_adds_up_where_alpha_is_0():
    glow, night = torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.5)
    found = composite(glow, night, torch.zeros(1, 1, 1, 1), premultiplied=True, linear=True)
    # twice the light of 0.5: 1.055·(2·0.21404)^(1/2.4) - 0.055
    assert found.flatten().tolist() == pytest.approx([0.6859] * 3, abs=1e-4)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_light_agrees_with_skimage(f, b, a):
    """Greys, whose XYZ luminance is their light: skimage's rgb2xyz applies the curve, and a matrix that sums to 1."""

    def light(value):
        return color.rgb2xyz(np.full((1, 1, 3), value))[0, 0, 1]

    grey = [torch.full((1, 3, 1, 1), v, dtype=torch.float64) for v in (f, b)]
    found = composite(*grey, torch.full((1, 1, 1, 1), a, dtype=torch.float64), linear=True)
    # the curve's two published halves meet to 1e-7 only
    assert light(found[0, 0].item()) == pytest.approx(a * light(f) + (1 - a) * light(b), abs=1e-6)


def test_the_curve_is_straight_near_black():
    """IEC 61966-2-1: value = 12.92·light up to 0.0031308, which is 0.04045 in value."""
    dark, black = torch.full((1, 3, 1, 1), 0.02), torch.zeros(1, 3, 1, 1)
    found = composite(dark, black, torch.full((1, 1, 1, 1), 0.5), linear=True)
    assert found.flatten().tolist() == pytest.approx([0.01] * 3, rel=1e-6)
    # 0.5 · ((0.5 + 0.055) / 1.055)^2.4 = 0.10702, and back
    found = composite(torch.full((1, 3, 1, 1), 0.5), black, torch.full((1, 1, 1, 1), 0.5), linear=True)
    assert found.flatten().tolist() == pytest.approx([1.055 * 0.107020 ** (1 / 2.4) - 0.055] * 3, rel=1e-5)


@given(layers(torch.float32))
def test_light_has_finite_gradients(case):
    foreground, background, alpha = (x.requires_grad_() for x in case)
    composite(foreground, background, alpha, linear=True).sum().backward()
    for x in case:
        assert x.grad is not None
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_a_matte_at_its_ends_can_move(linear, end):
    """The slope there is that of the curve beside it."""
    foreground, background = (torch.full((1, 3, 1, 1), v, dtype=torch.float64) for v in (0.9, 0.2))

    def slope(value):
        alpha = torch.full((1, 1, 1, 1), value, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(composite(foreground, background, alpha, linear=linear).sum(), alpha)[0].item()

    assert slope(end) == pytest.approx(slope(abs(end - 1e-9)), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@given(st.data())
def test_light_is_mixed_in_float32(dtype, data):
    case = data.draw(layers(dtype))
    expected = composite(*(x.float() for x in case), linear=True).to(dtype)
    assert composite(*case, linear=True).equal(expected)


@pytest.mark.parametrize("options", [{}, {"premultiplied": True}, {"linear": True}])
def test_gradcheck(options):
    foreground, background = torch.rand(2, 1, 3, 2, 2, dtype=torch.float64).unbind(0)
    alpha = torch.rand(1, 1, 2, 2, dtype=torch.float64)
    inputs = [x.requires_grad_() for x in (foreground, background, alpha)]
    assert torch.autograd.gradcheck(lambda *x: composite(*x, **options), inputs)


def test_broadcasting_over_the_batch():
    foreground, background, alpha = torch.rand(2, 3, 4, 5), torch.rand(1, 3, 4, 5), torch.rand(2, 1, 4, 5)
    expected = torch.cat([composite(foreground[i : i + 1], background, alpha[i : i + 1]) for i in range(2)])
    assert composite(foreground, background, alpha).equal(expected)
    assert composite(foreground[:1], background, alpha).shape == (2, 3, 4, 5)
    assert composite(background, foreground, alpha[:1]).shape == (2, 3, 4, 5)
    assert composite(background, foreground[:1], alpha).shape == (2, 3, 4, 5)


def test_a_colour():
    foreground, alpha = torch.rand(2, 3, 4, 5), torch.rand(2, 1, 4, 5)
    sea = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1).expand(1, 3, 4, 5)
    assert composite(foreground, (0.1, 0.2, 0.3), alpha).equal(composite(foreground, sea, alpha))


def test_a_checkerboard():
    board = Checkerboard(size=2, light=(1, 0.9, 0.8), dark=(0, 0.1, 0.2))
    image = board.image(5, 7)
    assert image.shape == (1, 3, 5, 7)
    for y, x in np.ndindex(5, 7):
        expected = board.dark if (y // 2 + x // 2) % 2 else board.light
        assert image[0, :, y, x].tolist() == pytest.approx(expected)
    foreground, alpha = torch.rand(2, 3, 5, 7), torch.rand(2, 1, 5, 7)
    assert composite(foreground, board, alpha).equal(composite(foreground, image, alpha))


def test_the_default_checkerboard():
    image = Checkerboard().image(9, 9)[0]
    assert image[:, 0, 0].tolist() == [1, 1, 1]
    assert image[:, 7, 7].tolist() == [1, 1, 1]
    assert image[:, 8, 0].tolist() == pytest.approx([0.8, 0.8, 0.8])
    with pytest.raises(ValueError, match="size must be positive, got 0"):
        Checkerboard(size=0)


@pytest.mark.parametrize("background", [(0.0, 1.0, 0.0), Checkerboard()])
def test_backgrounds_take_the_foregrounds_type(background):
    foreground, alpha = torch.rand(1, 3, 4, 4, dtype=torch.float16), torch.rand(1, 1, 4, 4, dtype=torch.float16)
    assert composite(foreground, background, alpha).dtype == torch.float16


def test_types_are_promoted():
    foreground, background = torch.rand(1, 3, 4, 4, dtype=torch.float16), torch.rand(1, 3, 4, 4)
    found = composite(foreground, background, torch.rand(1, 1, 4, 4, dtype=torch.float64))
    assert found.dtype == torch.float64
    found = composite(foreground.double(), background, torch.rand(1, 1, 4, 4))
    assert found.dtype == torch.float64


def test_a_colour_takes_the_foregrounds_batch():
    assert composite(torch.rand(1, 3, 4, 4), (0.0, 1.0, 0.0), torch.rand(1, 1, 4, 4)).shape == (1, 3, 4, 4)


def test_inputs_are_left_alone():
    layers = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4).round()
    copies = [x.clone() for x in layers]
    for options in ({}, {"premultiplied": True}, {"linear": True}):
        composite(*layers, **options)
    assert all(x.equal(copy) for x, copy in zip(layers, copies, strict=True))


def test_compiles_without_breaks():
    layers = torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4)
    compiled = torch.compile(composite, fullgraph=True, backend="eager")
    assert compiled(*layers).equal(composite(*layers))
    assert compiled(layers[0], (0.0, 0.5, 1.0), layers[2]).equal(composite(layers[0], (0.0, 0.5, 1.0), layers[2]))


@pytest.mark.cuda
@pytest.mark.parametrize("background", [torch.rand(1, 3, 20, 20), (0.0, 1.0, 0.0), Checkerboard()])
@pytest.mark.parametrize("linear", [False, True])
def test_on_cuda(background, linear):
    foreground, alpha = torch.rand(2, 3, 20, 20), torch.rand(2, 1, 20, 20)
    there = background.cuda() if isinstance(background, torch.Tensor) else background
    found = composite(foreground.cuda(), there, alpha.cuda(), linear=linear)
    torch.testing.assert_close(found.cpu(), composite(foreground, background, alpha, linear=linear))


F, B, A = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((F[0], B, A), ValueError, "foreground must have shape (N, 3, H, W), got (3, 4, 4)"),
        ((F.byte(), B, A), TypeError, "foreground must be floating-point, got torch.uint8"),
        ((F, B, F), ValueError, "alpha must have shape (N, 1, H, W), got (2, 3, 4, 4)"),
        ((F, B, A.byte()), TypeError, "alpha must be floating-point, got torch.uint8"),
        ((F, B, A[..., :3]), ValueError, "alpha must fit foreground, (2, 3, 4, 4), got (2, 1, 4, 3)"),
        ((F, A, A), ValueError, "background must have shape (N, 3, H, W), got (2, 1, 4, 4)"),
        ((F, B.byte(), A), TypeError, "background must be floating-point, got torch.uint8"),
        ((F, B[:, :, :3], A), ValueError, "background must fit foreground, (2, 3, 4, 4), got (2, 3, 3, 4)"),
        ((F, B.repeat(2, 1, 1, 1), A), ValueError, "background must fit foreground, (2, 3, 4, 4), got (4, 3, 4, 4)"),
        ((F[:1], torch.cat([B, B]), A), ValueError, "background must fit alpha, (2, 1, 4, 4), got (4, 3, 4, 4)"),
        ((F, (0.0, 1.0), A), ValueError, "background must be a colour, three numbers in [0, 1], got (0.0, 1.0)"),
        ((F, (0, 255, 0), A), ValueError, "background must be a colour, three numbers in [0, 1], got (0, 255, 0)"),
        ((F, (0, 1.5, 0), A), ValueError, "background must be a colour, three numbers in [0, 1], got (0, 1.5, 0)"),
        ((F, "red", A), TypeError, "background must be a colour, three numbers in [0, 1], got str"),
        ((F, None, A), TypeError, "background must be a colour, three numbers in [0, 1], got NoneType"),
        ((F, 0.5, A), TypeError, "background must be a colour, three numbers in [0, 1], got float"),
        ((F, np.zeros((4, 4, 3)), A), TypeError, "background must be a colour, three numbers in [0, 1], got ndarray"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        composite(*arguments)


@pytest.mark.parametrize("background", [(0.9, 0.9, 0.9), Checkerboard(light=(0.9, 0.9, 0.9))])
@pytest.mark.parametrize("linear", [False, True])
def test_a_colour_has_the_results_precision_and_not_the_foregrounds(background, linear):
    """0.9 came out as 0.8984, what bfloat16 makes of it, in a result of float32."""
    foreground, alpha = torch.zeros(1, 3, 1, 1, dtype=torch.bfloat16), torch.zeros(1, 1, 1, 1)
    assert composite(foreground, background, alpha, linear=linear).equal(torch.full((1, 3, 1, 1), 0.9))


def test_the_checkerboard_is_checked():
    with pytest.raises(ValueError, match=re.escape("dark must be a colour, three numbers in [0, 1], got (0, 0, 200)")):
        Checkerboard(dark=(0, 0, 200))
    with pytest.raises(TypeError, match="light must be a colour"):
        Checkerboard(light="white")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"size must be an integer, got 2\.5"):
        Checkerboard(size=2.5)  # pyright: ignore[reportArgumentType]


def test_a_cutout_has_the_foregrounds_colours_and_the_matte():
    image, alpha = torch.rand(2, 3, 9, 12), torch.rand(2, 1, 9, 12)
    found = cutout(image, alpha)
    assert found[:, :3].equal(estimate_foreground(image, alpha))
    assert found[:, 3:].equal(alpha)
    assert cutout(image, alpha[:1])[1, 3].equal(alpha[0, 0])


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("matte_kind", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_a_cutout_keeps_the_photos_type(kind, matte_kind):
    """Half a step of the coarser type, for the matte; a colour goes through one type only."""
    white, matte_white = (np.iinfo(k).max if np.issubdtype(k, np.integer) else 1 for k in (kind, matte_kind))
    draws = np.random.default_rng(0)
    photo = (draws.random((9, 12, 3)) * white).astype(kind)
    alpha = (draws.random((9, 12)) * matte_white).astype(matte_kind)
    found = cutout(photo, alpha)
    assert found.shape == (9, 12, 4)
    assert found.dtype == kind
    assert (found[..., :3] == estimate_foreground(photo, alpha)).all()
    step = 1 / white if white > 1 else 1e-7
    np.testing.assert_allclose(found[..., 3] / white, alpha / matte_white, rtol=0, atol=0.51 * step)


def test_a_cutout_of_bytes():
    image, alpha = torch.randint(0, 256, (1, 3, 5, 6), dtype=torch.uint8), torch.rand(1, 1, 5, 6)
    found = cutout(image, alpha)
    assert found.dtype == torch.uint8
    assert found[:, 3:].equal((alpha * 255).round().byte())
    assert cutout(image / 255, (alpha * 255).byte())[:, 3:].equal((alpha * 255).byte() / 255)


def test_a_cutouts_matte_a_few_ulp_beyond_is_0_or_white():
    """It wrapped around: 1.001 of 65535 came out as 63, and -0.008 of 255 as 254."""
    beyond = np.array([[-0.001, 1.001, 1.003]], np.float16)
    for kind, white in (np.uint8, 255), (np.uint16, 65535), (np.float32, 1):
        assert cutout(np.zeros((1, 3, 3), kind), beyond)[0, :, 3].tolist() == [0, white, white]
    beyond = torch.tensor([-0.0078125, 1.0078125], dtype=torch.bfloat16).view(1, 1, 1, 2)
    assert cutout(torch.zeros(1, 3, 1, 2, dtype=torch.uint8), beyond)[0, 3].tolist() == [[0, 255]]


@given(st.data())
def test_a_cutout_laid_over_a_colour_leaves_no_rim(data):
    """Where the matte knows the subject it is the photo, to the last bit, and where it is 0 the new background."""
    shape = data.draw(shapes())
    image, alpha = data.draw(images(shape=shape)), data.draw(alphas(shape=shape))
    found = cutout(image, alpha)
    laid = composite(found[:, :3], (0.0, 1.0, 0.0), found[:, 3:])
    green = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1).expand_as(image)
    assert torch.where(alpha == 1, laid, image).equal(image)
    assert torch.where(alpha == 0, laid, green).equal(green)


@pytest.mark.parametrize("name", ["foreground", "background", "alpha"])
@pytest.mark.parametrize("value", [255.0, -0.01, float("nan")])
def test_values_lie_within_0_and_1(name, value):
    parts = {
        "foreground": torch.ones(1, 3, 2, 2),
        "background": torch.ones(1, 3, 2, 2),
        "alpha": torch.ones(1, 1, 2, 2),
    }
    parts[name][..., 0, 0] = value
    with pytest.raises(ValueError, match=rf"{name} must lie in \[0, 1\], got"):
        composite(**parts)
    parts[name][..., 0, 0] = 1 + 2**-23  # an ulp
    composite(**parts)

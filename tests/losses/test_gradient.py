import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mattekit.losses import gradient_loss
from mattekit.testing import alphas, matte_pairs, shapes
from oracles import losses as oracles

KERNELS = {"sobel": oracles.SOBEL, "gaussian": oracles.gaussian_derivative()}
OPERATORS = st.sampled_from(sorted(KERNELS))


@given(matte_pairs(shape=(2, 1, 3, 5), dtype=torch.float64), OPERATORS, st.sampled_from([1e-6, 1e-3, 0.5]))
def test_agrees_with_the_loop(pair, operator, eps):
    expected = oracles.gradient(*(x.numpy() for x in pair), KERNELS[operator], eps)
    found = gradient_loss(*pair, operator=operator, eps=eps, reduction="none")
    # Sums of 9 or 81 products round to 1e-16; the root of g² + eps² magnifies that by no more than 1.
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-14)


@given(matte_pairs(dtype=torch.float64))
def test_the_gaussian_is_scipys(pair):
    """An independent oracle for larger images: scipy's Gaussian derivative, brought to unit L2 norm."""
    impulse = np.zeros((9, 9))
    impulse[4, 4] = 1
    scale = 1 / np.linalg.norm(ndimage.gaussian_filter(impulse, 1.4, order=(0, 1), radius=4, mode="constant"))

    def magnitude(x):
        planes = [
            [ndimage.gaussian_filter(p[0], 1.4, order=o, radius=4, mode="nearest") for o in [(0, 1), (1, 0)]]
            for p in x.numpy()
        ]
        return np.hypot(*np.moveaxis(np.array(planes) * scale, 1, 0))[:, None]

    expected = abs(magnitude(pair[0]) - magnitude(pair[1]))
    found = gradient_loss(*pair, operator="gaussian", eps=1e-9, reduction="none")
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-8)  # eps counts in both magnitudes


def test_a_ramp_has_its_slope():
    ramp = torch.arange(8.0, dtype=torch.float64).div(10).expand(1, 1, 8, 8)
    flat = torch.zeros_like(ramp)
    for tilted in (ramp, ramp.mT):
        inner = gradient_loss(tilted, flat, reduction="none")[..., 2:-2, 2:-2]
        torch.testing.assert_close(inner, torch.full_like(inner, 0.1), rtol=0, atol=2e-6)  # eps in both magnitudes


def test_the_default_operator_is_sobel_with_the_papers_epsilon():
    pred, alpha = torch.rand(1, 1, 6, 6), torch.rand(1, 1, 6, 6)
    assert gradient_loss(pred, alpha) == gradient_loss(pred, alpha, operator="sobel", mask_inputs=False, eps=1e-6)
    assert gradient_loss(pred, alpha) != gradient_loss(pred, alpha, operator="gaussian")
    assert gradient_loss(pred, alpha) != gradient_loss(pred, alpha, eps=1e-3)


@given(st.data(), shapes(), OPERATORS)
def test_masked_inputs_do_not_see_the_outside(data, shape, operator):
    pred, alpha = data.draw(matte_pairs(shape=shape))
    other = data.draw(alphas(shape=shape))
    mask = data.draw(alphas(shape=shape)) > 0.5
    changed = torch.where(mask, pred, other)
    options = {"operator": operator, "mask_inputs": True}
    assert gradient_loss(pred, alpha, mask, **options) == gradient_loss(changed, alpha, mask, **options)


@given(st.data(), shapes(), OPERATORS)
def test_masked_inputs_are_the_loss_of_masked_mattes_over_the_masks_area(data, shape, operator):
    pred, alpha = data.draw(matte_pairs(shape=shape, dtype=torch.float64))
    mask = data.draw(alphas(shape=shape, dtype=torch.float64))
    maps = gradient_loss(pred * mask, alpha * mask, operator=operator, reduction="none")
    options = {"operator": operator, "mask_inputs": True}
    assert gradient_loss(pred, alpha, mask, reduction="none", **options).equal(maps)
    assert gradient_loss(pred, alpha, mask, reduction="sum", **options) == maps.sum()
    area = mask.sum()
    assert gradient_loss(pred, alpha, mask, **options) == (maps.sum() / area if area >= 2**-511 else 0)


def test_errors():
    x = torch.rand(1, 1, 4, 4)
    with pytest.raises(ValueError, match="operator must be one of 'sobel', 'gaussian', got 'scharr'"):
        gradient_loss(x, x, operator="scharr")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="mask_inputs needs a mask, got None"):
        gradient_loss(x, x, mask_inputs=True)
    with pytest.raises(ValueError, match="eps must be positive, got 0"):
        gradient_loss(x, x, eps=0)

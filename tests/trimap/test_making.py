import re

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mattekit import trimap as tm
from mattekit.testing import alphas, shapes
from mattekit.trimap._morphology import erode_opencv, erode_torch

KERNELS = {"ellipse": cv2.MORPH_ELLIPSE, "square": cv2.MORPH_RECT}
kernels = st.sampled_from(sorted(KERNELS))
radii = st.integers(0, 6)


def opencv_trimap(alpha, inner, outer, kernel, iterations):
    """As the training codes do it: erode the matte, dilate the matte, compare. Kernel sizes in pixels."""
    element = [cv2.getStructuringElement(KERNELS[kernel], (size, size)) for size in (inner, outer)]
    trimap = np.full(alpha.shape, 128, np.uint8)
    trimap[cv2.erode(alpha, element[0], iterations=iterations) == 1] = 255
    trimap[cv2.dilate(alpha, element[1], iterations=iterations) == 0] = 0
    return trimap


# ---- from_alpha


@given(alphas(), radii, radii, kernels, st.integers(1, 3))
def test_from_alpha_is_opencvs_erosion_and_dilation(alpha, inner, outer, kernel, iterations):
    found = tm.from_alpha(alpha, inner=inner, outer=outer, kernel=kernel, iterations=iterations)
    assert found.dtype == torch.uint8
    for trimap, matte in zip(found[:, 0].numpy(), alpha[:, 0].numpy(), strict=True):
        assert np.array_equal(trimap, opencv_trimap(matte, 2 * inner + 1, 2 * outer + 1, kernel, iterations))


def shape_matte():
    """A matte with a disc, a ring of soft edge, a thin line and single pixels: what tells kernels apart."""
    y, x = np.mgrid[:96, :120]
    alpha = np.clip(31.5 - np.hypot(y - 44, x - 50), 0, 1)
    alpha[10:90, 100] = 1
    alpha[44, 50] = 0.5
    alpha[80, 20] = 1
    return alpha.astype(np.float32)


@pytest.mark.parametrize("kernel", sorted(KERNELS))
@pytest.mark.parametrize(("inner", "outer", "iterations"), [(1, 2, 1), (2, 1, 1), (3, 7, 1), (9, 4, 1), (1, 2, 4)])
def test_every_kernel_is_opencvs(kernel, inner, outer, iterations):
    alpha = shape_matte()
    found = tm.from_alpha(alpha, inner=inner, outer=outer, kernel=kernel, iterations=iterations)
    assert np.array_equal(found, opencv_trimap(alpha, 2 * inner + 1, 2 * outer + 1, kernel, iterations))
    other = ({*KERNELS} - {kernel}).pop()
    assert not np.array_equal(found, opencv_trimap(alpha, 2 * inner + 1, 2 * outer + 1, other, iterations))


@given(alphas(), radii, st.integers(1, 3))
def test_a_square_is_scipys(alpha, width, iterations):
    found = tm.from_alpha(alpha, width=width, kernel="square", iterations=iterations)
    size = 2 * width + 1
    for trimap, matte in zip(found[:, 0].numpy(), alpha[:, 0].numpy(), strict=True):
        for value, known in ((255, matte == 1), (0, matte == 0)):
            # not binary_erosion: of footprints larger than the image it writes beyond its memory (SciPy 1.17)
            for _ in range(iterations):
                known = ndimage.minimum_filter(known, size, mode="constant", cval=1)
            assert np.array_equal(trimap == value, known)


@pytest.mark.parametrize("kernel", sorted(KERNELS))
@pytest.mark.parametrize("width", range(1, 16))
def test_width_is_a_radius_in_pixels(width, kernel):
    alpha = np.zeros((1, 61))
    alpha[:, 30:] = 1
    trimap = tm.from_alpha(alpha, width=width, kernel=kernel)[0]
    assert trimap.tolist() == [0] * (30 - width) + [128] * 2 * width + [255] * (31 - width)


@given(alphas(), radii, radii, kernels)
def test_known_pixels_are_right(alpha, inner, outer, kernel):
    trimap = tm.from_alpha(alpha, inner=inner, outer=outer, kernel=kernel)
    assert (alpha[trimap == 255] == 1).all()
    assert (alpha[trimap == 0] == 0).all()
    assert tm.apply(alpha, trimap).equal(alpha)


@given(alphas(), st.integers(0, 20), st.integers(0, 20), kernels)
def test_a_wider_band_knows_less(alpha, one, other, kernel):
    narrow, wide = (tm.from_alpha(alpha, width=w, kernel=kernel) for w in sorted((one, other)))
    assert (wide[narrow == 128] == 128).all()
    assert ((wide == narrow) | (wide == 128)).all()


@given(alphas(), radii, kernels, st.integers(1, 3), st.integers(1, 3))
def test_more_iterations_know_less(alpha, width, kernel, one, other):
    few, many = (tm.from_alpha(alpha, width=width, kernel=kernel, iterations=i) for i in sorted((one, other)))
    assert ((many == few) | (many == 128)).all()


@given(alphas(), st.integers(0, 12))
def test_an_ellipse_lies_within_the_square(alpha, width):
    ellipse, square = (tm.from_alpha(alpha, width=width, kernel=kernel) for kernel in ("ellipse", "square"))
    assert ((square == ellipse) | (square == 128)).all()


@given(alphas(), radii, radii, kernels)
def test_the_opposite_matte_has_the_opposite_trimap(alpha, inner, outer, kernel):
    binary = alpha.round()
    trimap = tm.from_alpha(binary, inner=inner, outer=outer, kernel=kernel)
    opposite = tm.from_alpha(1 - binary, inner=outer, outer=inner, kernel=kernel)
    assert (opposite == 255).equal(trimap == 0)
    assert (opposite == 0).equal(trimap == 255)


@given(alphas())
def test_width_0_is_the_matte_itself(alpha):
    trimap = tm.from_alpha(alpha, width=0)
    assert (trimap == 255).equal(alpha == 1)
    assert (trimap == 0).equal(alpha == 0)


@given(alphas(dtype=torch.float64), radii)
def test_forms_agree(alpha, width):
    expected = tm.from_alpha(alpha, width=width)
    arrays = alpha[:, 0].numpy()
    assert np.array_equal(tm.from_alpha(arrays, width=width), expected[:, 0].numpy())
    assert np.array_equal(tm.from_alpha(arrays[0], width=width), expected[0, 0].numpy())
    single = arrays[0].copy()
    single.flags.writeable = False
    assert np.array_equal(tm.from_alpha(single, width=width), expected[0, 0].numpy())
    assert np.array_equal(tm.from_alpha(single[::-1, ::-1], width=width)[::-1, ::-1], expected[0, 0].numpy())


def test_bytes():
    alpha = np.array([[0, 1, 254, 255]], np.uint8)
    assert tm.from_alpha(alpha, width=0).tolist() == [[0, 128, 128, 255]]
    assert tm.from_alpha(torch.from_numpy(alpha)[None, None], width=0).tolist() == [[[[0, 128, 128, 255]]]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_precision(dtype):
    alpha = torch.tensor([[[[0, 0.5, 0.99, 1]]]], dtype=dtype, requires_grad=True)
    assert tm.from_alpha(alpha, width=0).tolist() == [[[[0, 128, 128, 255]]]]


@pytest.mark.parametrize("beyond", [1 + 2**-52, np.float32(1 + 2**-23), np.float16(1 + 2**-10)])
def test_a_few_ulp_beyond_are_0_and_1(beyond):
    """As blurring leaves them."""
    alpha = np.array([[-1e-7, 0.5, beyond]], dtype=np.asarray(beyond).dtype)
    assert tm.from_alpha(alpha, width=0).tolist() == [[0, 128, 255]]
    assert tm.from_mask(alpha, width=0).tolist() == [[0, 128, 255]]


def test_a_few_ulp_of_bfloat16_beyond_are_0_and_1():
    alpha = torch.tensor([-1 / 256, 0.5, 1 + 1 / 128], dtype=torch.bfloat16).view(1, 1, 1, 3)
    for make in tm.from_alpha, tm.from_mask:
        assert make(alpha, width=0).tolist() == [[[[0, 128, 255]]]]


@pytest.mark.parametrize("kernel", sorted(KERNELS))
@pytest.mark.parametrize("options", [{"width": 20_000}, {"width": 1, "iterations": 2**31}, {"width": 10**12}])
def test_a_reach_beyond_the_image_costs_no_memory(kernel, options):
    """Its kernel alone had taken 18.6 GB. Nothing is left where there is an edge, and all where there is none."""
    edge, none = np.eye(8), np.ones((8, 8))
    assert (tm.from_alpha(edge, kernel=kernel, **options) == 128).all()
    assert (tm.from_alpha(none, kernel=kernel, **options) == 255).all()


@given(shapes(max_side=7), st.data(), kernels, st.integers(1, 4))
def test_a_limited_reach_is_the_same(shape, data, kernel, iterations):
    """Against OpenCV with the kernel that was asked for, around the size from which on it is cut."""
    alpha = data.draw(alphas(shape=shape))
    width = data.draw(st.integers(1, 3 * max(shape[2:])))
    found = tm.from_alpha(alpha, width=width, kernel=kernel, iterations=iterations)
    size = 2 * width + 1
    for image, trimap in zip(alpha, found, strict=True):
        np.testing.assert_array_equal(opencv_trimap(image[0].numpy(), size, size, kernel, iterations), trimap[0])


def test_inputs_are_left_alone():
    alpha = torch.rand(2, 1, 9, 9).round()
    copy = alpha.clone()
    tm.from_alpha(alpha, width=1)
    tm.random_from_alpha(alpha)
    tm.from_mask(alpha, width=1)
    assert alpha.equal(copy)


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("kernel", sorted(KERNELS))
@given(st.data(), shapes(max_side=20), st.integers(1, 3))
def test_torchs_erosion_is_opencvs(size, kernel, data, shape, iterations):
    """What runs on a GPU, run here."""
    mask = data.draw(alphas(shape=shape)) > 0.5
    element = cv2.getStructuringElement(KERNELS[kernel], (size, size))
    assert erode_torch(mask, element, iterations).equal(erode_opencv(mask, element, iterations))


@pytest.mark.cuda
@pytest.mark.parametrize("kernel", sorted(KERNELS))
def test_from_alpha_on_cuda(kernel):
    alpha = torch.rand(3, 1, 200, 300).add(0.49).round()
    for width in (1, 5, 20):
        found = tm.from_alpha(alpha.cuda(), width=width, kernel=kernel)
        assert found.is_cuda
        assert found.cpu().equal(tm.from_alpha(alpha, width=width, kernel=kernel))
    seeds = [torch.Generator().manual_seed(3) for _ in range(2)]
    found = tm.random_from_alpha(alpha.cuda(), generator=seeds[0])
    assert found.cpu().equal(tm.random_from_alpha(alpha, generator=seeds[1]))


X = np.zeros((4, 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give width, or inner and outer, got width=None, inner=None, outer=None"),
        ({"inner": 1}, "give width, or inner and outer, got width=None, inner=1, outer=None"),
        ({"outer": 1}, "give width, or inner and outer, got width=None, inner=None, outer=1"),
        ({"width": 1, "inner": 1, "outer": 1}, "give width, or inner and outer, got width=1, inner=1, outer=1"),
        ({"width": 1, "outer": 1}, "give width, or inner and outer, got width=1, inner=None, outer=1"),
        ({"width": 1.5}, "width must be an integer, got 1.5"),
        ({"inner": 1, "outer": 2.0}, "outer must be an integer, got 2.0"),
        ({"width": 1, "iterations": 1.5}, "iterations must be an integer, got 1.5"),
        ({"width": -1}, "width must not be negative, got -1"),
        ({"inner": -2, "outer": 1}, "inner must not be negative, got -2"),
        ({"inner": 1, "outer": -3}, "outer must not be negative, got -3"),
        ({"width": 1, "iterations": 0}, "iterations must be positive, got 0"),
        ({"width": 1, "kernel": "disk"}, "kernel must be one of 'ellipse', 'square', got 'disk'"),
    ],
)
@pytest.mark.parametrize("make", [tm.from_alpha, tm.from_mask])
def test_options_are_checked(make, options, message):
    with pytest.raises(TypeError if "integer" in message else ValueError, match=re.escape(message)):
        make(X, **options)


@pytest.mark.parametrize(
    ("alpha", "error", "message"),
    [
        (X.astype(int), TypeError, "alpha must be floating-point or uint8, got int64"),
        (X[None, None], ValueError, "alpha must have shape (H, W) or (N, H, W) as an array, got (1, 1, 4, 4)"),
        (torch.rand(1, 3, 4, 4), ValueError, "alpha must have shape (N, 1, H, W), got (1, 3, 4, 4)"),
        (X[:, :0], ValueError, "alpha must have at least one pixel, got shape (4, 0)"),
        (torch.zeros(1, 1, 0, 4), ValueError, "alpha must have at least one pixel, got shape (1, 1, 0, 4)"),
        (np.zeros((9, 8, 1)), ValueError, "got (9, 8, 1), which looks like (H, W, channels): pass one channel"),
        (np.zeros((5, 8, 4)), ValueError, "got (5, 8, 4), which looks like (H, W, channels): pass one channel"),
        (np.zeros((9, 8, 3), np.uint8), ValueError, "got (9, 8, 3), which looks like (H, W, channels)"),
        (
            np.array([[0.0, 127.0, 255.0]]),
            ValueError,
            "alpha must lie in [0, 1], got 0 to 255: did you pass 0..255? Divide",
        ),
        (np.array([[0.0, -0.25, 1.0]]), ValueError, "alpha must lie in [0, 1], got -0.25 to 1: clamp it first"),
        (np.array([[1.00001]]), ValueError, "alpha must lie in [0, 1], got 1.00001 to 1.00001: clamp it first"),
        (np.array([[0, 1]], np.uint8), ValueError, "alpha must not hold 0 and 1 and nothing else if it holds integers"),
        (np.ma.masked_equal([[0.0, 1.0]], 0), TypeError, "alpha must not be a masked array"),
        (torch.full((1, 1, 1, 2), torch.nan), ValueError, "alpha must lie in [0, 1], got NaN"),
        (torch.full((1, 1, 1, 2), 2).bfloat16(), ValueError, "alpha must lie in [0, 1], got 2 to 2: did you"),
    ],
)
def test_the_alpha_is_checked(alpha, error, message):
    with pytest.raises(error, match=re.escape(message)):
        tm.from_alpha(alpha, width=1)
    with pytest.raises(error, match=re.escape(message)):
        tm.random_from_alpha(alpha)


# ---- random_from_alpha


def edge():
    """A matte whose trimap tells the kernels that made it: a straight edge, and room for the widest."""
    alpha = np.zeros((60, 200))
    alpha[:, 100:] = 1
    return alpha


def possible(kernels):
    """Every trimap of one matte that OpenCV makes with kernels from the range, by what made it."""
    sizes = range(kernels.sizes[0], kernels.sizes[1] + 1)
    pairs = [(s, s) for s in sizes] if kernels.shared else [(s, t) for s in sizes for t in sizes]
    iterations = range(kernels.iterations[0], kernels.iterations[1] + 1)
    return {
        opencv_trimap(shape_matte(), *pair, kernels.kernel, i).tobytes(): (*pair, i)
        for pair in pairs
        for i in iterations
    }


@pytest.mark.parametrize("kernels", [tm.GCA_KERNELS, tm.PADDLESEG_KERNELS], ids=["GCA", "PADDLESEG"])
def test_presets_draw_what_the_training_codes_draw(kernels):
    made_by = possible(kernels)
    batch = np.repeat(shape_matte()[None], 400, 0)
    drawn = {made_by[trimap.tobytes()] for trimap in tm.random_from_alpha(batch, kernels=kernels)}  # none is foreign
    # 400 even draws from 841 meet 318 on average, from 30 all of them
    assert len(drawn) > (290 if kernels is tm.GCA_KERNELS else 28)


def test_preset_facts():
    """GCA: data_generator.py draws 1 to 29; PaddleSeg: matting_dataset.py draws 2 to 4, 5 to 14 times."""
    assert tm.RandomKernels(sizes=(1, 29), iterations=(1, 1), shared=False, kernel="ellipse") == tm.GCA_KERNELS
    assert tm.RandomKernels(sizes=(2, 4), iterations=(5, 14), shared=True, kernel="ellipse") == tm.PADDLESEG_KERNELS


def widths(alpha, **options):
    trimap = tm.random_from_alpha(alpha, **options)
    unknown = trimap == 128
    return set(unknown[:, :, 100:].sum((1, 2)).tolist()), set(unknown[:, :, :100].sum((1, 2)).tolist())


@pytest.mark.parametrize("generator", [None, torch.Generator().manual_seed(1), np.random.default_rng(1)])
def test_ranges_are_reached_at_both_ends(generator):
    row = np.repeat(edge()[None, :1], 200, 0)  # of one row, so that an odd square kernel of 2r+1 leaves r pixels
    kernels = tm.RandomKernels(sizes=(3, 7), kernel="square")
    # from 100 on, foreground: a kernel of size s, anchored at s // 2, reaches s // 2 pixels back and (s-1) // 2 ahead
    inner, outer = widths(row, kernels=kernels, generator=generator)
    assert inner == {1, 2, 3}
    assert outer == {1, 2, 3}
    several = tm.RandomKernels(sizes=(3, 3), iterations=(2, 4), kernel="square")
    assert widths(row, kernels=several, generator=generator) == ({2, 3, 4}, {2, 3, 4})


def test_a_shared_size_is_one_for_both_sides():
    row = np.repeat(edge()[None, :1], 50, 0)
    for shared in (True, False):
        kernels = tm.RandomKernels(sizes=(1, 9), shared=shared, kernel="square")
        unknown = tm.random_from_alpha(row, kernels=kernels) == 128
        difference = unknown[:, 0, 100:].sum(1) - unknown[:, 0, :100].sum(1)
        assert (abs(difference) <= 1).all() == shared  # an even kernel reaches one pixel further on one side


@given(alphas(), st.integers(0, 99))
def test_random_trimaps_are_right_and_repeatable(alpha, seed):
    one, other = (tm.random_from_alpha(alpha, generator=torch.Generator().manual_seed(seed)) for _ in range(2))
    assert one.equal(other)
    sources = [torch.Generator().manual_seed(seed) for _ in range(2)]
    one_of_many, other_of_many = (
        tm.random_from_alpha(shape_matte(), kernels=tm.PADDLESEG_KERNELS, generator=source) for source in sources
    )
    assert np.array_equal(one_of_many, other_of_many)
    assert one.shape == alpha.shape
    assert tm.apply(alpha, one).equal(alpha)
    array = tm.random_from_alpha(alpha[:, 0].numpy(), generator=torch.Generator().manual_seed(seed))
    assert np.array_equal(array, one[:, 0].numpy())
    single = tm.random_from_alpha(alpha[0, 0].numpy(), generator=torch.Generator().manual_seed(seed))
    assert np.array_equal(single, array[0])


def test_without_a_generator_torchs_seed_rules():
    alpha = edge()
    torch.manual_seed(5)
    one = [tm.random_from_alpha(alpha).tobytes() for _ in range(10)]
    torch.manual_seed(5)
    assert one == [tm.random_from_alpha(alpha).tobytes() for _ in range(10)]
    assert len(set(one)) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": (0, 3)}, "sizes must be a least and a largest, both at least 1, got (0, 3)"),
        ({"sizes": 3}, "sizes must be a least and a largest, both at least 1, got 3"),
        ({"sizes": (1, 2, 3)}, "sizes must be a least and a largest, both at least 1, got (1, 2, 3)"),
        ({"sizes": (1, 2.5)}, "sizes must be a least and a largest, both at least 1, got (1, 2.5)"),
        ({"sizes": (4, 3)}, "sizes must be a least and a largest, both at least 1, got (4, 3)"),
        (
            {"sizes": (1, 3), "iterations": (0, 1)},
            "iterations must be a least and a largest, both at least 1, got (0, 1)",
        ),
        ({"sizes": (1, 3), "kernel": "cross"}, "kernel must be one of 'ellipse', 'square', got 'cross'"),
    ],
)
def test_kernels_are_checked(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        tm.RandomKernels(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernels": "gca"}, "kernels must be a RandomKernels, such as GCA_KERNELS, got 'gca'"),
        ({"generator": 3}, "generator must be a generator of torch or NumPy, or None, got 3"),
    ],
)
def test_what_is_drawn_from_is_checked(options, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        tm.random_from_alpha(X, **options)


def test_widths_are_drawn_on_the_cpu_whatever_the_default_device():
    alpha = torch.zeros(1, 1, 4, 4)
    with torch.device("meta"):
        assert tm.random_from_alpha(alpha).device.type == "cpu"


def test_a_batch_of_narrow_arrays_is_no_image_with_channels():
    assert tm.from_alpha(np.zeros((4, 8, 3)), width=1).shape == (4, 8, 3)


def test_no_images_are_no_trimaps():
    assert tm.from_alpha(torch.zeros(0, 1, 4, 4), width=1).shape == (0, 1, 4, 4)
    assert tm.from_alpha(np.zeros((0, 4, 4)), width=1).shape == (0, 4, 4)


# ---- from_mask


@given(alphas(), radii, kernels)
def test_masks_of_every_type_give_the_trimap_of_the_matte(alpha, width, kernel):
    mask = alpha > 0.5
    expected = tm.from_alpha(mask.float(), width=width, kernel=kernel)
    for same in (mask, mask.byte(), mask.byte() * 255, mask.long(), mask.float(), mask.half()):
        assert tm.from_mask(same, width=width, kernel=kernel).equal(expected)
        assert np.array_equal(tm.from_mask(same[:, 0].numpy(), width=width, kernel=kernel), expected[:, 0].numpy())


@pytest.mark.parametrize("kernel", sorted(KERNELS))
@pytest.mark.parametrize("iterations", [1, 3])
def test_a_masks_kernel_and_iterations(kernel, iterations):
    mask = np.zeros((40, 40), bool)
    mask[20, 20] = True
    expected = opencv_trimap(mask.astype(np.float32), 1, 7, kernel, iterations)
    assert np.array_equal(tm.from_mask(mask, inner=0, outer=3, kernel=kernel, iterations=iterations), expected)


@given(alphas(dtype=torch.float64), radii, radii, st.integers(1, 2), st.sampled_from([0.6, 0.95, 1.0]))
def test_probabilities_are_known_where_they_are_certain(probability, inner, outer, iterations, certain):
    alpha = torch.full_like(probability, 0.5)
    alpha[probability >= certain] = 1
    alpha[1 - probability >= certain] = 0
    options = {"inner": inner, "outer": outer, "iterations": iterations}
    expected = tm.from_alpha(alpha, **options)
    assert tm.from_mask(probability, certain=certain, **options).equal(expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("certain", [0.7, 0.8, 0.9])
def test_both_sides_are_certain_alike(dtype, certain):
    probability = torch.tensor([[[[0.1, 0.2, 0.3, 0.7, 0.8, 0.9]]]], dtype=dtype)
    trimap = tm.from_mask(probability, width=0, certain=certain)
    assert (trimap == 0).equal((trimap == 255).flip(-1))


def test_the_default_certainty():
    assert tm.from_mask(np.array([[0.04, 0.06, 0.94, 0.96]]), width=0).tolist() == [[0, 128, 128, 255]]


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (np.array([[0, 2]]), {}, "mask must hold only 0, 1 and 255, got 2 in 1 pixel, first at (0, 1)"),
        (np.array([[0, 1, 255]]), {}, "mask must hold 0 and 1, or 0 and 255, got all three"),
        (
            np.array([[0, 255.0, 3, -1]]),
            {},
            "mask must lie in [0, 1], got -1 to 255: did you pass 0..255? Divide it by 255",
        ),
        (np.array([[0.5, 1.25]]), {}, "mask must lie in [0, 1], got 0.5 to 1.25: clamp it first"),
        (np.array([[0, np.nan]]), {}, "mask must lie in [0, 1], got NaN"),
        (np.zeros(3), {}, "mask must have shape (H, W) or (N, H, W) as an array, got (3,)"),
        (np.array([[0.5]]), {"certain": 0.5}, "certain must be above 0.5 and at most 1, got 0.5"),
        (np.array([[0.5]]), {"certain": 1.1}, "certain must be above 0.5 and at most 1, got 1.1"),
    ],
)
def test_the_mask_is_checked(mask, options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        tm.from_mask(mask, width=1, **options)

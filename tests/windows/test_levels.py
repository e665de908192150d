"""Windows of levels against the whole, in whole numbers where they can be, so that a missing pixel shows."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mattekit.windows import Level, Window, compute_levels, in_order, levels_of, resize_bilinear, through, tiled
from mattekit.windows.resizing import needed, resize_part

sides = st.integers(1, 60)


@st.composite
def spans(draw, side):
    start = draw(st.integers(0, side - 1))
    return range(start, draw(st.integers(start + 1, side)))


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@given(data=st.data(), source=st.tuples(sides, sides), size=st.tuples(sides, sides), channels_last=st.booleans())
def test_a_part_is_as_in_the_whole(data, source, size, channels_last):
    x = rand(2, 3, *source)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    rows, columns = data.draw(spans(size[0])), data.draw(spans(size[1]))
    at = tuple(needed(span, big, small) for span, big, small in zip((rows, columns), size, source, strict=True))
    part = x[:, :, at[0].start : at[0].stop, at[1].start : at[1].stop]
    actual = resize_part(part, at, source, size, (rows, columns))
    expected = F.interpolate(x, size=size, mode="bilinear")[:, :, rows.start : rows.stop, columns.start : columns.stop]
    # where a pixel lies is rounded to 2^-24 of the side, in torch as here
    torch.testing.assert_close(actual, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("factors", [(1, 1), (2, 2), (4, 2), (3, 5), (16, 16)])
def test_whole_factors_give_the_same_bits(factors):
    x = rand(1, 2, 9, 7)
    size = (9 * factors[0], 7 * factors[1])
    whole = resize_bilinear(x, size)
    rows, columns = range(size[0] // 3, size[0]), range(size[1] - 1)
    part = resize_part(x, (range(9), range(7)), (9, 7), size, (rows, columns))
    # the same bits but for factors that are no power of two, of which torch rounds where a pixel lies
    atol = 1e-6 if 3 in factors else 0
    torch.testing.assert_close(part, whole[:, :, rows.start :, : columns.stop], rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_resized_in_full(dtype):
    x = rand(1, 2, 9, 7).to(dtype)
    part = resize_part(x, (range(9), range(7)), (9, 7), (20, 30), (range(1, 20), range(30)))
    assert part.dtype == dtype
    full = resize_bilinear(x.float(), (20, 30)).to(dtype)
    torch.testing.assert_close(part, full[:, :, 1:], rtol=0, atol=2**-8)
    assert dtype == torch.float16 or resize_bilinear(x, (20, 30)).equal(full)


def blurred(halo):
    """A box of ones that sees ``halo`` pixels, as a module of known halo; sums of whole numbers are exact."""
    conv = nn.Conv2d(1, 1, 2 * halo + 1, padding=halo, bias=False).double()
    nn.init.ones_(conv.weight)
    return conv


def whole_numbers(*shape, seed):
    return torch.randint(0, 9, shape, generator=torch.Generator().manual_seed(seed)).double()


@given(
    data=st.data(),
    size=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    halos=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    tile_bytes=st.sampled_from([None, 0, 500, 4000]),
)
def test_windows_of_a_pyramid(data, size, halos, tile_bytes):
    """Each level twice as fine as the one before; the last two of one size, and one result used twice."""
    coarse = [tuple(-(-side // 2**step) for side in size) for step in range(len(halos))][::-1]

    def build():
        x = side = whole_numbers(1, 1, *coarse[0], seed=0)
        levels = []
        for at, halo in zip(coarse, halos, strict=True):
            blur = blurred(halo)
            x = Level([x, side], at, lambda a, b, blur=blur: blur(a + b), halo=blur)
            levels.append(x)
        last = blurred(1)
        return [Level([x], size, last, halo=last, stride=1), Level([levels[0]], size), x]

    with torch.no_grad():
        expected = [level.whole() for level in build()]
        rows, columns = data.draw(spans(size[0])), data.draw(spans(size[1]))
        window = Window(rows.start, columns.start, len(rows), len(columns))
        for got, want in zip(compute_levels(build(), window, tile_bytes=tile_bytes), expected, strict=True):
            want = want[:, :, rows.start : rows.stop, columns.start : columns.stop]
            torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
        for got, want in zip(compute_levels(build(), tile_bytes=tile_bytes), expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


@given(
    data=st.data(),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    upscale=st.integers(1, 4),
    halo=st.integers(0, 3),
    tile_bytes=st.sampled_from([None, 0, 500, 4000]),
)
def test_windows_of_what_is_made_finer(data, size, upscale, halo, tile_bytes):
    """A level that makes so many pixels along each side of one of its inputs', of which one is resized."""
    coarse = tuple(-(-side // upscale) for side in size)
    x, other = whole_numbers(1, 1, *coarse, seed=0), whole_numbers(1, 1, 3, 5, seed=1)
    blur = blurred(halo)

    def shuffled(a, b):
        return F.pixel_shuffle(blur(torch.cat([a * k + b for k in range(upscale**2)])).transpose(0, 1), upscale)

    def build():
        level = Level(
            [Level([x], coarse, blur, halo=blur), Level([other], coarse)], size, shuffled, halo=blur, upscale=upscale
        )
        return [level, Level([level], size, blur, halo=blur, stride=1)]

    with torch.no_grad():
        wide = shuffled(blur(x), resize_bilinear(other, coarse))[..., : size[0], : size[1]]
        expected = [wide, blur(wide)]
        rows, columns = data.draw(spans(size[0])), data.draw(spans(size[1]))
        window = Window(rows.start, columns.start, len(rows), len(columns))
        for got, want in zip(compute_levels(build(), window, tile_bytes=tile_bytes), expected, strict=True):
            torch.testing.assert_close(got, want[:, :, rows.start : rows.stop, columns.start : columns.stop])
        for got, want in zip(compute_levels(build(), tile_bytes=tile_bytes), expected, strict=True):
            torch.testing.assert_close(got, want)


@given(
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    padding=st.sampled_from(["same", "symmetric"]),
    tile_bytes=st.sampled_from([None, 0, 300, 100_000]),
    as_level=st.booleans(),
)
def test_strided_convolutions_in_tiles(size, padding, tile_bytes, as_level):
    from mattekit.encoders import HRNet

    encoder = HRNet((2, 2, 2, 2), modules=(1, 1, 1, 1), blocks=(1, 1, 1, 1), stage1_width=1, padding=padding)
    nn.init.ones_(encoder.conv1.weight)
    nn.init.ones_(encoder.conv2.weight)

    def function(x):
        half = encoder.conv1.double()(x)
        return [half, encoder.conv2.double()(half)]

    image = whole_numbers(1, 3, *size, seed=1)
    given_ = Level([image], size, lambda x: x * 1, stride=1) if as_level else image
    with torch.no_grad():
        parts = tiled(function, given_, halo=3, strides=(2, 4), channels=3, tile_bytes=tile_bytes)
        for part, whole in zip(parts, function(image), strict=True):
            assert part.equal(whole)


def test_a_level_of_unknown_halo_is_computed_once_and_whole():
    calls = []

    def flipped(x):
        calls.append(tuple(x.shape[-2:]))
        return x.flip(-1)

    x = rand(1, 1, 10, 12)
    level = Level([x], (20, 24), flipped, halo=None)
    last = Level([level], (20, 24), lambda x: 2 * x, stride=1)
    expected = 2 * resize_bilinear(x, (20, 24)).flip(-1)
    for window in (Window(0, 0, 5, 5), Window(3, 4, 10, 10)):
        (part,) = compute_levels([last], window, tile_bytes=100)
        rows, columns = slice(window[0], window[0] + window[2]), slice(window[1], window[1] + window[3])
        torch.testing.assert_close(part, expected[:, :, rows, columns])
    assert calls == [(20, 24)]


def test_a_level_is_let_go_when_it_is_known():
    x = Level([rand(1, 1, 4, 4)], (8, 8), torch.relu)
    y = Level([x], (16, 16))
    assert in_order([y]) == [x, y]
    y.whole()
    assert in_order([y]) == [y]


def test_a_pointwise_convolution_goes_before_a_resize():
    conv, seen = nn.Conv2d(3, 1, 1), []
    level = through(Level([rand(1, 3, 5, 6)], (20, 30)), conv)
    conv.register_forward_hook(lambda *args: seen.append(tuple(args[2].shape)))
    torch.testing.assert_close(level.whole(), conv(resize_bilinear(rand(1, 3, 5, 6), (20, 30))))
    assert seen == [(1, 1, 5, 6), (1, 1, 20, 30)]


def test_a_module_without_levels_is_given_whole_tensors():
    class Sum(nn.Module):
        def forward(self, features, size):
            assert all(isinstance(x, torch.Tensor) for x in features)
            return sum(resize_bilinear(x, size) for x in features)

    x = rand(1, 1, 4, 4)
    total = levels_of(Sum(), [x, Level([x], (8, 8), torch.relu)], (8, 8))
    torch.testing.assert_close(total, 2 * resize_bilinear(x, (8, 8)))


def test_a_wrong_declaration_is_noticed():
    class Wrong(nn.Module):
        halo = 0

        def forward(self, x):
            return F.avg_pool2d(x, 3, stride=1)

    level = Level([rand(1, 1, 20, 20)], (20, 20), Wrong(), halo=Wrong())
    with pytest.raises(RuntimeError, match=r"Wrong must return height and width \(4, 4\), got \(2, 2\)"):
        compute_levels([level], Window(0, 0, 4, 4))


def test_how_far_a_module_sees_is_asked_for_parts_alone():
    asked = []

    class Counted(nn.ReLU):
        @property
        def halo(self):
            asked.append(self)
            return 0

        def forward(self, x):
            return super().forward(x)

    module = Counted()
    level = Level([rand(1, 1, 8, 8)], (8, 8), module, halo=module, stride=1)
    compute_levels([level], tile_bytes=1000)
    assert not asked
    compute_levels([level], Window(0, 0, 4, 4), tile_bytes=1000)
    assert asked


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, 0, 0, 2), (0, 0, 9, 2), (0, 7, 1, 2)])
def test_bad_windows(window):
    level = Level([rand(1, 1, 4, 4)], (8, 8))
    with pytest.raises(ValueError, match=r"window must lie within \(8, 8\)"):
        compute_levels([level], Window(*window))

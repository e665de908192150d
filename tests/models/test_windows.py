"""A window of the network against the whole: any size, any window, any part."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from mattekit.blocks import (
    ConvBNReLU,
    ConvFusion,
    DetailFusion,
    GatedConv,
    HighResolutionDetailBranch,
    ReplaceFusion,
    SoftFusion,
)
from mattekit.inference import prepare
from oracles.networks import lively, small


class Stranger(nn.Module):
    """A detail branch that says nothing of itself, at a quarter of the resolution, with a look at the whole photo."""

    def __init__(self, in_channels, guidance_channels):
        super().__init__()
        self.enter = ConvBNReLU(sum(in_channels), 6)
        self.gate = GatedConv(6, guidance_channels[-1])
        self.leave = nn.Conv2d(6, 1, 3, padding=1)

    def forward(self, features, guidance, size):
        quarter = [(side + 3) // 4 for side in size]
        x = torch.cat([interpolate(f, quarter, mode="bilinear") for f in features], 1)
        x = self.leave(self.gate(self.enter(x), guidance[-1])) + x.mean((1, 2, 3), keepdim=True)
        return interpolate(x, size, mode="bilinear")


class Local(nn.Module):
    """One that says how far it sees, and nothing else."""

    halo = 5

    def __init__(self, in_channels, guidance_channels):
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(sum(in_channels) + guidance_channels[1], 6, 7, padding=3),
            nn.ReLU(),
            nn.Conv2d(6, 1, 5, padding=2),
        )

    def forward(self, features, guidance, size):
        x = torch.cat([interpolate(f, size, mode="bilinear") for f in [*features, guidance[1]]], 1)
        return self.convs(x)


class LocalWithNeighbours(HighResolutionDetailBranch):
    """A subclass with a forward of its own, which sees one pixel more, and says nothing."""

    def forward(self, features, guidance, size):
        return avg_pool2d(super().forward(features, guidance, size), 3, 1, 1)


class Smooth(nn.Module):
    """A fusion that looks at its neighbours."""

    def forward(self, semantic_logits, detail):
        return avg_pool2d(ReplaceFusion()(semantic_logits, detail), 5, 1, 2)


def large_kernel(model):
    model.detail.residuals[2] = nn.Conv2d(5, 5, 31, padding=15)


def gate_of_another_class(model):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = GatedConv(4, 4)

        def forward(self, detail, guidance):
            return self.gate(detail, guidance) + detail.mean()

    model.detail.gates["5"] = Other()


def gate_of_a_subclass(model):
    class Doubled(GatedConv):
        def forward(self, detail, guidance):
            return 2 * super().forward(detail, guidance)

    model.detail.gates["5"] = Doubled(4, 4)


def hook_on_a_gate(model):
    model.detail.gates["5"].register_forward_hook(lambda module, args, result: 2 * result)


def hook_on_the_context(model):
    model.context.register_forward_hook(lambda module, args, result: result._replace(semantic_logits=-result[0]))


def hook_within_the_context(model):
    model.context.blocks[4][1].register_forward_pre_hook(lambda module, args: (args[0].flip(-1),))


def hook_on_the_stem(model):
    model.encoder.conv1.register_forward_hook(lambda module, args, result: result.flip(-1))


def hook_on_the_encoder(model):
    model.encoder.register_forward_hook(lambda module, args, result: [x.flip(-1) for x in result])


def part(kind):
    return lambda model: setattr(model, "detail", kind((64, 4), model.context.guidance_channels))


def fusion(made):
    return lambda model: setattr(model, "fusion", made())


CHANGES = [
    large_kernel,
    gate_of_another_class,
    gate_of_a_subclass,
    hook_on_a_gate,
    hook_on_the_context,
    hook_within_the_context,
    hook_on_the_stem,
    hook_on_the_encoder,
    *map(part, (Stranger, Local)),
    part(lambda *args: LocalWithNeighbours(*args, widths=(8, 6, 6, 4))),
    *map(fusion, (ConvFusion, DetailFusion, SoftFusion, Smooth)),
]


def changed(change, **options):
    torch.manual_seed(0)
    model = small(**options)
    if change is not None:
        change(model)
    return lively(model)


@st.composite
def windows(draw, size):
    """Any, often of one pixel, often at a border."""
    sides = []
    for side in size:
        start = draw(st.sampled_from([0, side - 1]) | st.integers(0, side - 1))
        sides.append((start, draw(st.sampled_from([1, side - start]) | st.integers(1, side - start))))
    (top, height), (left, width) = sides
    return top, left, height, width


def assert_same(actual, expected, window=None):
    """Detail and probabilities to 1e-5; alpha but where two classes tie, which ``replace`` decides by a hair."""
    top, left, height, width = window or (0, 0, *expected.alpha.shape[-2:])
    expected = [x[:, :, top : top + height, left : left + width] for x in expected]
    torch.testing.assert_close(actual.detail, expected[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(actual.semantic_logits.softmax(1), expected[2].softmax(1), rtol=0, atol=1e-5)
    first, second = expected[2].topk(2, dim=1).values.unbind(1)
    away = (actual.alpha - expected[0]).abs() > 2e-5
    assert away.sum() <= ((first - second) < 1e-4).sum() * 25  # a smooth fusion spreads a tie over its 5×5 pixels


sizes = st.tuples(st.integers(32, 80), st.integers(32, 80)) | st.sampled_from([(64, 96), (33, 65), (96, 32)])


ROWS = st.sampled_from([(), (5,), (4,), (1, 3, 5), (2, 4), (1, 2, 3, 4, 5)])
networks = st.one_of(
    st.builds(dict, change=st.none(), guidance=ROWS, wider=st.integers(0, 5)),
    st.builds(dict, change=st.sampled_from(CHANGES)),
)


@settings(max_examples=40)
@given(
    data=st.data(),
    size=sizes,
    network=networks,
    padding=st.sampled_from(["same", "symmetric"]),
    tile_bytes=st.sampled_from([None, 2000, 20_000]),
)
@torch.inference_mode()
def test_a_window_is_as_in_the_whole(data, size, network, padding, tile_bytes):
    model = changed(**network, padding=padding)
    image = torch.rand(1, 3, *size)
    expected = model(image)
    set_tiles(model, tile_bytes)
    encoded = model.encode(image)
    for window in data.draw(st.lists(windows(size), min_size=1, max_size=3)):
        assert_same(model.decode(encoded, window), expected, window)
    assert_same(model.decode(encoded), expected)


@pytest.mark.parametrize("change", CHANGES)
@torch.inference_mode()
def test_whatever_a_part_is(change):
    """In windows, in tiles, prepared: known parts in pieces, all others whole."""
    model = changed(change)
    prepared = prepare(model)
    set_tiles(prepared, 3000)
    for size in [(64, 96), (45, 70)]:
        image = torch.rand(1, 3, *size)
        expected = model(image)
        encoded = model.encode(image)
        for window in [(0, 0, 10, 20), (size[0] - 1, size[1] - 1, 1, 1), (11, 13, 20, 31)]:
            assert_same(model.decode(encoded, window), expected, window)
        assert_same(prepared(image), expected)
        encoded = prepared.encode(image)
        assert_same(prepared.decode(encoded, (11, 13, 20, 31)), expected, (11, 13, 20, 31))


@torch.inference_mode()
def test_batches_in_windows():
    model = changed(None)
    image = torch.rand(3, 3, 40, 64)
    expected = model(image)
    set_tiles(model, 5000)
    assert_same(model.decode(model.encode(image), (5, 6, 30, 20)), expected, (5, 6, 30, 20))


def test_training_is_whole_and_once():
    """Statistics of a batch are those of the whole batch, and running statistics move once a step."""
    model = small()
    model(torch.rand(2, 3, 64, 64)).detail.sum().backward()
    counts = {int(m.num_batches_tracked) for m in model.modules() if isinstance(m, nn.BatchNorm2d)}
    assert counts == {1}
    encoded = model.encode(torch.rand(2, 3, 64, 64))
    whole = model.decode(encoded).detail
    torch.testing.assert_close(model.decode(encoded, (3, 4, 20, 21)).detail, whole[:, :, 3:23, 4:25])


@torch.inference_mode()
def test_a_windows_cost_is_its_own(monkeypatch):
    """What is computed for a small window of a large photo is small: no level but the coarse ones is whole."""
    model = changed(None)
    set_tiles(model, 1 << 20)
    encoded = model.encode(torch.rand(1, 3, 512, 512))
    largest = 0

    def spy(module, args):
        nonlocal largest
        largest = max(largest, args[0].shape[-1] * args[0].shape[-2])

    handle = torch.nn.modules.module.register_module_forward_pre_hook(spy)
    try:
        model.decode(encoded, (100, 100, 64, 64))
    finally:
        handle.remove()
    assert largest <= (64 + 2 * 6 + 2) ** 2 * 4  # of the image, in front of the stem of stride 2: no more than this
    with pytest.raises(ValueError, match=r"window must lie within \(512, 512\)"):
        model.decode(encoded, (500, 0, 13, 1))


def set_tiles(network, tile_bytes):
    for module in network.modules():
        if hasattr(module, "tile_bytes"):
            module.tile_bytes = tile_bytes

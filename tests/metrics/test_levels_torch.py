"""The batched labelling, on the CPU here, and on CUDA where there is one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mattekit.metrics import _levels, _levels_torch

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def noise(seed, shape, smooth):
    field = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if smooth:
        field = torch.nn.functional.avg_pool2d(field, 2 * smooth + 1, 1, smooth) * (2 * smooth + 1)
    return (5 + 3 * field).round().clamp(0, 10).byte()


noises = st.builds(
    noise,
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([0, 1, 3]),
)


def one_by_one(reached, *, skip_empty):
    images = [np.ascontiguousarray(image) for image in reached.numpy()]
    found = [_levels.connected_levels(x, np.full_like(x, 10), skip_empty=skip_empty) for x in images]
    return torch.from_numpy(np.stack(found))


@given(reached=noises, skip_empty=st.booleans())
def test_as_image_by_image(reached, skip_empty):
    found = _levels_torch.connected_levels(reached, skip_empty=skip_empty)
    assert found.equal(one_by_one(reached, skip_empty=skip_empty))


@pytest.mark.parametrize("device", DEVICES)
def test_a_long_way_there_and_back_is_one_component(device):
    """One line that turns 16 times, which labels have to travel from end to end; the second image has it cut."""
    reached = torch.zeros(2, 33, 33, dtype=torch.uint8)
    reached[:, ::2] = 10
    reached[:, 1::4, -1] = reached[:, 3::4, 0] = 10
    reached[1, 16, 5] = 0
    found = _levels_torch.connected_levels(reached.to(device), skip_empty=False).cpu()
    assert found[0].equal(reached[0])
    assert found[1].sum() == 10 * (8 * 33 + 8 + 27)
    assert found.equal(one_by_one(reached, skip_empty=False))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_reached_levels(device, dtype):
    pred, alpha = torch.randint(0, 256, (2, 2, 50, 60), dtype=torch.uint8).unbind()
    if dtype == torch.float64:
        pred, alpha = pred.double() / 255, alpha.double() / 255
    found = _levels_torch.reached_levels(pred.to(device), alpha.to(device)).cpu()
    expected = [_levels.reached_levels(*pair) for pair in zip(pred.numpy(), alpha.numpy(), strict=True)]
    assert found.equal(torch.from_numpy(np.stack(expected)))


def test_images_of_a_batch_do_not_touch():
    """The last column of one image and the first of the next are neighbours in memory, not in the plane."""
    reached = torch.zeros(2, 3, 4, dtype=torch.uint8)
    reached[0, :, 3] = 10
    reached[1, :, 0] = 10
    reached[1, 0, 2:] = 10
    found = _levels_torch.connected_levels(reached, skip_empty=False)
    assert found[0].sum() == 30
    assert found[1, :, 0].sum() == 30
    assert found[1].sum() == 30


def test_does_not_write_into_what_it_was_given():
    reached = noise(0, (2, 20, 20), 1)
    before = reached.clone()
    _levels_torch.connected_levels(reached, skip_empty=True)
    assert reached.equal(before)

import numpy as np
import pytest

from mattekit.photos import limit_short_side, resize, to_multiple_of


@pytest.mark.parametrize(
    ("size", "limit", "expected"),
    [
        ((600, 800), 512, (512, 683)),  # 800 * 512 / 600 = 682.67
        ((800, 600), 512, (683, 512)),
        ((512, 900), 512, (512, 900)),
        ((40, 50), 512, (40, 50)),
        ((600, 800), None, (600, 800)),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_short_side_is_limited(size, limit, expected, dtype):
    image = np.ones((*size, 3), dtype)
    found = limit_short_side(image, limit)
    assert (found is image) == (expected == size)
    assert found.shape == (*expected, 3)
    assert found.dtype == dtype
    assert (found == 1).all()


@pytest.mark.parametrize(
    ("size", "multiple", "expected"),
    [((70, 101), 32, (64, 96)), ((64, 96), 32, (64, 96)), ((5, 33), 32, (32, 32)), ((70, 101), 8, (64, 96))],
)
def test_sides_become_multiples(size, multiple, expected):
    assert to_multiple_of(np.ones(size, np.float32), multiple).shape == expected


def test_resizing_is_bilinear_between_pixel_centres():
    """Twice as wide: each new centre lies a quarter of a pixel from an old one."""
    found = resize(np.array([[0, 4]], np.float32), (1, 4))
    np.testing.assert_array_equal(found, [[0, 1, 3, 4]])


def test_what_comes_out_is_new():
    """Callers may hold it while the photo is written to, and read-only photos are fine."""
    image = np.zeros((32, 32, 3), np.uint8)
    image.setflags(write=False)
    found = to_multiple_of(image, 32)
    assert found.flags.writeable
    assert not np.shares_memory(found, image)

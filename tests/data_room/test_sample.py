"""What a sample and a batch demand."""

import numpy as np
import pytest
import torch

from mattekit.data import Sample, collate

IMAGE, ALPHA = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.float32)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"image": IMAGE[..., :1]}, ValueError, r"image must have shape \(H, W, 3\)"),
        ({"image": IMAGE.astype(np.float64)}, TypeError, "image must be uint8 or float32, got float64"),
        ({"image": None}, TypeError, "image must be a numpy.ndarray, got NoneType"),
        ({"alpha": ALPHA[:3]}, ValueError, r"alpha must have shape \(4, 5\) as image has it .*, got \(3, 5\)"),
        ({"alpha": ALPHA.astype(np.uint8)}, TypeError, "alpha must be float32, got uint8"),
        ({"foreground": IMAGE.astype(np.float32)}, TypeError, "foreground must be uint8, got float32"),
        ({"trimap": ALPHA}, TypeError, "trimap must be uint8, got float32"),
    ],
)
def test_a_sample_demands_its_form(fields, error, message):
    with pytest.raises(error, match=message):
        Sample(**{"image": IMAGE, "alpha": ALPHA, **fields})


def named(name, value, *, layers, kind=np.uint8, size=(4, 5)):
    picture = np.full((*size, 3), value, kind)
    known = {"foreground": picture, "background": picture} if layers else {}
    return Sample(picture, np.ones(size, np.float32), trimap=np.full(size, 128, np.uint8), name=name, **known)


def test_a_batch_says_which_samples_have_layers():
    batch = collate([named("a", 51, layers=False), named("b", 102, layers=True)])
    assert batch.has_layers.tolist() == [False, True]
    assert batch.names == ("a", "b")
    assert batch.image.dtype == batch.foreground.dtype == torch.float32
    assert batch.image[:, 0, 0, 0].tolist() == pytest.approx([0.2, 0.4])
    assert batch.foreground[:, 0, 0, 0].tolist() == pytest.approx([0, 0.4])
    assert batch.background.shape == batch.image.shape == (2, 3, 4, 5)
    assert batch.trimap.dtype == torch.uint8


def test_uint8_is_what_it_is_divided_by_255():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    sample = Sample(pixels, np.ones((16, 16), np.float32), trimap=np.zeros((16, 16), np.uint8))
    expected = torch.arange(256, dtype=torch.float32) / 255
    assert torch.equal(collate([sample]).image[0, 0].flatten(), expected)


def test_float_and_uint8_go_together():
    batch = collate([named("a", 51, layers=True), named("b", 0.2, layers=True, kind=np.float32)])
    assert torch.allclose(batch.image[0], batch.image[1])


def test_a_batch_moves_whole():
    batch = collate([named("a", 51, layers=True)])
    assert batch.to("meta").image.device.type == batch.to("meta").has_layers.device.type == "meta"
    assert len(batch.to("cpu")) == 1


def test_a_batch_demands_one_size_and_trimaps():
    with pytest.raises(ValueError, match=r"'a' of \(4, 5\) and 'b' of \(4, 6\)"):
        collate([named("a", 1, layers=True), named("b", 1, layers=True, size=(4, 6))])
    with pytest.raises(ValueError, match="'x' has none"):
        collate([Sample(IMAGE, ALPHA, name="x")])
    with pytest.raises(ValueError, match="at least one"):
        collate([])

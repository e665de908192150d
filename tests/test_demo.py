import numpy as np
import pytest
import torch
from PIL import Image

from mattekit import _demo


def test_the_lemur_comes_with_the_package():
    photo, alpha = _demo.lemur()
    assert photo.shape == (440, 680, 3)
    assert alpha.shape == (440, 680)
    assert photo.dtype == alpha.dtype == np.uint8
    assert (alpha == 0).mean() > 0.5
    assert (alpha > 250).mean() > 0.3


def test_the_report_states_the_networks_size():
    count = sum(parameter.numel() for parameter in _demo.small_network().parameters())
    assert f"{count / 1e6:.1f} million parameters" in _demo._REPORT


def test_crops_keep_photo_matte_and_trimap_together():
    _, alpha = _demo.lemur()
    marked = np.dstack([alpha] * 3)  # a photo that is its own matte
    example = _demo._example(marked, alpha)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        image, matte, trimap = _demo._crop(example, generator)
        assert image.shape == (1, 3, 192, 192)
        torch.testing.assert_close(image[:, :1], matte)
        assert (matte[trimap == 255] > 0.95).all()
        assert (matte[trimap == 0] < 0.1).all()


def test_fitting_takes_its_steps_and_ends_in_evaluation():
    photo, alpha = _demo.lemur()
    model = _demo.small_network()
    assert _demo.fit(model, photo, alpha, steps=2) == 2
    assert not model.training


def test_fitting_ends_with_its_time():
    photo, alpha = _demo.lemur()
    assert _demo.fit(_demo.small_network(), photo, alpha, steps=2, seconds=1e-9) == 0


def test_run_writes_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_demo, "fit", lambda model, *_: model.eval() and 7)
    _demo.run(tmp_path / "demo")
    said = capsys.readouterr().out
    for name in ("contact_sheet.png", "lemur_alpha.png", "lemur_cutout.png"):
        assert name in said
        assert (tmp_path / "demo" / name).exists()
    assert "fitted for 7 steps to this one photo" in said
    with Image.open(tmp_path / "demo" / "lemur_cutout.png") as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (680, 440))


@pytest.mark.parametrize("count", [1, 3, 5])
def test_sheet_has_room_for_every_panel(count):
    panel = np.full((20, 30, 3), 200, np.uint8)
    sheet = _demo._sheet({str(index): panel for index in range(count)})
    assert (sheet == 200).all(axis=2).sum() >= count * 600 * 0.99

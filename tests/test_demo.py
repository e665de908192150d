import numpy as np
import pytest
import torch
from PIL import Image

from mattekit._demo import showing, training
from mattekit._demo.examples import EXAMPLES, lemur
from mattekit.photos import read_matte


def test_the_lemur_comes_with_the_package():
    photo, alpha = lemur()
    assert photo.shape == (440, 680, 3)
    assert alpha.shape == (440, 680)
    assert photo.dtype == alpha.dtype == np.uint8
    assert (alpha == 0).mean() > 0.5
    assert (alpha > 250).mean() > 0.3


def test_every_photo_comes_with_the_package():
    for example in EXAMPLES:
        assert min(example.read().shape[:2]) >= 300


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "new"
    showing.run(folder)
    return folder


def test_the_demo_writes_what_it_says(shown):
    expected = {"contact_sheet.png"} | {f"{e.name}_{kind}.png" for e in EXAMPLES for kind in ("alpha", "cutout")}
    assert {path.name for path in shown.iterdir()} == expected
    with Image.open(shown / "lemur_cutout.png") as cutout:
        assert (cutout.mode, cutout.size) == ("RGBA", (680, 440))


def test_a_full_disk_leaves_no_matte_without_its_cutout(small_disk):
    with pytest.raises(OSError, match="No space left"):
        showing.run(small_disk)
    assert not list(small_disk.iterdir())


def test_the_demo_finds_the_lemur(shown):
    """Weights that are trained anew must still do so; a matte of one value errs by 0.45 at least."""
    _, truth = lemur()
    difference = np.abs(read_matte(shown / "lemur_alpha.png").astype(float) - truth) / 255
    assert difference.mean() < 0.1


def test_the_demo_says_first_what_it_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(showing, "pp_matting", lambda **_: pytest.fail(capsys.readouterr().out))
    with pytest.raises(pytest.fail.Exception, match="semantic map") as failure:
        showing.run(tmp_path)
    assert "nothing is downloaded" in str(failure.value)


def test_the_opening_states_the_networks_size():
    count = sum(parameter.numel() for parameter in training.small_network().parameters())
    assert f"{count / 1e6:.1f} million parameters" in training._OPENING


def test_crops_keep_photo_matte_and_trimap_together():
    _, alpha = lemur()
    marked = np.dstack([alpha] * 3)  # a photo that is its own matte
    pair = training._pair(marked, alpha)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        image, matte, trimap = training._crop(pair, generator)
        assert image.shape == (1, 3, 192, 192)
        torch.testing.assert_close(image[:, :1], matte)
        assert (matte[trimap == 255] > 0.95).all()
        assert (matte[trimap == 0] < 0.1).all()


def test_training_changes_the_network_and_writes_what_it_says(tmp_path, capsys):
    training.run(tmp_path / "demo", steps=1)
    said = capsys.readouterr().out
    assert "1 steps" in said
    for name in ("contact_sheet.png", "lemur_alpha.png", "lemur_cutout.png"):
        assert name in said
        assert (tmp_path / "demo" / name).exists()


def test_fitting_ends_in_evaluation_with_other_weights():
    photo, alpha = lemur()
    model = training.small_network()
    before = model.detail.head.weight.clone()
    training.fit(model, photo, alpha, steps=1)
    assert not model.training
    assert not torch.equal(model.detail.head.weight, before)

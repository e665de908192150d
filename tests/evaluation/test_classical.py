import numpy as np
import pytest
from PIL import Image

from mattekit import cli
from mattekit.evaluation import FolderError, estimate_mattes

pymatting = pytest.importorskip("pymatting", reason="PyMatting is not installed")


@pytest.fixture
def folders(tmp_path):
    """Two photos, dark above and light below with noise, and trimaps with a band of unknown pixels."""
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        photo = np.where(np.arange(12)[:, None, None] < 6, 50, 200) + rng.integers(0, 40, (12, 14, 3))
        known = np.full((12, 14), 128, np.uint8)
        known[:3], known[-3:] = 0, 255
        for folder, pixels in ("photos", photo.astype(np.uint8)), ("trimaps", known), ("truth", known):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    return tmp_path


def make(path, method="random_walk"):
    return estimate_mattes(method, path / "photos", path / "trimaps", path / "mattes")


def read(path):
    return np.array(Image.open(path))


def test_is_pymattings_matte(folders):
    assert make(folders) == {}
    known = read(folders / "trimaps" / "bee.png")
    scale = np.where(known == 128, 0.5, known / 255)
    expected = pymatting.estimate_alpha_rw(read(folders / "photos" / "bee.png") / 255, scale)
    np.testing.assert_array_equal(read(folders / "mattes" / "bee.png"), np.round(expected * 255))


def test_is_made_again_only_if_what_it_is_of_changed(folders):
    make(folders)
    for name in ("ant", "bee"):
        Image.fromarray(np.zeros((12, 14), np.uint8)).save(folders / "mattes" / f"{name}.png")
    photo = read(folders / "photos" / "bee.png")
    Image.fromarray(255 - photo).save(folders / "photos" / "bee.png")
    make(folders)
    assert not read(folders / "mattes" / "ant.png").any()
    assert read(folders / "mattes" / "bee.png").any()


def test_one_that_fails_costs_no_other(folders):
    Image.fromarray(np.full((12, 14), 127, np.uint8)).save(folders / "trimaps" / "ant.png")
    failures = make(folders)
    assert list(failures) == ["ant"]
    assert "must hold only 0, 128 and 255" in failures["ant"]
    assert (folders / "mattes" / "bee.png").is_file()
    assert not (folders / "mattes" / "ant.png").exists()


def test_what_is_refused(folders):
    with pytest.raises(ValueError, match=r"method must be one of 'closed_form', .* got 'magic'"):
        make(folders, "magic")
    (folders / "photos" / "ant.png").unlink()
    with pytest.raises(FolderError, match=r"missing photo: none in .*photos for .*trimaps.ant\.png"):
        make(folders)


def test_the_command(folders, capsys):
    command = ["compare", folders / "truth", f"same={folders / 'truth'}", "--trimaps", folders / "trimaps"]
    command += ["--workers", "1", "--classical", "random_walk", "--mattes", folders / "mattes"]
    assert cli.main([str(word) for word in command]) == 2
    assert "--classical needs --photos, --trimaps and --mattes" in capsys.readouterr().err
    assert cli.main([str(word) for word in [*command, "--photos", folders / "photos"]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| same", r"| random\_walk"]

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mattekit import cli
from mattekit.evaluation import FolderError, estimate_mattes
from mattekit.evaluation.classical import CLASSICAL

SHAPE = (6, 7)


@pytest.fixture
def folders(tmp_path):
    """Two photos, dark above and light below with noise, and trimaps with a band of unknown pixels."""
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        photo = np.where(np.arange(SHAPE[0])[:, None, None] < 3, 50, 200) + rng.integers(0, 40, (*SHAPE, 3))
        known = np.full(SHAPE, 128, np.uint8)
        known[0], known[-1] = 0, 255
        for folder, pixels in ("photos", photo.astype(np.uint8)), ("trimaps", known), ("truth", known):
            save(tmp_path / folder / f"{name}.png", pixels)
    return tmp_path


@pytest.fixture
def calls(monkeypatch):
    """A stand-in for PyMatting, each of whose methods gives the photo's red where nothing is known, and what it saw."""
    seen = []

    def method(name):
        def estimate(image, trimap):
            seen.append(name)
            return np.where(trimap == 0.5, image[..., 0], trimap)

        return estimate

    monkeypatch.setitem(
        sys.modules, "pymatting", SimpleNamespace(**{name: method(name) for name in CLASSICAL.values()})
    )
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0")
    return seen


def save(path, pixels):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


def read(path):
    return np.array(Image.open(path))


def make(path, method="random_walk", **options):
    return estimate_mattes(method, path / "photos", path / "trimaps", path / "mattes", **options)


def closed_form(image, known):
    """Levin et al. 2006 by dense linear algebra: equation 12, and the known pixels held at their values."""
    height, width = known.shape
    laplacian = np.zeros((known.size, known.size))
    index = np.arange(known.size).reshape(known.shape)
    for y in range(height - 2):
        for x in range(width - 2):
            window = index[y : y + 3, x : x + 3].ravel()
            colours = image.reshape(-1, 3)[window]
            off = colours - colours.mean(0)
            inverse = np.linalg.inv(off.T @ off / 9 + 1e-7 / 9 * np.eye(3))
            laplacian[np.ix_(window, window)] += np.eye(9) - (1 + off @ inverse @ off.T) / 9
    free = (known == 128).ravel()
    alpha = (known == 255).ravel().astype(float)
    alpha[free] = np.linalg.solve(laplacian[np.ix_(free, free)], -laplacian[np.ix_(free, ~free)] @ alpha[~free])
    return alpha.clip(0, 1).reshape(known.shape)


def test_closed_form_is_levins(folders, monkeypatch):
    """PyMatting itself, as Python: its compiled form takes minutes to be made."""
    numba = pytest.importorskip("numba", reason="PyMatting is not installed")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    before = set(sys.modules)
    try:
        assert make(folders, "closed_form", names=["bee"]) == {}
    finally:
        for name in set(sys.modules) - before:
            if name.startswith("pymatting"):
                del sys.modules[name]
    expected = closed_form(read(folders / "photos" / "bee.png") / 255, read(folders / "trimaps" / "bee.png"))
    assert 0.2 < expected.mean() < 0.8
    # half a level of rounding, and the residual of 1e-7 at which PyMatting's solver stops
    np.testing.assert_allclose(read(folders / "mattes" / "bee.png") / 255, expected, atol=0.5 / 255 + 1e-4)
    assert not (folders / "mattes" / "ant.png").exists()  # it was not asked for


@pytest.mark.parametrize("method", CLASSICAL)
def test_each_method_is_pymattings(folders, calls, method):
    assert make(folders, method) == {}
    assert calls == [CLASSICAL[method]] * 2
    red = read(folders / "photos" / "bee.png")[..., 0]
    known = read(folders / "trimaps" / "bee.png")
    np.testing.assert_array_equal(read(folders / "mattes" / "bee.png"), np.where(known == 128, red, known))


def test_is_made_again_only_if_what_it_is_of_changed(folders, calls):
    make(folders)
    make(folders)
    assert len(calls) == 2
    save(folders / "photos" / "bee.png", 255 - read(folders / "photos" / "bee.png"))
    make(folders)
    assert len(calls) == 3
    save(folders / "trimaps" / "ant.png", read(folders / "trimaps" / "ant.png")[::-1])
    make(folders)
    (folders / "mattes" / "ant.png").unlink()
    make(folders)
    make(folders, "knn")
    assert len(calls) == 7


def test_one_that_fails_costs_no_other(folders, calls):
    make(folders)
    save(folders / "trimaps" / "ant.png", np.full(SHAPE, 127, np.uint8))
    (folders / "mattes" / "bee.png").unlink()
    failures = make(folders)
    assert list(failures) == ["ant"]
    assert "must hold only 0, 128 and 255" in failures["ant"]
    assert (folders / "mattes" / "bee.png").is_file()


def test_what_does_not_fit_is_named_at_once(folders):
    save(folders / "photos" / "bee.png", np.zeros((5, 5, 3), np.uint8))
    (folders / "photos" / "ant.png").unlink()
    (folders / "trimaps" / "cat.png").touch()
    with pytest.raises(FolderError) as caught:
        make(folders, names=["ant", "bee", "dog"])
    assert caught.value.problems == [
        f"missing photo: none in {folders / 'photos'} for ant",
        f"missing photo: none in {folders / 'photos'} for dog",
        f"missing trimap: none in {folders / 'trimaps'} for dog",
        f"wrong size: photo {folders / 'photos' / 'bee.png'} is 5x5, {folders / 'trimaps' / 'bee.png'} is 7x6",
    ]


def test_what_is_refused(folders, calls, monkeypatch):
    with pytest.raises(ValueError, match=r"method must be one of 'closed_form', .* got 'magic'"):
        make(folders, "magic")
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        make(folders, workers=0)
    with pytest.raises(ValueError, match=r"trimaps.ant\.png must not be written"):
        estimate_mattes("knn", folders / "photos", folders / "trimaps", folders / "trimaps")
    monkeypatch.setitem(sys.modules, "pymatting", None)
    with pytest.raises(ImportError, match="pymatting"):
        make(folders)


def compare(folders, *words):
    command = ["compare", folders / "truth", "--trimaps", folders / "trimaps", "--workers", "1", *words]
    return cli.main([str(word) for word in command])


def test_the_command(folders, calls, capsys):
    save(folders / "trimaps" / "yak.png", np.zeros((4, 4), np.uint8))  # of no truth, and without a photo
    words = ["random_walk", f"same={folders / 'truth'}", "knn", "--mattes", folders / "mattes"]
    words += ["--photos", folders / "photos"]
    assert compare(folders, *words) == 0
    table = capsys.readouterr().out
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [r"| random\_walk", "| same", "| knn"]
    assert compare(folders, *words) == 0
    assert capsys.readouterr().out == table
    assert len(calls) == 4


def test_the_command_refuses_what_makes_no_sense(folders, calls, capsys):
    made = ["knn", "--mattes", folders / "mattes", "--photos", folders / "photos"]
    assert compare(folders, *made[:3]) == 2
    assert "knn makes mattes, which needs --photos, --trimaps and --mattes" in capsys.readouterr().err
    assert compare(folders, f"knn={folders / 'truth'}", *made) == 2
    assert "each NAME must be of one folder, got knn" in capsys.readouterr().err
    assert not calls


def test_no_matte_is_made_for_folders_or_settings_that_do_not_fit(folders, calls, capsys):
    """They were refused after all mattes were made, which may be hours, with "nothing was computed"."""
    made = ["knn", "--mattes", folders / "mattes", "--photos", folders / "photos"]
    assert compare(folders, *made, "--protocol", "composition-lk") == 2
    assert "protocol must be one of" in capsys.readouterr().err
    ours = folders / "ours"
    save(ours / "ant.png", np.zeros(SHAPE, np.uint8))
    assert compare(folders, f"ours={ours}", *made) == 2
    assert f"missing prediction: none in {ours} for {folders / 'truth' / 'bee.png'}" in capsys.readouterr().err
    assert not calls


def test_an_image_without_a_matte_counts_for_no_method(folders, calls, capsys):
    """As one of glass, whose trimap knows no foreground."""
    save(folders / "trimaps" / "ant.png", np.full(SHAPE, 127, np.uint8))
    words = ["knn", f"same={folders / 'truth'}", "--mattes", folders / "mattes", "--photos", folders / "photos"]
    words += ["--csv", folders / "out.csv"]
    assert compare(folders, *words) == 1
    assert "left out of all methods: ant: knn: ValueError: trimap must hold only" in capsys.readouterr().err
    rows = [line.split(",")[:2] for line in (folders / "out.csv").read_text().splitlines()[1:]]
    assert rows == [["knn", "bee"], ["same", "bee"]]
    save(folders / "trimaps" / "bee.png", np.full(SHAPE, 127, np.uint8))
    assert compare(folders, *words) == 2
    assert "nothing was computed, because of\n  knn failed: ant: ValueError: trimap must" in capsys.readouterr().err

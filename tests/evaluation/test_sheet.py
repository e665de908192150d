import numpy as np
import pytest
from PIL import Image

from mattekit import cli
from mattekit.evaluation import FolderError, compare_folders
from mattekit.evaluation.sheet import CELL

# SAD of a method is its grey level, as a share of white, times 100 pixels / 1000
LEVELS = {"ant": (0, 255), "bee": (51, 102), "cat": (255, 235), "dog": (153, 0)}


@pytest.fixture
def folders(tmp_path):
    """Black truths, and mattes of one grey each."""
    for name, (first, second) in LEVELS.items():
        save(tmp_path / "photos" / f"{name}.jpg", np.full((10, 10, 3), (10, 200, 30)))
        for folder, level in ("truth", 0), ("photo", first), ("other", second):  # one is named as a column is
            save(tmp_path / folder / f"{name}.png", np.full((10, 10), level))
    return tmp_path


def save(path, pixels):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def compare(path):
    return compare_folders({name: path / name for name in ("photo", "other")}, path / "truth")


def cells(sheet, rows, columns):
    """The colour in the middle of each panel."""
    width, height = (sheet.shape[1] - 10) // columns, CELL + 34
    middles = [
        [(34 + row * height + CELL // 2, 10 + column * width + CELL // 2) for column in range(columns)]
        for row in range(rows)
    ]
    return [[tuple(int(level) for level in sheet[place]) for place in row] for row in middles]


def test_the_images_that_differ_most_stand_first(folders):
    """Of 0.100, 0.060, 0.020 and 0.008 the first three; blue at full strength is 33, 102, 172."""
    sheet = compare(folders).sheet("photo", "other", folders / "photos", count=3)
    ant, dog, bee = cells(sheet, 3, 5)
    assert max(abs(np.subtract(ant[0], (10, 200, 30)))) <= 2  # JPEG
    assert ant[1:] == [(0, 0, 0), (0, 0, 0), (255, 255, 255), (33, 102, 172)]
    assert dog[1:4] == [(0, 0, 0), (153, 153, 153), (0, 0, 0)]
    assert dog[4] == (240, 160, 103)  # 255 - 0.6 * (255 - 230), ...
    assert bee[2:4] == [(51, 51, 51), (102, 102, 102)]


def test_no_photos_and_all_images(folders):
    sheet = compare(folders).sheet("other", "photo", count=99)
    assert cells(sheet, 4, 4)[0] == [(0, 0, 0), (255, 255, 255), (0, 0, 0), (230, 97, 1)]


def test_captions_are_written_and_cut_to_their_panels(folders):
    """Ink is found where the name and SAD stand; a name of any length stays within its column."""
    long = "n" * 100
    for folder in ("truth", "photo", "other"):
        (folders / folder / "ant.png").rename(folders / folder / f"{long}.png")
    sheet = compare(folders).sheet("photo", "other", count=1)
    line = sheet[34 + CELL + 2 : 34 + CELL + 24].min(axis=(0, 2)) < 100
    inked = [line[left : left + CELL].any() for left in range(10, 4 * (CELL + 10), CELL + 10)]
    assert inked == [True, True, True, False]
    assert not line[10 + CELL : 20 + CELL].any()


def test_what_is_refused(folders):
    found = compare(folders)
    with pytest.raises(ValueError, match="second must be one of 'photo', 'other', got 'him'"):
        found.sheet("photo", "him")
    with pytest.raises(ValueError, match="second must be another method than first, got 'photo' for both"):
        found.sheet("photo", "photo")
    with pytest.raises(ValueError, match="at least one image, got 0 of 4"):
        found.sheet("photo", "other", count=0)
    with pytest.raises(ValueError, match="region must be one of 'whole', got 'unknown'"):
        found.sheet("photo", "other", region="unknown")
    (folders / "photos" / "ant.jpg").unlink()
    with pytest.raises(FolderError, match=r"missing photo: none in .*photos for ant"):
        found.sheet("photo", "other", folders / "photos")


def run(folders, *words):
    methods = [f"{name}={folders / name}" for name in ("photo", "other")]
    return cli.main([str(word) for word in ["compare", folders / "truth", *methods, "--workers", "1", *words]])


def test_the_command(folders, capsys):
    path = folders / "out" / "sheet.png"
    assert run(folders, "--sheet", path, "--photos", folders / "photos") == 0
    np.testing.assert_array_equal(Image.open(path), compare(folders).sheet("photo", "other", folders / "photos"))
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]


def test_the_command_refuses_before_it_computes(folders, capsys):
    (folders / "photos" / "ant.jpg").unlink()
    sheet, photos = folders / "sheet.png", folders / "photos"
    for words, message in [
        (["--sheet", folders / "sheet.txt"], "the suffix must be that of an image format"),
        (["--sheet", sheet, "--photos", photos], f"missing photo: none in {photos} for ant"),
        (["--sheet", photos / "bee.jpg", "--photos", photos], "must not be written"),
        (["--sheet", sheet, "--csv", sheet], f"--csv and --sheet must be two files, got {sheet} for both"),
        (["--photos", photos], "--photos with one or with --sheet"),
    ]:
        assert run(folders, *words) == 2
        assert message in capsys.readouterr().err
    assert cli.main(["compare", str(folders / "truth"), f"other={folders / 'other'}", "--sheet", str(sheet)]) == 2
    assert "--sheet must be of two methods, got other alone" in capsys.readouterr().err
    assert not sheet.exists()

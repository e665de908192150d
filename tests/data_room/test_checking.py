"""`check_folder` reads everything once and lists all that is wrong; `mattekit data` shows it."""

import numpy as np
import pytest
from PIL import Image

from data_room.test_sources import composition_1k, save
from mattekit import cli
from mattekit.data import DataError, check_folder, open_folder
from mattekit.photos import decoding


def grey(path, value, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


@pytest.fixture
def folder(tmp_path):
    for name in ("ant", "bee", "cat"):
        save(tmp_path / "image" / f"{name}.jpg")
        grey(tmp_path / "alpha" / f"{name}.png", 255)
        grey(tmp_path / "trimap" / f"{name}.png", 128)
    return tmp_path


def test_a_good_folder(folder, capsys):
    assert check_folder(folder) == (9, [])
    assert cli.main(["data", "check", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out == "9 files read, all is well\n"
    assert "9/9" in err  # the progress bar


def test_every_file_is_decoded_once(folder, monkeypatch):
    decoded = []
    decode = decoding._decode
    monkeypatch.setattr(decoding, "_decode", lambda file: decoded.append(file.name) or decode(file))
    check_folder(folder)
    assert len(decoded) == len(set(decoded)) == 9


def test_all_that_is_wrong_is_listed_at_once(folder, capsys):
    (folder / "alpha" / "ant.png").write_bytes(b"no image")
    grey(folder / "alpha" / "bee.png", 9, (6, 5))
    grey(folder / "alpha" / "fox.png", 1)
    save(folder / "alpha" / "cat.png")
    grey(folder / "trimap" / "cat.png", 127)
    save(folder / "image" / "dog.jpg")
    grey(folder / "alpha" / "eel.png", 0)
    assert cli.main(["data", "check", str(folder)]) == 1
    lines = capsys.readouterr().out.replace(str(folder), ".").splitlines()
    assert lines[-1] == "12 files read, 10 problems"
    starts = [
        "empty: ./alpha/eel.png is 0 everywhere",
        "missing alpha: none in ./alpha for ./image/dog.jpg",
        "missing image: none in ./image for ./alpha/eel.png",
        "missing image: none in ./image for ./alpha/fox.png",
        "missing trimap: none in ./trimap for ./image/dog.jpg",
        "no matte: ./alpha/cat.png has colours",
        "no trimap: ./trimap/cat.png holds 127 besides",
        "unreadable: ./alpha/ant.png: cannot identify image file",
        "unreadable: ./alpha/fox.png: it holds 0 and 1",
        "wrong size: ./alpha/bee.png is 6x5, ./image/bee.jpg is 6x4",
    ]
    assert all(line.startswith(start) for line, start in zip(lines[:-1], starts, strict=True)), lines


def test_cutouts_over_backgrounds(tmp_path):
    save(tmp_path / "fg" / "cat.png", mode="RGBA")
    Image.new("RGBA", (6, 4)).save(tmp_path / "fg" / "dog.png")
    save(tmp_path / "fg" / "eel.png")
    save(tmp_path / "bg" / "x.png", (3, 3))
    read, problems = check_folder(tmp_path)
    assert read == 4
    assert [problem.split(":")[0] for problem in problems] == ["empty", "unreadable"]
    assert "no alpha channel" in problems[1]


def test_no_data_set(tmp_path, capsys):
    with pytest.raises(DataError, match="no folder"):
        check_folder(tmp_path / "nowhere")
    assert cli.main(["data", "check", str(tmp_path)]) == 2
    assert "must hold photos and mattes" in capsys.readouterr().err


def test_compose_writes_the_test_set(tmp_path, capsys):
    root = composition_1k(tmp_path / "c1k")
    out = tmp_path / "out"
    command = ["data", "compose", "composition-1k", str(root), str(root / "backgrounds"), "--out", str(out)]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == f"wrote 40 composites to {out}\n"
    source = open_folder(out)
    assert len(source) == 40
    sample = source(0, np.random.default_rng(0))
    assert sample.name == "a_0"
    assert sample.trimap is not None
    assert cli.main([*command[:4], str(root / "alpha"), "--out", str(out)]) == 2
    assert "no file" in capsys.readouterr().err

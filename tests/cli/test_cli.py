import csv
import io
import json
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mattekit import __version__, checkpoints, cli, inference
from mattekit.evaluation import PROTOCOLS, FolderScores
from mattekit.foreground import estimate_foreground
from mattekit.metrics import evaluate
from mattekit.models import pp_matting
from mattekit.photos import read_image, read_matte, write_image


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("ant", "bee", "cat"):
        for folder in ("pred", "alpha", "trimap"):
            (tmp_path / folder).mkdir(exist_ok=True)
            values = np.array([0, 128, 255], np.uint8) if folder == "trimap" else np.arange(256, dtype=np.uint8)
            Image.fromarray(rng.choice(values, (20, 30))).save(tmp_path / folder / f"{name}.png")
    return tmp_path


def read(path):
    return np.array(Image.open(path))


def read_csv(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def run(folders, *options):
    return cli.main(["evaluate", str(folders / "pred"), str(folders / "alpha"), "--workers", "1", *map(str, options)])


def test_evaluate_prints_means_and_medians(folders, capsys):
    assert run(folders, "--trimaps", folders / "trimap") == 0
    out, err = capsys.readouterr()
    header, mean, median = out.splitlines()
    assert header.split() == ["3", "images", "SAD", "MSE", "MAD", "Grad", "Conn"]
    scores = [
        evaluate(*(read(folders / folder / f"{name}.png") for folder in ("pred", "alpha", "trimap")))
        for name in ("ant", "bee", "cat")
    ]
    assert mean.split() == ["unknown", "mean", *(f"{value:.6g}" for value in np.mean(scores, axis=0))]
    assert median.split() == ["unknown", "median", *(f"{value:.6g}" for value in np.median(scores, axis=0))]
    assert "3/3" in err  # the progress bar


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_quiet_leaves_the_bar_out_wherever_it_stands(folders, capsys, monkeypatch, place):
    """tqdm is imported by now, and reads its variable no more."""
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    (folders / "image").mkdir()
    for path in (folders / "alpha").iterdir():
        Image.open(path).convert("RGB").save(folders / "image" / path.name)
    words = ["data", "check", str(folders)]
    assert cli.main([*words[:place], "--quiet", *words[place:]]) == 0
    assert capsys.readouterr() == ("9 files read, all is well\n", "")
    assert cli.main(words) == 0
    assert "9/9" in capsys.readouterr().err  # the next command has its bar
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert cli.main([*words, "--quiet"]) == cli.main(words) == 0
    assert not capsys.readouterr().err


@pytest.mark.parametrize("before", [True, False])
def test_quiet_leaves_the_scores_in(folders, capsys, before):
    words = ["evaluate", str(folders / "pred"), str(folders / "alpha"), "--workers", "1"]
    words.insert(0 if before else len(words), "--quiet")
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("3 images")
    assert not err


def test_the_shell_completes(tmp_path):
    pytest.importorskip("argcomplete")
    line, file = "mattekit predict --only ", tmp_path / "choices"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": " "}
    environment = {**os.environ, **asked, "_ARGCOMPLETE_STDOUT_FILENAME": str(file)}
    subprocess.run([sys.executable, "-m", "mattekit"], env=environment, check=True)
    assert file.read_text().split() == ["alpha", "cutout"]


def test_evaluate_writes_csv_and_json(folders):
    assert run(folders, "--csv", folders / "out" / "scores.csv") == 0
    rows = read_csv(folders / "out" / "scores.csv")
    assert [row["image"] for row in rows] == ["ant", "bee", "cat"]
    document = json.loads((folders / "out" / "scores.json").read_text())
    assert [image["sad"] for image in document["images"]] == [float(row["sad"]) for row in rows]
    assert run(folders, "--json", folders / "other.json") == 0
    assert json.loads((folders / "other.json").read_text()) == document


def test_evaluate_by_protocol(folders, capsys):
    assert run(folders, "--trimaps", folders / "trimap", "--protocol", "aim-500") == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines[::2]] == list(PROTOCOLS["aim-500"].regions)


def test_evaluate_names_all_problems_and_computes_nothing(folders, capsys):
    (folders / "pred" / "ant.png").unlink()
    (folders / "alpha" / "bee.png").write_text("")
    assert run(folders, "--csv", folders / "scores.csv") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "missing prediction" in err
    assert "unreadable" in err
    assert not (folders / "scores.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--protocol", "composition-1k"], "this protocol needs a trimap"),
        (["--protocol", "composition"], "protocol must be one of 'composition-1k', "),
        (["--workers", "0"], "workers must be at least 1, got 0"),
        (["--csv", "scores.json"], "--csv and the JSON must be two files, got scores.json for both"),
        (["--csv", "scores", "--json", "./x/../scores"], "--csv and the JSON must be two files, got scores for both"),
        (["--any-trimaps"], "--any-trimaps must come with --trimaps"),
    ],
)
def test_evaluate_refuses_what_makes_no_sense(folders, capsys, options, message):
    assert run(folders, *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["composition-1k", "aim-500"])
def test_evaluate_goes_on_when_an_image_fails(folders, capsys, protocol):
    """A trimap with another value is found when its image's turn comes."""
    trimap = read(folders / "trimap" / "bee.png")
    trimap[0, 0] = 102
    Image.fromarray(trimap).save(folders / "trimap" / "bee.png")
    options = ["--trimaps", folders / "trimap", "--protocol", protocol, "--csv", folders / "scores.csv"]
    assert run(folders, *options) == 1
    out, err = capsys.readouterr()
    assert out.startswith("2 images")
    assert "failed: bee: ValueError: trimap must hold only 0, 128 and 255, got 102" in err
    assert {row["image"] for row in read_csv(folders / "scores.csv")} == {"ant", "cat"}


def test_evaluate_ends_with_2_where_every_image_fails(folders, capsys):
    for name in ("ant", "bee", "cat"):
        Image.fromarray(np.full((20, 30), 102, np.uint8)).save(folders / "trimap" / f"{name}.png")
    assert run(folders, "--trimaps", folders / "trimap", "--protocol", "aim-500") == 2
    out, err = capsys.readouterr()
    assert out.startswith("0 images")
    assert err.count("failed: ") == 3


def test_evaluate_tells_where_nothing_is_unknown(folders, capsys):
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(folders / "trimap" / "cat.png")
    assert run(folders, "--trimaps", folders / "trimap") == 0
    out, err = capsys.readouterr()
    assert "nan" in out
    assert "no pixel is unknown, so that means are NaN, in cat" in err


@pytest.mark.parametrize("option", ["--csv", "--json"])
def test_evaluate_notices_first_what_it_cannot_write(folders, capsys, option):
    below_a_file = folders / "pred" / "ant.png" / "scores"
    for path, message in (below_a_file, "Not a directory"), (folders / "pred", "Is a directory"):
        assert run(folders, option, path) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err


def test_evaluate_prints_what_it_cannot_write(folders, capsys, monkeypatch):
    def fail(scores, path):
        raise OSError(f"disk full: {path}")

    monkeypatch.setattr(FolderScores, "write_csv", fail)
    assert run(folders, "--csv", folders / "scores.csv") == 1
    out, err = capsys.readouterr()
    assert out.startswith("3 images")
    assert "disk full" in err


@pytest.mark.parametrize("option", ["--csv", "--json"])
@pytest.mark.parametrize("folder", ["pred", "alpha", "trimap"])
def test_evaluate_writes_over_none_of_its_images(folders, capsys, option, folder):
    target = folders / folder / "ant.png"
    before = target.read_bytes()
    assert run(folders, "--trimaps", folders / "trimap", option, target) == 2
    assert f"{target} must not be written, for {target} is read" in capsys.readouterr().err
    assert target.read_bytes() == before


def test_help_names_the_protocols(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["evaluate", "--help"])
    words = capsys.readouterr().out.replace(",", " ").split()
    assert set(PROTOCOLS) <= set(words)


def test_help_says_what_each_setting_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["train", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "--batch-size N Samples of a batch, over all processes together (default: " in words
    assert "Share of the highest rate at which the schedule ends (default: " in words
    assert not re.search(r"(--[\w-]+|[A-Z]) \(default: ", words)  # none without a word


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"mattekit {__version__}\n"


def test_no_command_is_an_error(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
    assert "COMMAND" in capsys.readouterr().err


def test_as_a_module_with_workers(folders):
    """A process of its own, with workers that start from its main module."""
    command = [sys.executable, "-m", "mattekit", "evaluate", folders / "pred", folders / "alpha", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 images")
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    checkpoints.save(pp_matting("hrnet_w18_small_v1"), path)
    return path


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for seed, name in enumerate(("a.png", "b.jpg")):
        write_image(folder / name, np.random.default_rng(seed).integers(0, 256, (64, 96, 3), dtype=np.uint8))
    return folder


def predict(*args):
    return cli.main(["predict", *map(str, args)])


def test_predict_writes_matte_and_cutout(tmp_path, photos, weights, capsys):
    assert predict(photos, "--weights", weights, "--out", tmp_path / "out") == 0
    names = ["a_alpha.png", "a_cutout.png", "b_alpha.png", "b_cutout.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    with Image.open(tmp_path / "out" / "a_cutout.png") as image:
        cutout = np.array(image)
    matte = read_matte(tmp_path / "out" / "a_alpha.png")
    np.testing.assert_array_equal(cutout[..., 3], matte)
    # its own colours where the matte is 1, and nearly so where 8 bits round it to 1; elsewhere estimated ones
    expected = estimate_foreground(read_image(photos / "a.png"), matte)
    assert np.abs(cutout[..., :3].astype(int) - expected).mean() < 1
    out, err = capsys.readouterr()
    assert out == f"wrote 2 of 2 mattes, with their cut-outs, to {tmp_path / 'out'}\n"
    assert "2/2" in err


def test_predict_needs_neither_weights_nor_a_network(tmp_path, photos, monkeypatch):
    """What someone types first."""

    def refuse(*_):
        raise AssertionError("asked for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    assert predict(photos / "a.png", "--out", tmp_path / "out") == 0
    assert read_matte(tmp_path / "out" / "a_alpha.png").shape == (64, 96)


def test_evaluate_takes_what_predict_writes(tmp_path, photos, weights, capsys):
    """The README's two commands."""
    rng = np.random.default_rng(2)
    for name in ("a.png", "b.tif"):
        write_image(tmp_path / "truth" / name, rng.integers(0, 256, (64, 96), dtype=np.uint8))
        write_image(tmp_path / "trimaps" / name, rng.choice(np.array([0, 128, 255], np.uint8), (64, 96)))
    mattes = tmp_path / "mattes"
    assert predict(photos, "--weights", weights, "--out", mattes) == 0
    capsys.readouterr()
    command = ["evaluate", mattes, tmp_path / "truth", "--trimaps", tmp_path / "trimaps", "--workers", "1"]
    assert cli.main(list(map(str, command))) == 0
    out, err = capsys.readouterr()
    files = (mattes / "{}_alpha.png", tmp_path / "truth" / "{}", tmp_path / "trimaps" / "{}")
    scores = [
        evaluate(*(read(str(file).format(part)) for file, part in zip(files, (name[0], name, name), strict=True)))
        for name in ("a.png", "b.tif")
    ]
    assert out.splitlines()[1].split() == ["unknown", "mean", *(f"{value:.6g}" for value in np.mean(scores, axis=0))]
    assert err.count("left out") == 1
    assert f"note: left out of {mattes}: 2 cut-outs, NAME_cutout beside NAME_alpha\n" in err


def test_predict_goes_on_after_an_unreadable_photo(tmp_path, photos, weights, capsys):
    (photos / "aa.png").write_bytes(b"no image")
    assert predict(photos, tmp_path / "none.jpg", "--weights", weights, "--out", tmp_path / "out") == 1
    assert len(list((tmp_path / "out").iterdir())) == 4
    out, err = capsys.readouterr()
    assert out.startswith("wrote 2 of 4 mattes")
    assert f"failed: {photos / 'aa.png'}: cannot identify image file" in err
    assert f"failed: {tmp_path / 'none.jpg'}: No such file or directory\n" in err


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
            True,
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (cv2.error("(-4:Insufficient memory) Failed to allocate 9 bytes in function 'OutOfMemoryError'"), True),
        (RuntimeError("the model's detail map\nmust be finite"), False),
    ],
)
def test_predict_goes_on_after_a_photo_that_fails(tmp_path, photos, weights, capsys, monkeypatch, error, hint):
    real = inference.predict

    def predict_one(model, photo, **options):
        if (photo == read_image(photos / "a.png")).all():
            raise error
        return real(model, photo, **options)

    monkeypatch.setattr("mattekit.inference.predict", predict_one)
    assert predict(photos, "--weights", weights, "--out", tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b_alpha.png", "b_cutout.png"]
    out, err = capsys.readouterr()
    assert out.startswith("wrote 1 of 2 mattes")
    (line,) = [line for line in err.splitlines() if line.startswith(f"failed: {photos / 'a.png'}: ")]
    assert " ".join(str(error).split()) in line
    assert ("--max-short-side" in line) == hint


def test_predict_ends_with_2_where_nothing_was_done(tmp_path, weights, capsys):
    assert predict(tmp_path / "none.jpg", "--weights", weights, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().out.startswith("wrote 0 of 1 mattes")


def test_predict_limits_the_short_side(tmp_path, photos, weights):
    assert predict(photos / "a.png", "--weights", weights, "--out", tmp_path, "--max-short-side", 32) == 0
    assert read_matte(tmp_path / "a_alpha.png").shape == (64, 96)


def test_predict_refuses_what_cannot_be_done(tmp_path, photos, weights, capsys):
    def refused(*args):
        assert predict(*args, "--out", tmp_path / "out") == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    (tmp_path / "empty").mkdir()
    (tmp_path / "a.jpg").write_bytes((photos / "b.jpg").read_bytes())
    suffixes = ".bmp, .heic, .heif, .hif, .jpeg, .jpg, .png, .tif, .tiff, .webp"
    none = f"there is no photo in {tmp_path / 'empty'}: no file ends in {suffixes}"
    assert f"{none}; --recursive looks" in refused(tmp_path / "empty", "--weights", weights)
    assert f"{none}\n" in refused(tmp_path / "empty", "--recursive", "--weights", weights)
    clash = f"photos must have distinct names without suffix, got {photos / 'a.png'}, {tmp_path / 'a.jpg'}"
    assert clash in refused(photos, tmp_path / "a.jpg", "--weights", weights)
    assert "human-513 is neither a file nor one of " in refused(photos, "--weights", "human-513")
    assert "is no checkpoint" in refused(photos, "--weights", photos / "a.png")
    assert "--max-short-side must be at least 32, got 8" in refused(photos, "--weights", weights, "--max-short-side", 8)


def test_predict_writes_over_none_of_its_photos(tmp_path, photos, weights, capsys):
    """Nor over a photo called like another's matte, one under another path, or a background. No weights are loaded."""
    named = photos / "a_alpha.png"
    named.write_bytes((photos / "b.jpg").read_bytes())
    link = tmp_path / "link"
    link.symlink_to(photos)
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    for out in (photos, link):
        assert predict(photos / "a.png", named, "--weights", "human-513", "--out", out) == 2
        assert f"{out / 'a_alpha.png'} must not be written, for {named} is read" in capsys.readouterr().err
    background = photos / "a_cutout.png"
    background.write_bytes(before["b.jpg"])
    assert predict(photos / "a.png", "--background", background, "--overwrite", "--out", photos) == 2
    assert f"{background} must not be written, for {background} is read" in capsys.readouterr().err
    background.unlink()
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before
    assert predict(named, photos / "b.jpg", "--weights", weights, "--out", photos) == 0
    assert {path.name for path in photos.iterdir()} - set(before) == {
        "a_alpha_alpha.png",
        "a_alpha_cutout.png",
        "b_alpha.png",
        "b_cutout.png",
    }


def test_predict_does_not_write_among_a_folders_photos(tmp_path, photos, capsys):
    link = tmp_path / "link"
    link.symlink_to(photos)
    for out in (photos, link):
        assert predict(photos, "--weights", "human-513", "--out", out) == 2
        assert f"--out must be another folder than {photos}, whose images are all photos, got {out}" in (
            capsys.readouterr().err
        )
    assert sorted(path.name for path in photos.iterdir()) == ["a.png", "b.jpg"]


def test_predict_notices_first_what_it_cannot_write(tmp_path, photos, capsys):
    assert predict(photos, "--weights", "human-513", "--out", photos / "a.png" / "mattes") == 2
    assert f"Not a directory: '{photos / 'a.png'}'" in capsys.readouterr().err
    (tmp_path / "out" / "b_cutout.png").mkdir(parents=True)
    assert predict(photos, "--weights", "human-513", "--out", tmp_path / "out") == 2
    assert f"Is a directory: '{tmp_path / 'out' / 'b_cutout.png'}'" in capsys.readouterr().err


def test_predict_says_what_it_leaves_out_of_a_folder(tmp_path, photos, weights, capsys):
    assert predict(photos, "--weights", weights, "--out", photos / "mattes") == 0
    assert "left out" not in capsys.readouterr().err
    (photos / "an image too.gif").touch()
    (photos / ".hidden").touch()
    assert predict(photos, "--weights", weights, "--out", photos / "mattes", "--overwrite") == 0
    out, err = capsys.readouterr()
    assert out.startswith("wrote 2 of 2")
    suffixes = ".bmp, .heic, .heif, .hif, .jpeg, .jpg, .png, .tif, .tiff, .webp"
    assert f"left out of {photos}: 2 (sub-folders, and files that end in none of {suffixes})\n" in err
    (photos / "below").mkdir()
    (photos / "below" / "c.gif").touch()
    (photos / "link").symlink_to(tmp_path, target_is_directory=True)
    assert predict(photos, "--recursive", "--weights", weights, "--out", photos / "mattes", "--overwrite") == 0
    out, err = capsys.readouterr()
    assert out.startswith("wrote 2 of 2")
    assert f"left out of {photos}: 3 (links to folders, and files that end in none of {suffixes})\n" in err


@pytest.mark.parametrize(("options", "module"), [([], "showing"), (["--train"], "training")])
def test_demo_notices_first_what_it_cannot_write(photos, monkeypatch, capsys, options, module):
    monkeypatch.setattr(f"mattekit._demo.{module}.run", lambda folder: pytest.fail("ran"))
    assert cli.main(["demo", *options, "--out", str(photos / "a.png")]) == 2
    assert f"Not a directory: '{photos / 'a.png'}'" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "module"), [([], "showing"), (["--train"], "training")])
def test_demo_runs_the_demo(tmp_path, monkeypatch, options, module):
    folders = []
    monkeypatch.setattr(f"mattekit._demo.{module}.run", folders.append)
    assert cli.main(["demo", *options, "--out", str(tmp_path)]) == 0
    assert folders == [tmp_path]


def test_demo_says_what_it_cannot_write(tmp_path, monkeypatch, capsys):
    def fail(folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mattekit._demo.showing.run", fail)
    assert cli.main(["demo", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "mattekit demo: [Errno 28] No space left on device\n"

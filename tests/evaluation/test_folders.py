import csv
import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from mattekit.evaluation import (
    PROTOCOLS,
    BenchmarkProtocol,
    FolderError,
    FolderScores,
    compare_folders,
    evaluate_folders,
)
from mattekit.evaluation.pool import run_all
from mattekit.metrics import Scores, evaluate
from oracles import faulty_protocols

NAMES = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu"]


def save(path, pixels):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folders(tmp_path):
    """Seven images of three sizes, with trimaps; what is in them, by name."""
    rng = np.random.default_rng(0)
    arrays = {}
    for i, name in enumerate(NAMES):
        shape = (20 + i % 3, 30)
        pred, alpha = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
        trimap = rng.choice(np.array([0, 128, 255], np.uint8), shape)
        arrays[name] = pred, alpha, trimap
        for folder, pixels in zip(("pred", "alpha", "trimap"), arrays[name], strict=True):
            save(tmp_path / folder / f"{name}.png", pixels)
    return tmp_path, arrays


def run(path, *, trimaps=True, **options):
    return evaluate_folders(path / "pred", path / "alpha", path / "trimap" if trimaps else None, **options)


@pytest.mark.parametrize("workers", [1, 2])
def test_is_evaluate_on_each_image(folders, workers):
    path, arrays = folders
    scores = run(path, workers=workers)
    assert scores.images == {name: {"unknown": evaluate(*arrays[name])} for name in NAMES}
    assert list(scores.images) == NAMES
    assert scores.failures == {}
    assert run(path, trimaps=False).images["ant"] == {"whole": evaluate(*arrays["ant"][:2])}


def test_protocol(folders):
    path, arrays = folders
    scores = run(path, protocol=PROTOCOLS["aim-500"])
    assert scores.regions == ("whole", "unknown", "foreground", "background")
    assert scores.images["bee"] == PROTOCOLS["aim-500"].evaluate(*arrays["bee"])
    assert run(path, trimaps=False, protocol=PROTOCOLS["aim-500"]).regions == ("whole",)
    with pytest.raises(ValueError, match="this protocol needs a trimap"):
        run(path, trimaps=False, protocol=PROTOCOLS["composition-1k"])


def test_protocol_by_name(folders):
    path, _ = folders
    assert run(path, protocol="aim-500") == run(path, protocol=PROTOCOLS["aim-500"])
    with pytest.raises(ValueError, match=r"protocol must be one of 'composition-1k', .*, got 'aim'"):
        run(path, protocol="aim")
    with pytest.raises(TypeError, match="protocol must be a BenchmarkProtocol, a name in PROTOCOLS or None, got dict"):
        run(path, protocol={"regions": ("whole",)})


@pytest.mark.parametrize("workers", [1, 2])
def test_damaged_trimaps_fail(folders, workers):
    """As 127 is not unknown, the image would score 0."""
    path, arrays = folders
    damaged = arrays["bee"][2].copy()
    damaged[3, 4:6] = 127
    save(path / "trimap" / "bee.png", damaged)
    scores = run(path, workers=workers)
    assert set(scores.failures) == {"bee"}
    assert scores.failures["bee"].startswith(
        "ValueError: trimap must hold only 0, 128 and 255, got 127 in 2 pixels, first at (3, 4)"
    )
    assert "trimap.validate(trimap, round=True)" in scores.failures["bee"]
    assert run(path, trimaps=False).failures == {}


@pytest.mark.parametrize("protocol", [None, "aim-500"])
def test_a_set_without_an_unknown_pixel_is_refused(folders, protocol):
    """Every sum would be 0."""
    path, arrays = folders
    for name in NAMES:
        save(path / "trimap" / f"{name}.png", np.where(arrays[name][2] == 0, 0, 255).astype(np.uint8))
    with pytest.raises(ValueError, match=r"must have unknown pixels, 128, got none in all 7 of .*trimap"):
        run(path, protocol=protocol)
    assert run(path, protocol=protocol, check_trimap=False).mean("unknown").sad == 0


def test_the_references_rule_for_trimaps_on_request(folders):
    path, arrays = folders
    odd = np.where(arrays["bee"][2] == 128, 102, arrays["bee"][2]).astype(np.uint8)
    odd[0, 0] = 128
    save(path / "trimap" / "bee.png", odd)
    scores = run(path, check_trimap=False)
    assert scores.failures == {}
    assert scores.images["bee"] == {"unknown": evaluate(*arrays["bee"][:2], odd, check_trimap=False)}


def test_in_this_process_and_without_a_word_unless_asked(folders, capsys):
    path, _ = folders

    class Unpicklable(BenchmarkProtocol):
        """Known here only."""

    assert run(path, protocol=Unpicklable(regions=("unknown",))).failures == {}
    assert capsys.readouterr().err == ""
    assert len(run(path, progress=True).images) == len(NAMES)
    shown = capsys.readouterr().err
    assert "7/7" in shown
    assert "image/s" in shown


def test_suffixes_bits_and_colours_may_differ(tmp_path):
    rng = np.random.default_rng(0)
    pred, alpha = rng.integers(0, 256, (2, 9, 9), dtype=np.uint8)
    save(tmp_path / "alpha" / "a.tif", alpha)
    save(tmp_path / "pred" / "a.png", np.dstack([pred, alpha, alpha]))  # the first channel counts
    assert run(tmp_path, trimaps=False).images["a"]["whole"] == evaluate(pred, alpha)
    (tmp_path / "pred" / "a.png").unlink()
    save(tmp_path / "pred" / "a.PNG", pred.astype(np.uint16) * 257)
    assert run(tmp_path, trimaps=False).images["a"]["whole"] == evaluate(pred, alpha)


def test_a_matte_in_colour_is_named(tmp_path):
    """Photos in the place of mattes were scored by their red in silence; the noise of a grey JPEG is no colour."""
    grey = np.full((2, 9, 9, 3), 100, np.uint8)
    grey[1, 4, 4] = 100, 116, 108
    red = grey + np.uint8([100, 0, 0])
    save(tmp_path / "pred" / "a.png", red[0])
    save(tmp_path / "pred" / "b.png", grey[1])
    save(tmp_path / "alpha" / "a.tif", grey[0])
    save(tmp_path / "alpha" / "b.tif", red[1])
    said = [(tmp_path / "alpha", "b.tif"), (tmp_path / "pred", "a.png")]
    notes = tuple(f"in colour, and scored by their red channel, in {folder}: {name}" for folder, name in said)
    for workers in (1, 2):
        assert run(tmp_path, trimaps=False, workers=workers).notes == notes
    methods = {"ours": tmp_path / "pred", "truth": tmp_path / "alpha"}
    assert compare_folders(methods, tmp_path / "alpha").notes == notes


@pytest.mark.parametrize("name", ["composition-1k", "aim-500"])
def test_all_sixteen_bits_count_unless_the_protocol_rounds(tmp_path, name):
    """SAD was 0 here for aim-500, which does not round, and Conn that of a matte that reaches 1."""
    pred, alpha = np.full((2, 40, 40), 120, np.uint16)
    pred[10:30, 10:30], alpha[10:30, 10:30] = 65410, 65535
    trimap = np.full((40, 40), 128, np.uint8)
    trimap[0, 0], trimap[20, 20] = 0, 255
    for folder, pixels in ("pred", pred), ("alpha", alpha), ("trimap", trimap):
        save(tmp_path / folder / "a.png", pixels)
    expected = PROTOCOLS[name].evaluate(pred / 65535, alpha / 65535, trimap)
    assert run(tmp_path, protocol=name).images["a"] == expected
    assert (expected["unknown"].sad == 0) is (name == "composition-1k")


def test_a_cutout_is_that_images_problem(folders):
    path, arrays = folders
    pred, alpha, _ = arrays["cat"]
    save(path / "pred" / "cat.png", np.dstack([alpha, alpha, alpha, pred]))
    scores = run(path)
    assert list(scores.failures) == ["cat"]
    assert "it looks like a cut-out; give its alpha alone" in scores.failures["cat"]
    assert len(scores.images) == len(NAMES) - 1


@pytest.fixture
def predicted(folders):
    """Predictions under the names that `mattekit predict` gives, cut-outs beside them."""
    path, arrays = folders
    for name in NAMES:
        (path / "pred" / f"{name}.png").rename(path / "pred" / f"{name}_alpha.png")
        save(path / "pred" / f"{name}_cutout.png", np.zeros((5, 5, 4), np.uint8))
    return path, arrays


def test_names_as_predict_gives_them(predicted):
    path, arrays = predicted
    scores = run(path)
    assert scores.images == {name: {"unknown": evaluate(*arrays[name])} for name in NAMES}
    assert scores.notes == (f"left out of {path / 'pred'}: 7 cut-outs, NAME_cutout beside NAME_alpha",)


def test_a_ground_truth_of_just_that_name_goes_first(predicted):
    path, arrays = predicted
    for folder, pixels in zip(("pred", "alpha", "trimap"), arrays["bee"], strict=True):
        save(path / folder / "bee_cutout.png", pixels)
    for folder in ("alpha", "trimap"):
        (path / folder / "ant.png").rename(path / folder / "ant_alpha.png")
    scores = run(path)
    assert list(scores.images) == ["ant_alpha", "bee", "bee_cutout", *NAMES[2:]]
    assert scores.images["ant_alpha"] == {"unknown": evaluate(*arrays["ant"])}
    assert scores.notes == (f"left out of {path / 'pred'}: 6 cut-outs, NAME_cutout beside NAME_alpha",)


def test_two_predictions_of_one_image_are_ambiguous(predicted):
    path, arrays = predicted
    save(path / "pred" / "ant.png", arrays["ant"][0])
    with pytest.raises(FolderError) as caught:
        run(path)
    files = [path / folder / name for folder, name in (("pred", "ant.png"), ("pred", "ant_alpha.png"))]
    assert caught.value.problems == [
        f"ambiguous prediction: {files[0]} and {files[1]} are both of {path / 'alpha' / 'ant.png'}"
    ]


def test_a_cutout_without_its_matte_is_left_over(predicted):
    path, _ = predicted
    (path / "pred" / "ant_alpha.png").unlink()
    with pytest.raises(FolderError) as caught:
        run(path)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["extra prediction", "missing prediction"]


def test_what_does_not_fit_is_named_at_once(folders):
    path, _ = folders
    (path / "pred" / "ant.png").unlink()
    save(path / "pred" / "yak.png", np.zeros((4, 4), np.uint8))
    whole = (path / "alpha" / "bee.png").read_bytes()
    (path / "alpha" / "bee.png").write_bytes(whole[: len(whole) // 2])
    (path / "pred" / "cat.png").write_text("no image")
    save(path / "pred" / "dog.png", np.zeros((5, 6), np.uint8))
    save(path / "trimap" / "elk.png", np.zeros((6, 5), np.uint8))
    (path / "trimap" / "fox.png").unlink()
    save(path / "pred" / "gnu.jpg", np.zeros((20, 30), np.uint8))
    with pytest.raises(FolderError) as caught:
        run(path, protocol=faulty_protocols.like(faulty_protocols.Dying, "aim-500"))
    problems = caught.value.problems
    expected = [
        ("ambiguous prediction", "gnu.jpg", "gnu.png"),
        ("extra prediction", "yak.png"),
        ("missing prediction", "ant.png"),
        ("missing trimap", "fox.png"),
        ("unreadable", "bee.png"),
        ("unreadable", "cat.png"),
        ("wrong size: prediction", "dog.png is 6x5", "dog.png is 30x20"),
        ("wrong size: trimap", "elk.png is 5x6", "elk.png is 30x21"),
    ]
    assert len(problems) == len(expected)
    for problem, parts in zip(problems, expected, strict=True):
        assert all(part in problem for part in parts), problem
    assert str(caught.value) == "\n".join(problems)


def test_what_is_extra_is_left_out_and_noted(folders):
    """As alphamatting.com's trimaps have one without a truth. It is not even read."""
    path, arrays = folders
    (path / "trimap" / "yak.png").write_text("no image")
    for i in range(7):
        save(path / "pred" / f"zebra{i}.png", np.zeros((4, 4), np.uint8))
    scores = run(path)
    assert scores.images == {name: {"unknown": evaluate(*arrays[name])} for name in NAMES}
    assert scores.notes == (
        f"left out of {path / 'pred'}: predictions without a ground truth: zebra0.png, zebra1.png, zebra2.png, "
        "zebra3.png, zebra4.png and 2 more",
        f"left out of {path / 'trimap'}: trimaps without a ground truth: yak.png",
    )
    with pytest.raises(FolderError) as caught:
        run(path, strict=True)
    kinds = [problem.split(":")[0] for problem in caught.value.problems]
    assert kinds == ["extra prediction"] * 7 + ["extra trimap", "unreadable"]


@pytest.mark.parametrize("content", [b"\xff\xd8\xff", b"truncated"])
def test_an_unreadable_photo_of_another_format(folders, content):
    path, _ = folders
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(path / "pred" / "ant.jpg")
    (path / "pred" / "ant.png").unlink()
    broken = path / "pred" / "ant.jpg"
    broken.write_bytes(broken.read_bytes()[:-60] if content == b"truncated" else content)
    with pytest.raises(FolderError, match=r"unreadable: .*ant\.jpg"):
        run(path)


def test_folders_that_are_not_there_or_empty(tmp_path):
    (tmp_path / "pred").mkdir()
    with pytest.raises(FolderError) as caught:
        run(tmp_path)
    assert caught.value.problems == [
        f"no folder of ground truths: {tmp_path / 'alpha'}",
        f"no images in the folder of predictions: {tmp_path / 'pred'}",
        f"no folder of trimaps: {tmp_path / 'trimap'}",
    ]


def test_what_follows_from_a_missing_folder_is_not_repeated(folders):
    path, _ = folders
    (path / "pred").rename(path / "elsewhere")
    for arguments in [(path / "pred", path / "alpha"), (path / "alpha", path / "pred")]:
        with pytest.raises(FolderError, match=r"^no folder of \w+( \w+)?: .*pred$"):
            evaluate_folders(*arguments)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_image_that_fails_costs_no_other(folders, workers):
    path, arrays = folders
    mark(path, arrays, "cat")
    scores = run(path, protocol=faulty_protocols.like(faulty_protocols.Raising, "ppm-aim-195"), workers=workers)
    assert scores.failures == {"cat": "MemoryError: no room"}
    assert list(scores.images) == [name for name in NAMES if name != "cat"]


def test_a_worker_that_dies_costs_no_other(folders):
    path, arrays = folders
    mark(path, arrays, "bee", "fox")
    scores = run(path, protocol=faulty_protocols.like(faulty_protocols.Dying, "ppm-aim-195"), workers=2)
    assert scores.failures == dict.fromkeys(["bee", "fox"], "the process that evaluated it died")
    assert scores.images == {
        name: PROTOCOLS["ppm-aim-195"].evaluate(*arrays[name]) for name in NAMES if name not in ("bee", "fox")
    }


def mark(path, arrays, *names):
    for name in names:
        pred = arrays[name][0].copy()
        pred[0, 0] = faulty_protocols.MARK
        save(path / "pred" / f"{name}.png", pred)
    assert all(arrays[name][0][0, 0] != faulty_protocols.MARK for name in NAMES if name not in names)


def test_workers_open_images_as_large_as_their_parent_does(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12345)
    task = "__import__('PIL.Image').Image.MAX_IMAGE_PIXELS"
    assert list(run_all([task], eval, 2)) == [(task, 12345)]


def test_workers_must_be_some(folders):
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        run(folders[0], workers=0)


# ---- what comes out

SCORES = FolderScores(
    images={
        "a": {"unknown": Scores(1.0, 0.5, 0.25, 3.0, 0.1)},
        "b": {"unknown": Scores(0.0, math.nan, math.nan, 0.0, 0.0)},
        "c, d": {"unknown": Scores(5.0, 0.1, 0.2, 6.0, 1 / 3)},
    },
    failures={"e": "OSError: gone"},
    notes=("a.png: odd",),
)


def test_mean_and_median():
    assert SCORES.mean("unknown")[0] == 2
    assert SCORES.median("unknown")[0] == 1
    assert SCORES.mean("unknown").gradient_error == 3
    assert math.isnan(SCORES.mean("unknown").mse)
    assert math.isnan(SCORES.median("unknown").mse)


@pytest.mark.parametrize("of", [FolderScores.mean, FolderScores.median])
def test_no_mean_of_what_was_not_evaluated(of):
    with pytest.raises(ValueError, match="region must be one of 'unknown', got 'whole'"):
        of(SCORES, "whole")
    nothing = FolderScores(images={}, failures={"e": "OSError: gone", "f": "OSError: gone too"})
    with pytest.raises(ValueError, match=r"for no image was evaluated; the first failure: e: OSError: gone$"):
        of(nothing, "whole")


def test_nan_anywhere_makes_the_median_nan():
    values = [Scores(value, 0.0, 0.0, 0.0, 0.0) for value in (0.5, 0.1, math.nan)]
    scores = FolderScores(images={str(i): {"whole": value} for i, value in enumerate(values)}, failures={})
    assert math.isnan(scores.median("whole").sad)


def test_csv(tmp_path):
    SCORES.write_csv(tmp_path / "new" / "scores.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "new" / "scores.csv").read_text())))
    assert b"\r" not in (tmp_path / "new" / "scores.csv").read_bytes()
    assert [row["image"] for row in rows] == ["a", "b", "c, d"]
    assert {row["region"] for row in rows} == {"unknown"}
    for row, found in zip(rows, SCORES.images.values(), strict=True):
        values = [float(row[name]) for name in Scores._fields]
        assert values == pytest.approx(list(found["unknown"]), rel=0, abs=0, nan_ok=True)  # to the last digit


def test_json(tmp_path):
    SCORES.write_json(tmp_path / "scores.json")
    document = json.loads((tmp_path / "scores.json").read_text())
    assert document["images"][1] == {
        "image": "b",
        "region": "unknown",
        "sad": 0,
        "mse": None,
        "mad": None,
        "gradient_error": 0,
        "connectivity_error": 0,
    }
    assert document["images"][2]["connectivity_error"] == 1 / 3
    assert document["mean"]["unknown"]["sad"] == 2
    assert list(document["median"]["unknown"].values()) == [1, None, None, 3, 0.1]
    assert document["failures"] == {"e": "OSError: gone"}
    assert document["notes"] == ["a.png: odd"]
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]

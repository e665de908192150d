import csv
import io
import itertools
import math

import numpy as np
import pytest
from PIL import Image

from mattekit import cli
from mattekit.evaluation import (
    Comparison,
    FolderError,
    FolderScores,
    compare_folders,
    evaluate_folders,
    paired_bootstrap,
)
from mattekit.metrics import Scores

NAMES = ["ant", "bee", "cat"]


def save(path, pixels):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folders(tmp_path):
    """Truth, trimaps, and mattes that are a little wrong (near) and very wrong (far)."""
    rng = np.random.default_rng(0)
    for name in NAMES:
        alpha = rng.integers(0, 256, (20, 30), dtype=np.uint8)
        save(tmp_path / "truth" / f"{name}.png", alpha)
        save(tmp_path / "near" / f"{name}.png", np.clip(alpha + rng.integers(0, 9, alpha.shape), 0, 255).astype("u1"))
        save(tmp_path / "far" / f"{name}.png", rng.integers(0, 256, alpha.shape, dtype=np.uint8))
        save(tmp_path / "trimaps" / f"{name}.png", rng.choice(np.array([0, 128, 255], np.uint8), alpha.shape))
    return tmp_path


def compare(path, *methods, **options):
    return compare_folders({name: path / name for name in methods}, path / "truth", path / "trimaps", **options)


@pytest.mark.parametrize("protocol", [None, "aim-500"])
def test_each_method_is_scored_as_it_is_alone(folders, protocol):
    found = compare(folders, "far", "near", protocol=protocol)
    assert list(found.methods) == ["far", "near"]
    for name in ("far", "near"):
        alone = evaluate_folders(folders / name, folders / "truth", folders / "trimaps", protocol=protocol)
        assert found.methods[name] == alone
    assert found.best() == "near"


def test_an_image_that_fails_for_one_counts_for_none(folders):
    cutout = np.zeros((20, 30, 4), np.uint8)
    cutout[0, 0] = 255
    save(folders / "far" / "bee.png", cutout)
    found = compare(folders, "far", "near")
    assert found.images == ("ant", "cat")
    assert list(found.failures) == [("far", "bee")]
    assert list(found.methods["near"].images) == ["ant", "cat"]


def test_what_does_not_fit_in_any_folder_is_named_at_once(folders):
    (folders / "near" / "ant.png").unlink()
    (folders / "far" / "bee.png").unlink()
    with pytest.raises(FolderError) as caught:
        compare(folders, "near", "far")
    assert [problem.split(" for ")[0] for problem in caught.value.problems] == [
        f"missing prediction: none in {folders / name}" for name in ("near", "far")
    ]


def test_what_is_extra_is_left_out_and_noted_once(folders):
    save(folders / "trimaps" / "yak.png", np.zeros((4, 4), np.uint8))  # as alphamatting.com's have one
    save(folders / "near" / "zebra.png", np.zeros((4, 4), np.uint8))
    found = compare(folders, "near", "far")
    assert found.images == tuple(NAMES)
    assert found.notes == (
        f"left out of {folders / 'near'}: predictions without a ground truth: zebra.png",
        f"left out of {folders / 'trimaps'}: trimaps without a ground truth: yak.png",
    )
    with pytest.raises(FolderError) as caught:
        compare(folders, "near", "far", strict=True)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["extra prediction", "extra trimap"]


def test_images_are_passed_over_wherever_they_are(folders):
    (folders / "near" / "bee.png").rename(folders / "near" / "bee_alpha.png")
    (folders / "far" / "bee.png").unlink()
    found = compare(folders, "far", "near", but=["bee"], strict=True)
    assert found.images == ("ant", "cat")
    assert found.methods["far"].images["cat"] == compare(folders, "far", but=["bee"]).methods["far"].images["cat"]
    with pytest.raises(FolderError, match=r"no images: all of .*truth are to be left out"):
        compare(folders, "near", but=NAMES)


def test_what_is_to_be_passed_over_is_there(folders):
    save(folders / "near" / "zebra.png", np.zeros((4, 4), np.uint8))
    assert compare(folders, "near", "far", but=["zebra"], strict=True).images == tuple(NAMES)
    with pytest.raises(FolderError, match=r"^no image to leave out: aunt is in no folder$"):
        compare(folders, "near", "far", but=["aunt", "bee"])
    with pytest.raises(TypeError, match="but must be a list of names, got 'bee'"):
        compare(folders, "near", but="bee")


def test_what_is_passed_over_goes_by_the_images_name(folders):
    """A prediction's file was taken for an image: nothing was passed over, without a word."""
    for name in "near", "far":
        (folders / name / "bee.png").rename(folders / name / "bee_alpha.png")
    with pytest.raises(FolderError, match=r"^no image to leave out: bee_alpha is in no folder$"):
        compare(folders, "near", "far", but=["bee_alpha"])
    assert compare(folders, "near", "far", but=["bee"]).images == ("ant", "cat")


def test_trimaps_without_an_unknown_pixel_are_counted_once(folders):
    for name in NAMES:
        save(folders / "trimaps" / f"{name}.png", np.zeros((20, 30), np.uint8))
    with pytest.raises(ValueError, match=r"got none in all 3 of .*trimaps;"):
        compare(folders, "near", "far")


def test_no_method(folders):
    with pytest.raises(ValueError, match="pred_dirs must name at least one method, got none"):
        compare(folders)


# ---- tables


def comparison(**means):
    """A comparison of one image, of such means."""
    images = {name: FolderScores({"a": {"whole": Scores(*values)}}, {}) for name, values in means.items()}
    return Comparison(images, {})


TABLE = comparison(
    ours=(10.004, 0.0123, 0.9, 5.0, math.nan), theirs_2=(10.001, 0.004, 0.9, 5.125, 7.0), worse=(11, 0.02, 0.9, 6, 8)
)


def test_markdown():
    """What reads alike is equally bold; NaN never is; MAD is not the paper's."""
    assert TABLE.table().splitlines() == [
        "| Methods | SAD | MSE | Grad | Conn |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| ours | **10.00** | 0.01230 | **5.00** | nan |",
        r"| theirs\_2 | **10.00** | **0.00400** | 5.12 | **7.00** |",
        "| worse | 11.00 | 0.02000 | 6.00 | 8.00 |",
    ]


def test_latex():
    assert TABLE.table(form="latex").splitlines() == [
        r"\begin{tabular}{lrrrr}",
        r"\hline",
        r"Methods & SAD & MSE & Grad & Conn \\",
        r"\hline",
        r"ours & \textbf{10.00} & 0.01230 & \textbf{5.00} & nan \\",
        r"theirs\_2 & \textbf{10.00} & \textbf{0.00400} & 5.12 & \textbf{7.00} \\",
        r"worse & 11.00 & 0.02000 & 6.00 & 8.00 \\",
        r"\hline",
        r"\end{tabular}",
    ]


def test_csv_has_all_digits():
    rows = list(csv.reader(io.StringIO(TABLE.table(form="csv"))))
    assert rows[0] == ["method", "SAD", "MSE", "Grad", "Conn"]
    assert [float(cell) for cell in rows[2][1:]] == [10.001, 0.004, 5.125, 7.0]


@pytest.mark.parametrize(
    ("table", "first", "best"),
    [
        (1, "Share Matting (quoted, Table 1) | 119.56 | 0.026 | 129.61 | 114.37", ("40.69", "0.009", "41.57", "40.56")),
        (2, "Share Matting (quoted, Table 2) | 125.37 | 0.029 | 144.28 | 123.53", ("44.01", "0.005", "22.69", "42.37")),
    ],
)
def test_the_papers_rows_beside(table, first, best):
    """Never bold. The least of each column is what the paper prints in bold."""
    lines = TABLE.table(quote=table).splitlines()
    assert lines[:5] == TABLE.table().splitlines()
    assert lines[5] == f"| {first} |"
    quoted = [line.strip("| ").split(" | ")[1:] for line in lines[5:]]
    assert len(quoted) == {1: 9, 2: 13}[table]
    assert tuple(min(column, key=float) for column in zip(*quoted, strict=True)) == best


def test_tables_that_are_not_there():
    with pytest.raises(ValueError, match="form must be one of 'markdown', 'latex', 'csv', got 'html'"):
        TABLE.table(form="html")
    with pytest.raises(ValueError, match="quote must be one of 1, 2, got 3"):
        TABLE.table(quote=3)
    with pytest.raises(ValueError, match="region must be one of 'whole', got 'unknown'"):
        TABLE.table("unknown")


# ---- the bootstrap


@pytest.mark.parametrize("differences", [[0.5, -0.25, 1.0, 2.0], [-1.0, -2.0, -1.5, -0.5, 0.25]])
def test_against_every_draw_there_is(differences):
    """The exact distribution, by a loop over all n ** n draws."""
    every = [np.mean(draw) for draw in itertools.product(differences, repeat=len(differences))]
    exact = 2 * min(np.mean(np.array(every) <= 0), np.mean(np.array(every) >= 0))
    found = paired_bootstrap(differences, [0.0] * len(differences), samples=40_000)
    assert found.difference == pytest.approx(np.mean(differences), abs=1e-12)
    # five standard errors of a share of 40 000, twice as it is of two sides
    assert found.p == pytest.approx(exact, abs=2 * 5 * math.sqrt(exact / 2 / 40_000) + 2 / 40_000)
    # the interval's ends cut off what they say
    assert np.mean(np.array(every) < found.low) <= 0.03
    assert np.mean(np.array(every) > found.high) <= 0.03
    assert np.mean(np.array(every) <= found.low) >= 0.02
    assert np.mean(np.array(every) >= found.high) >= 0.02


@pytest.mark.parametrize("ours", [[11, 22, 33], [10, 18, 35], [14, 19, 33]])
@pytest.mark.parametrize("unit", [10, 100_000])
def test_draws_that_cancel_out_count_for_both_sides(ours, unit):
    """Of integers they are 0; of the same in tenths they are 1e-16 or -1e-16, and p was up to two fifths less."""
    theirs = [12, 20, 32]
    expected = paired_bootstrap(ours, theirs).p
    assert paired_bootstrap([x / unit for x in ours], [x / unit for x in theirs]).p == expected


def test_the_width_is_that_of_the_normal_law():
    """Of many images: 1.96 standard errors to each side."""
    differences = np.random.default_rng(1).normal(0.3, 2, 500)
    found = paired_bootstrap(differences.tolist(), [0.0] * 500)
    error = differences.std() / math.sqrt(500)
    # an end is known to about 2.7 / sqrt(samples) of a standard error
    assert found.low == pytest.approx(differences.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(differences.mean() + 1.96 * error, abs=0.15 * error)


def test_seeds_and_signs():
    a, b = [1.0, 2.0, 4.0], [2.0, 1.0, 9.0]
    assert paired_bootstrap(a, b, seed=1) == paired_bootstrap(a, b, seed=1)
    assert paired_bootstrap(a, b, seed=1) != paired_bootstrap(a, b, seed=2)
    there, back = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert (there.difference, there.p) == (-back.difference, back.p)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_nothing_differs_and_nothing_is_known():
    assert paired_bootstrap([1.0, 2.0], [1.0, 2.0]) == (0, 0, 0, 1)
    assert all(map(math.isnan, paired_bootstrap([1.0, math.nan], [1.0, 2.0])))
    assert paired_bootstrap([1.0, 2.0], [0.0, 0.0], samples=99).p == 0.02  # the least there is: 2 / 100


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])])
def test_images_that_are_no_pairs(a, b):
    with pytest.raises(ValueError, match=rf"one length, at least 2, got {len(a)} and {len(b)}"):
        paired_bootstrap(a, b)
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        paired_bootstrap([1.0, 2.0], [1.0, 2.0], samples=0)


def test_significance_is_the_bootstrap_of_each_metric(folders):
    found = compare(folders, "far", "near")
    tests = found.significance("near", samples=100)
    assert list(tests) == ["far"]
    columns = [[scores["unknown"].mse for scores in found.methods[name].images.values()] for name in ("far", "near")]
    assert tests["far"]["mse"] == paired_bootstrap(*columns, samples=100)
    with pytest.raises(ValueError, match="against must be one of 'far', 'near', got 'him'"):
        found.significance("him")


# ---- the command


def run(folders, *options):
    folder = [f"{name}={folders / name}" for name in ("far", "near")]
    command = ["compare", folders / "truth", "--trimaps", folders / "trimaps", *folder, "--workers", "1", *options]
    return cli.main([str(word) for word in command])


def test_the_command_prints_the_table_and_keeps_the_scores(folders, capsys):
    assert run(folders, "--csv", folders / "out.csv", "--quote", "2") == 0
    out, err = capsys.readouterr()
    found = compare(folders, "far", "near")
    assert out.rstrip("\n") == found.table(quote=2)
    assert "difference from near" in err
    assert "it does not say which pixels it counts" in err
    rows = list(csv.DictReader(io.StringIO((folders / "out.csv").read_text())))
    assert [(row["method"], row["image"]) for row in rows] == list(itertools.product(["far", "near"], NAMES))
    assert float(rows[4]["sad"]) == found.methods["near"].images["bee"]["unknown"].sad


def test_every_region_has_its_table(folders, capsys):
    assert run(folders, "--protocol", "distinctions-646", "--format", "csv") == 0
    found = compare(folders, "far", "near", protocol="distinctions-646")
    assert capsys.readouterr().out.rstrip("\n") == "\n".join(found.table(r, "csv") for r in ("unknown", "whole"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--against", "him"], "--against must be one of far, near, got 'him'"),
        (["--samples", "0"], "--samples must be at least 1, got 0"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--protocol", "aim"], "protocol must be one of"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(folders, capsys, options, message):
    assert run(folders, *options) == 2
    assert message in capsys.readouterr().err


def test_a_name_is_of_one_folder(folders, capsys):
    assert cli.main(["compare", str(folders / "truth"), "a=x", "a=y"]) == 2
    assert "each NAME must be of one folder, got a for x and y" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["compare", str(folders / "truth"), "nameless"])
    assert (
        "must be NAME=PRED_DIR or one of closed_form, knn, random_walk, learning_based, got 'nameless'"
        in capsys.readouterr().err
    )


def test_scores_that_cannot_be_written_are_printed(folders, capsys, monkeypatch):
    def full(found, path):
        raise OSError(f"no room for {path}")

    monkeypatch.setattr(Comparison, "write_csv", full)
    assert run(folders, "--csv", folders / "out.csv") == 1
    out, err = capsys.readouterr()
    assert "near" in out
    assert f"mattekit compare: no room for {folders / 'out.csv'}" in err


def test_the_command_with_strays(folders, capsys):
    save(folders / "trimaps" / "yak.png", np.zeros((4, 4), np.uint8))
    assert run(folders) == 0
    assert f"note: left out of {folders / 'trimaps'}" in capsys.readouterr().err
    assert run(folders, "--strict") == 2
    assert "extra trimap" in capsys.readouterr().err


def test_the_command_tells_what_failed(folders, capsys):
    odd = np.zeros((20, 30), np.uint8)
    odd[0, 0] = 127
    save(folders / "trimaps" / "bee.png", odd)
    assert run(folders) == 1
    assert "failed, and left out of all methods: bee: far: ValueError: trimap must hold only" in capsys.readouterr().err

"""Folders, lists and benchmarks as sources."""

import math

import numpy as np
import pytest
from PIL import Image

from mattekit.data import (
    CompositeFolders,
    DataError,
    FixedComposites,
    MergeForegrounds,
    Mix,
    Pair,
    PairFolder,
    Sample,
    SyntheticMattes,
    benchmark,
    check_folder,
    fixed,
    list_file,
    open_folder,
    write_samples,
)
from mattekit.data.benchmarks import BENCHMARKS
from mattekit.data.reading import read_alpha

RNG = np.random.default_rng(0)


def save(path, size=(6, 4), mode="RGB"):
    """A file of noise; its size is width and height, as Pillow has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng([*path.name.encode()]).integers(0, 256, (size[1], size[0], *channels), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_pairs_are_read_as_they_are(tmp_path):
    photo, alpha = save(tmp_path / "image" / "cat.png"), save(tmp_path / "alpha" / "cat.png", mode="L")
    save(tmp_path / "image" / "ant.png", (3, 2)), save(tmp_path / "alpha" / "ant.png", (3, 2), "L")
    source = PairFolder(tmp_path / "image", tmp_path / "alpha")
    assert [source(index, RNG).name for index in range(2)] == ["ant", "cat"]
    sample = source(1, RNG)
    assert np.array_equal(sample.image, photo)
    assert np.array_equal(sample.alpha, alpha / np.float32(255))
    assert sample.trimap is sample.foreground is sample.background is None
    with pytest.raises(IndexError, match="index must be from 0 to 1, got 2"):
        source(2, RNG)


def test_mattes_of_16_bits_keep_them(tmp_path):
    save(tmp_path / "image" / "cat.png")
    (tmp_path / "alpha").mkdir()
    deep = np.arange(24, dtype=np.uint16).reshape(4, 6) * 2000
    Image.fromarray(deep).save(tmp_path / "alpha" / "cat.png")
    assert np.array_equal(open_folder(tmp_path)(0, RNG).alpha, deep.astype(np.float32) / 65535)


def test_a_matte_in_colour_is_refused_and_a_grey_one_of_three_channels_is_not(tmp_path):
    save(tmp_path / "image" / "cat.png")
    path = tmp_path / "alpha" / "cat.png"
    save(path)
    with pytest.raises(OSError, match=f"^cannot read '{path}': it has colours; a matte is grey"):
        open_folder(tmp_path)(0, RNG)
    grey = np.dstack([np.arange(24, dtype=np.uint8).reshape(4, 6) * 10] * 3)
    grey[..., 1] += 3  # the noise of JPEG
    Image.fromarray(grey).save(path)
    assert np.array_equal(open_folder(tmp_path)(0, RNG).alpha, grey[..., 0] / np.float32(255))
    assert check_folder(tmp_path) == (2, [])  # the same rule


def test_everything_that_does_not_match_is_listed(tmp_path):
    for name in ("image/ant.png", "image/bee.png", "image/bee.jpg", "alpha/ant.png", "alpha/cow.png"):
        save(tmp_path / name)
    with pytest.raises(DataError) as caught:
        PairFolder(tmp_path / "image", tmp_path / "alpha", tmp_path / "trimap")
    kinds = [problem.split(":")[0] for problem in caught.value.problems]
    assert kinds == ["ambiguous", "missing alpha", "missing image", "no folder"]


def test_a_sample_of_two_sizes_is_named(tmp_path):
    save(tmp_path / "image" / "cat.png"), save(tmp_path / "alpha" / "cat.png", (6, 5), "L")
    with pytest.raises(ValueError, match=r"cat.png: .* image 4x6, alpha 5x6"):
        open_folder(tmp_path)(0, RNG)


def test_composites_are_what_their_layers_make(tmp_path):
    cutout = save(tmp_path / "fg" / "cat.png", (20, 10), "RGBA")
    for name in ("x", "y"):
        save(tmp_path / "bg" / f"{name}.png", (9, 30))
    source = CompositeFolders(tmp_path / "fg", tmp_path / "bg", backgrounds_each=5)
    assert len(source) == 5
    names = set()
    for index in range(5):
        sample = source(index, np.random.default_rng(index))
        assert sample.size == (10, 20)
        assert np.array_equal(sample.foreground, cutout[..., :3])
        assert np.array_equal(sample.alpha, cutout[..., 3] / np.float32(255))
        alpha = sample.alpha[..., None]
        assert np.abs(sample.image - (alpha * sample.foreground + (1 - alpha) * sample.background)).max() < 0.51
        number, name = sample.name.removeprefix("cat_").split(" over ")
        assert number == str(index)
        names.add(name)
    assert names == {"x", "y"}


def test_several_samples_of_a_foreground_can_be_written(tmp_path):
    """Of 20 backgrounds that are drawn from two, most are drawn twice."""
    save(tmp_path / "fg" / "cat.png", mode="RGBA"), save(tmp_path / "bg" / "x.png"), save(tmp_path / "bg" / "y.png")
    source = CompositeFolders(tmp_path / "fg", tmp_path / "bg", backgrounds_each=20)
    write_samples(source, tmp_path / "out")
    assert len(open_folder(tmp_path / "out")) == 20


def test_foregrounds_with_mattes_of_their_own(tmp_path):
    colours, alpha = save(tmp_path / "fg" / "cat.jpg"), save(tmp_path / "alpha" / "cat.png", mode="L")
    save(tmp_path / "bg" / "x.png")
    sample = open_folder(tmp_path)(0, RNG)
    assert sample.foreground.shape == colours.shape
    assert np.array_equal(sample.alpha, alpha / np.float32(255))


def test_a_placed_foreground_lies_within_the_background(tmp_path):
    (tmp_path / "fg").mkdir()
    Image.new("RGBA", (40, 20), (255, 0, 0, 255)).save(tmp_path / "fg" / "cat.png")
    background = save(tmp_path / "bg" / "x.png", (100, 80))
    source = CompositeFolders(tmp_path / "fg", tmp_path / "bg", place=(0.25, 0.5))
    for seed in range(10):
        sample = source(0, np.random.default_rng(seed))
        assert sample.size == (80, 100)
        assert np.array_equal(sample.background, background)
        rows, columns = np.flatnonzero(sample.alpha.max(1)), np.flatnonzero(sample.alpha.max(0))
        assert 25 <= len(columns) <= 50
        assert len(columns) == pytest.approx(2 * len(rows), abs=2)
        assert (sample.image[rows][:, columns] == (255, 0, 0)).all()


def test_a_photo_is_no_cutout(tmp_path):
    save(tmp_path / "fg" / "cat.png"), save(tmp_path / "bg" / "x.png")
    with pytest.raises(OSError, match="no alpha channel"):
        open_folder(tmp_path)(0, RNG)


def slow_composite(foreground, alpha, background):
    """The protocol, pixel by pixel, with Pillow alone."""
    width, height = foreground.size
    ratio = max(width / background.width, height / background.height)
    if ratio > 1:
        size = math.ceil(background.width * ratio), math.ceil(background.height * ratio)
        background = background.resize(size, Image.BICUBIC)
    image = Image.new("RGB", foreground.size)
    for x in range(width):
        for y in range(height):
            a = alpha.getpixel((x, y)) / 255
            over, under = foreground.getpixel((x, y)), background.getpixel((x, y))
            image.putpixel((x, y), tuple(int(a * f + (1 - a) * b) for f, b in zip(over, under, strict=True)))
    return image


@pytest.mark.parametrize("size", [(50, 40), (13, 7), (20, 60)])
def test_fixed_composites_follow_the_script(tmp_path, size):
    save(tmp_path / "fg.png", (31, 23)), save(tmp_path / "alpha.png", (31, 23), "L"), save(tmp_path / "bg.png", size)
    paths = [tmp_path / f"{name}.png" for name in ("fg", "alpha", "bg")]
    sample = FixedComposites([Pair("one", *paths)])(0, RNG)
    expected = slow_composite(*(Image.open(path) for path in paths))
    assert np.array_equal(sample.image, np.array(expected))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_composite_reads_its_matte_once(tmp_path, monkeypatch, kind):
    values = np.arange(np.iinfo(kind).max + 1, dtype=kind).reshape(-1, 16)
    save(tmp_path / "fg.png", values.shape[::-1]), save(tmp_path / "bg.png")
    Image.fromarray(values).save(tmp_path / "alpha.png")
    read = []
    monkeypatch.setattr(fixed, "read_alpha", lambda *options: read.append(options) or read_alpha(*options))
    sample = FixedComposites([Pair("one", *(tmp_path / f"{name}.png" for name in ("fg", "alpha", "bg")))])(0, RNG)
    assert len(read) == 1
    assert np.array_equal(sample.alpha, read_alpha(tmp_path / "alpha.png"))  # though it was read as doubles


def composition_1k(root):
    """A data set of the layout of Composition-1k, with two foregrounds to test and two to train."""
    test, train = root / "Test_set", root / "Training_set"
    for folder, name in ((test, "b.png"), (test, "a.png"), (train, "c.png")):
        save(folder / "Adobe-licensed images" / "fg" / name)
        save(folder / "Adobe-licensed images" / "alpha" / name, mode="L")
    save(train / "Other" / "fg" / "d.jpg"), save(train / "Other" / "alpha" / "d.jpg", mode="L")
    for k in range(20):
        for name in "ab":
            save(test / "Adobe-licensed images" / "trimaps" / f"{name}_{k}.png", mode="L")
    for name in range(200):
        save(root / "backgrounds" / f"{name}.jpg", (4, 4))
    (test / "test_fg_names.txt").write_bytes(b"b.png\r\na.png\r\n")
    (test / "test_bg_names.txt").write_text("\n".join(f"{k}.jpg" for k in range(40)))
    (train / "training_fg_names.txt").write_text("d.jpg\nc.png\n")
    (train / "training_bg_names.txt").write_text("\n".join(f"COCO_train2014_{k}.jpg" for k in range(200)))
    return root


def test_composition_1k_takes_its_lists(tmp_path):
    root = composition_1k(tmp_path)
    source = benchmark("composition-1k", root, "test", backgrounds=root / "backgrounds")
    assert len(source) == 40
    assert source.notes == ()
    assert [pair.name for pair in source.pairs[18:22]] == ["b_18", "b_19", "a_0", "a_1"]
    assert [pair.background.name for pair in source.pairs] == [f"{k}.jpg" for k in range(40)]
    assert set(np.unique(source(21, RNG).trimap)) <= {0, 128, 255}
    train = benchmark("composition-1k", root, "train", backgrounds=root / "backgrounds")
    assert len(train) == 200
    assert train(150, RNG).name == "c_50"
    assert train.pairs[0].foreground.parent.parent.name == "Other"


def test_distinctions_646_without_a_list_of_foregrounds_says_so(tmp_path):
    for name in ("b.png", "a.png"):
        save(tmp_path / "Test" / "FG" / name), save(tmp_path / "Test" / "GT" / name, mode="L")
    for k in range(40):
        save(tmp_path / "voc" / f"{k}.jpg")
    (tmp_path / "Test" / "bg_test.txt").write_text("\r\n".join(f"{k}.jpg" for k in range(40)))
    source = benchmark("distinctions-646", tmp_path, "test", backgrounds=tmp_path / "voc")
    assert (source.pairs[0].name, source.pairs[39].name) == ("a_0", "b_19")
    assert "order of their names" in source.notes[0]
    (tmp_path / "Test" / "bg_test.txt").write_text("0.jpg")
    with pytest.raises(ValueError, match="backgrounds must be 20 a foreground, 40, got 1"):
        benchmark("distinctions-646", tmp_path, "test", backgrounds=tmp_path / "voc")
    (tmp_path / "Test" / "bg_test.txt").unlink()
    with pytest.raises(DataError, match="no list of backgrounds"):
        benchmark("distinctions-646", tmp_path, "test", backgrounds=tmp_path / "voc")


P3M = {"original_image": "RGB", "mask": "L", "trimap": "RGB"}


@pytest.mark.parametrize(
    ("name", "split", "folders"),
    [
        ("aim-500", "test", {"original": "RGB", "mask": "L", "trimap": "L", "usr": "L"}),
        ("ppm-100", "test", {"image": "RGB", "matte": "L"}),
        ("am-2k", "train", {f"train/{f}": "RGB" for f in ("original", "fg", "bg")} | {"train/mask": "L"}),
        ("am-2k", "validation", {"validation/original": "RGB", "validation/mask": "L", "validation/trimap": "L"}),
        ("p3m-10k", "train", {f"train/{f}": "RGB" for f in ("blurred_image", "fg", "bg")} | {"train/mask": "L"}),
        ("p3m-10k", "p3m-500-np", {f"validation/P3M-500-NP/{f}": mode for f, mode in P3M.items()}),
    ],
)
def test_data_sets_of_photos(tmp_path, name, split, folders):
    for folder, mode in folders.items():
        save(tmp_path / folder / "one.png", mode=mode)
    sample = benchmark(name, tmp_path, split)(0, RNG)
    assert (sample.trimap is not None) == any("trimap" in folder for folder in folders)
    assert sample.has_layers == any("fg" in folder for folder in folders)


def test_a_benchmark_wants_backgrounds_or_none(tmp_path):
    with pytest.raises(ValueError, match="backgrounds must be given for composition-1k"):
        benchmark("composition-1k", tmp_path, "test")
    with pytest.raises(ValueError, match="backgrounds must not be given for aim-500"):
        benchmark("aim-500", tmp_path, "test", backgrounds=tmp_path)
    with pytest.raises(ValueError, match="name must be one of"):
        benchmark("coco", tmp_path, "test")
    assert set(BENCHMARKS) >= {"composition-1k", "distinctions-646", "aim-500", "ppm-100", "p3m-10k", "am-2k"}


def test_lists_of_paddleseg(tmp_path):
    for name in ("val/fg/people/cat.jpg", "bg/x.jpg", "val/fg/dog.png"):
        save(tmp_path / name)
    for name in ("val/alpha/people/cat.png", "val/alpha/dog.png", "val/trimap/cat.png"):
        save(tmp_path / name, mode="L")
    (tmp_path / "val.txt").write_text("val/fg/people/cat.jpg bg/x.jpg val/trimap/cat.png\nval/fg/dog.png\n")
    source = list_file(tmp_path, "val.txt")
    cat, dog = source(0, RNG), source(1, RNG)
    assert (cat.name, cat.has_layers, dog.name, dog.has_layers) == ("cat", True, "dog", False)
    assert cat.trimap is not None
    (tmp_path / "val.txt").write_text("val/cat.jpg\n\nval/fg/cow.png bg/x.jpg\na/fg/b c d e\n")
    with pytest.raises(DataError) as caught:
        list_file(tmp_path, "val.txt")
    assert [problem.split(":")[0].rsplit(", ")[-1] for problem in caught.value.problems] == ["line 1", "line 4"]
    (tmp_path / "val.txt").write_text("val/fg/cow.png|bg/x y.jpg")
    with pytest.raises(DataError, match=r"no file: .*x y\.jpg") as caught:
        list_file(tmp_path, "val.txt", separator="|")
    assert len(caught.value.problems) == 3
    (tmp_path / "val.txt").write_text("val/fg/cow.png||bg/x.jpg")
    with pytest.raises(DataError, match=r"val\.txt, line 1: must be FOREGROUND\|\[BACKGROUND\]\|\[TRIMAP\]"):
        list_file(tmp_path, "val.txt", separator="|")
    (tmp_path / "val.txt").write_text("\n \n")
    with pytest.raises(DataError, match=r"val\.txt: must have a line at least, got none"):
        list_file(tmp_path, "val.txt")


def test_a_foreground_of_a_list_stands_over_two_backgrounds(tmp_path):
    """The names differ, so that the samples can be written; any blanks and tabs stand between the files."""
    for name in ("fg/c.png", "fg/c_1.png", "bg/x.png", "bg/y.png"):
        save(tmp_path / name)
    for name in ("alpha/c.png", "alpha/c_1.png"):
        save(tmp_path / name, mode="L")
    (tmp_path / "list.txt").write_text("fg/c.png  bg/x.png\nfg/c.png\tbg/y.png\nfg/c_1.png bg/x.png\n")
    source = list_file(tmp_path, "list.txt")
    write_samples(source, tmp_path / "out")
    written = sorted(path.stem for path in (tmp_path / "out" / "image").iterdir())
    assert written == ["c_0", "c_1", "c_1_0"]
    assert [pair.background.name for pair in source.pairs] == ["x.png", "y.png", "x.png"]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("image",), "must hold photos and mattes"),
        ((), "got no folder"),
        (("image", "alpha", "mask"), "ambiguous: .*alpha and .*mask"),
    ],
)
def test_folders_that_are_no_data_set(tmp_path, folders, message):
    for folder in folders:
        (tmp_path / folder).mkdir()
    with pytest.raises(DataError, match=message):
        open_folder(tmp_path)


def test_a_mix_has_each_sample_once_or_draws_by_weight():
    class Named:
        def __init__(self, name, length):
            self.name, self.length = name, length

        def __len__(self):
            return self.length

        def __call__(self, index, rng):
            return Sample(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.float32), name=f"{self.name}{index}")

    parts = [Named("a", 2), Named("b", 3)]
    both = Mix(parts)
    assert [both(index, RNG).name for index in range(len(both))] == ["a0", "a1", "b0", "b1", "b2"]
    weighted = Mix(parts, weights=[3, 1], length=1000)
    names = [weighted(index, RNG).name for index in range(1000)]
    assert sum(name.startswith("a") for name in names) == 750
    assert set(names) == {"a0", "a1", "b0", "b1", "b2"}
    for bad in ({"weights": [1]}, {"weights": [1, 0]}, {"length": 3}):
        with pytest.raises(ValueError, match="weights"):
            Mix(parts, **bad)
    with pytest.raises(ValueError, match="none empty"):
        Mix([Named("a", 0)])
    with pytest.raises(ValueError, match=r"length must give each source a sample by its weight, got 40 for \[99, 1\]"):
        Mix(parts, weights=[99, 1], length=40)


def test_merged_foregrounds_are_one_over_the_other():
    source = SyntheticMattes(seed=3, size=48)
    merged = MergeForegrounds(source, probability=1)
    for index in range(8):
        rng = np.random.default_rng(index)
        first = source(index, rng)
        rng.random()
        second = source(int(rng.integers(len(source))), rng)
        both = merged(index, np.random.default_rng(index))
        assert np.allclose(both.alpha, 1 - (1 - first.alpha) * (1 - second.alpha), atol=1e-6)
        over, under = first.alpha[..., None], second.alpha[..., None]
        below = under * second.foreground + (1 - under) * first.background
        assert np.abs(both.image - (over * first.foreground + (1 - over) * below)).max() < 1.01  # two roundings
    assert MergeForegrounds(source, probability=0)(0, RNG).name == source(0, RNG).name


def test_written_samples_are_read_again(tmp_path):
    source = SyntheticMattes(seed=1, size=32, length=6)
    write_samples(source, tmp_path, layers=True)
    again = open_folder(tmp_path)
    by_name = {again(index, RNG).name: again(index, RNG) for index in range(6)}
    for index in range(6):
        sample = source(index, RNG)
        read = by_name[sample.name.replace("/", "_")]
        for field in ("image", "alpha", "foreground", "background"):
            assert np.array_equal(getattr(read, field), getattr(sample, field))


class Named:
    """Samples of these names."""

    def __init__(self, *names):
        self.names = names

    def __len__(self):
        return len(self.names)

    def __call__(self, index, rng):
        return Sample(np.zeros((2, 3, 3), np.uint8), np.ones((2, 3), np.float32), name=self.names[index])


def test_no_written_sample_is_hidden_or_lost(tmp_path):
    names = ".cat", "..", "a/b", "a.b", "nul\0"
    write_samples(Named(*names), tmp_path)
    source = open_folder(tmp_path)
    assert [source.name_of(index) for index in range(len(source))] == ["_.", "_cat", "a.b", "a_b", "nul_"]


@pytest.mark.parametrize(
    ("names", "message"),
    [(("x", "a/b", "a_b"), r"got 'a[/_]b' for samples [12] and [12]$"), (("x", ""), "got '' for sample 1$")],
)
def test_samples_to_write_need_names_of_their_own(tmp_path, names, message):
    with pytest.raises(ValueError, match=f"names must be distinct and not empty, {message}"):
        write_samples(Named(*names), tmp_path)


def test_fine_mattes_are_written_in_16_bits(tmp_path):
    class Fine:
        def __len__(self):
            return 1

        def __call__(self, index, rng):
            alpha = np.linspace(0, 1, 1000, dtype=np.float32)[None]
            return Sample(np.zeros((1, 1000, 3), np.uint8), alpha, name="fine")

    write_samples(Fine(), tmp_path)
    assert np.abs(open_folder(tmp_path)(0, RNG).alpha - Fine()(0, RNG).alpha).max() < 0.51 / 65535


def test_a_full_disk_leaves_whole_samples(small_disk):
    """Of three files each, a page a file: 64 kB are no multiple of three pages."""

    class Noise:
        def __len__(self):
            return 20

        def __call__(self, index, rng):
            image = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            trimap = np.full((24, 24), 128, np.uint8)
            return Sample(image, image[..., 0] / np.float32(255), trimap=trimap, name=str(index))

    with pytest.raises(OSError, match="No space left"):
        write_samples(Noise(), small_disk)
    found = [{path.stem for path in (small_disk / field).iterdir()} for field in ("image", "alpha", "trimap")]
    assert len(found[0]) > 2
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("values", "becoming"),
    [
        ([0, 102, 255], [0, 128, 255]),
        ([0, 1, 2, 126, 128, 251, 255], [0, 0, 0, 128, 128, 255, 255]),
        ([0, 1, 255], None),
        ([0, 1, 2], None),
    ],
)
def test_a_trimap_of_other_numbers_is_repaired_or_refused(tmp_path, values, becoming):
    """Where 1 or 2 are the unknown, the nearest of the three would be background throughout."""
    save(tmp_path / "image" / "cat.png", (len(values), 1)), save(tmp_path / "alpha" / "cat.png", (len(values), 1), "L")
    (tmp_path / "trimap").mkdir()
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "trimap" / "cat.png")
    source = open_folder(tmp_path)
    if becoming is None:
        with pytest.raises(OSError, match=f"it holds {', '.join(map(str, values))}, and must hold 0, 128 and 255"):
            source(0, RNG)
    else:
        assert source(0, RNG).trimap.tolist() == [becoming]

"""What a stranger meets who has a part of the small weights' data alone: `recipes/small`."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from mattekit.metrics import Scores

RECIPE = Path(__file__).parent.parent / "recipes/small"
PAGES = RECIPE / "README.md", RECIPE.parent.parent / "docs/small-weights.md"
LICENCES = {  # one licence each, or GFDL beside others
    "CC BY": ("CC BY 2.0", "CC BY 2.5", "CC BY 3.0", "CC BY 4.0"),
    "CC BY-SA": ("CC BY-SA", "CC BY-SA 2.0", "CC BY-SA 2.0 de", "CC BY-SA 2.5", "CC BY-SA 3.0", "CC BY-SA 4.0"),
    "GFDL": ("GFDL", "GFDL 1.2"),
    "GPL": ("GPL", "GPL-2 (package)", "GPL-2+", "LGPL-3"),
    "several": ("GFDL and CC BY-SA", "GFDL or CC BY-SA 2.5", "GFDL, CC BY-SA and GPL"),
    "public domain": (
        "CC0", "No known copyright restrictions (Flickr Commons)", "Public domain",
        "Unsplash (public domain, says the readme)",
    ),
    "not found": ("not found",),
    "of no stamp": ("Apache-2.0", "MIT", "not shown"),
}  # fmt: skip


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(RECIPE)


@pytest.fixture
def data(tmp_path):
    """One file of a kind, and no animals: the folder of data and that of mattes."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 4), np.uint8)
    for name in ("cutouts/tux/a.png", "cutouts/flora/a.png"):
        write(tmp_path / "data" / name, pixels)
    entries = []
    for name in ("photos/clothing/a.png", "photos/coco/a.png", "people/image/a.png"):
        write(tmp_path / "data" / name, pixels[..., :3])
        write(tmp_path / "mattes" / name, pixels[..., 3])
        entries.append({"photo": name, "matte": name, "exactness": 0.5, "is_truth": True})
    write(tmp_path / "data/backgrounds/a.png", pixels[..., :3])
    (tmp_path / "mattes/manifest.json").write_text(json.dumps(entries))
    (tmp_path / "mattes/backgrounds.json").write_text(json.dumps(["backgrounds/a.png"]))
    return tmp_path / "data", tmp_path / "mattes"


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def test_a_source_without_samples_is_left_out(recipe, data):
    mixture = import_module("mix").Mixture(*data, 32)
    assert mixture.empty == ["animals"]
    rng = np.random.default_rng(0)
    for _ in range(40):
        assert mixture(rng).image.shape == (32, 32, 3)


def test_nothing_is_composed_without_a_background(recipe, data):
    """Not in training, where labelled photos give every other background, nor in evaluation, where they give none."""
    folder, mattes = data
    (mattes / "backgrounds.json").write_text("[]")
    mixture = import_module("mix").Mixture(folder, mattes, 32)
    assert mixture.empty == ["animals", "tux", "flora", "pasted subjects", "pasted people", "drawings"]
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    evaluate = import_module("evaluate")
    name = next(name for name in map(str, range(99)) if import_module("sources").held_out(Path(f"{name}.png")))
    (folder / "cutouts/tux/a.png").rename(folder / f"cutouts/tux/{name}.png")
    assert not list(evaluate.composed(folder, mattes, "tux"))


def test_folders_that_are_missing_are_left_out(recipe, data, tmp_path, monkeypatch):
    """Whoever leaves out the people, whose photographers' grant is not shown, has no folder of them."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    folder, mattes = data
    for name in ("people", "cutouts/flora", "backgrounds"):
        shutil.rmtree(folder / name)
    sure = np.zeros((40, 50), np.uint8)
    sure[10:30, 10:30] = 255
    write(tmp_path / "labels/u2netp/photos/coco/a.png", sure)
    curate(monkeypatch, {"photos/coco/a.png": "u2netp"}, folder, tmp_path / "labels", mattes)
    assert [entry["photo"] for entry in json.loads((mattes / "manifest.json").read_text())] == ["photos/coco/a.png"]
    assert json.loads((mattes / "backgrounds.json").read_text()) == []
    assert import_module("mix").Mixture(folder, mattes, 32)(np.random.default_rng(0)).image.shape == (32, 32, 3)
    assert not list(import_module("evaluate").composed(folder, mattes, "flora"))


def curate(monkeypatch, verdicts, *paths):
    monkeypatch.setattr(import_module("curate"), "read_verdicts", lambda: verdicts)
    monkeypatch.setattr("sys.argv", ["curate.py", *map(str, paths)])
    import_module("curate").main()


def test_curate_says_why_a_photo_is_left_out(recipe, data, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    folder, mattes = data
    verdicts = {
        "a": "u2netp",
        "b": "isnet",
        "c": "isnet",
        "d": "neither",
        "f": "u2netp",
        "Santa": "u2netp",
        "gone": "isnet",
    }
    labels = {"u2netp": ("a", "b", "c", "d", "e", "Santa"), "isnet": ("c",)}
    for name in "abcdef":
        write(folder / f"photos/coco/{name}.png", np.zeros((40, 50, 3), np.uint8))
    write(folder / "photos/coco/Santa.png", np.zeros((40, 50, 3), np.uint8))
    for teacher, names in labels.items():
        for name in names:
            write(tmp_path / f"labels/{teacher}/photos/coco/{name}.png", np.zeros((40, 50), np.uint8))
    for name in ("people", "backgrounds"):
        shutil.rmtree(folder / name)
    verdicts = {f"photos/coco/{name}.png": verdict for name, verdict in verdicts.items()}
    curate(monkeypatch, verdicts, folder, tmp_path / "labels", mattes)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("photos/coco", "verdicts"))]
    assert told == [
        "photos/coco a drawing 1",
        "photos/coco a label is missing 2",
        "photos/coco kept 2",
        "photos/coco neither label is right 1",
        "photos/coco nobody looked at it 1",
        "verdicts without a photo 1",
    ]
    entries = json.loads((mattes / "manifest.json").read_text())
    assert [(entry["photo"], entry["is_truth"]) for entry in entries] == [
        ("photos/coco/a.png", False), ("photos/coco/c.png", True),
    ]  # fmt: skip
    for entry in entries:
        assert (mattes / entry["matte"]).exists()
        assert (mattes / entry["trusted"]).exists()


def test_a_label_is_sharpened_by_the_photo_but_not_what_is_held_out(recipe):
    """A mask whose edge is blurred over seven pixels comes back to a third of its error."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    curate = import_module("curate")
    alpha = np.zeros((160, 160), np.uint8)
    cv2.circle(alpha, (80, 80), 40, 255, -1)
    image = np.where(alpha[..., None] > 0, np.uint8([200, 60, 40]), np.uint8([20, 120, 90]))
    mask = cv2.GaussianBlur(alpha, (0, 0), 1.5)
    matte, trusted, _ = curate.judge(image, mask, mask, False)
    assert cv2.absdiff(matte, alpha).mean() < 0.3 * cv2.absdiff(mask, alpha).mean()
    assert (trusted == 255).all()
    assert_equal = np.testing.assert_array_equal
    assert_equal(curate.judge(image, mask, mask, True)[0], curate.solid(mask))
    assert_equal(curate.judge(image, mask, None, True)[0], mask)


def test_a_mask_drawn_by_hand_follows_the_photo(recipe):
    """A mask that is too large by two pixels all round comes back to a third of its error, but held out stays."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    curate = import_module("curate")
    alpha, mask = np.zeros((240, 240), np.uint8), np.zeros((240, 240), np.uint8)
    cv2.circle(alpha, (120, 120), 60, 255, -1)
    cv2.circle(mask, (120, 120), 62, 7, -1)  # of a class, as the masks of clothes are
    image = np.where(alpha[..., None] > 0, np.uint8([200, 60, 40]), np.uint8([20, 120, 90]))
    blurred = curate.drawn_by_hand(image, mask, True)
    assert blurred.max() == 255
    assert ((blurred > 127) == (mask > 0)).all()
    error = cv2.absdiff(blurred, alpha).mean()
    assert cv2.absdiff(curate.drawn_by_hand(image, mask, False), alpha).mean() < error / 3


def test_a_label_of_another_size_is_named(recipe, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    write(tmp_path / "a.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match=r"a\.png must have the size of its photo, \(8, 10\), got \(4, 5\)"):
        import_module("curate").read_label(tmp_path / "a.png", np.zeros((8, 10, 3), np.uint8))


def test_a_label_that_is_not_used_is_not_made(recipe):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    is_used = import_module("label").is_used
    verdicts = ("isnet", "u2netp", "neither", None)
    assert [verdict for verdict in verdicts if is_used("u2netp", "photos/a/b.jpg", verdict)] == ["isnet", "u2netp"]
    assert [verdict for verdict in verdicts if is_used("isnet", "photos/a/b.jpg", verdict)] == ["isnet"]
    assert is_used("u2netp", "backgrounds/grocery/b.jpg", None)
    assert not is_used("isnet", "backgrounds/grocery/b.jpg", None)


def test_a_file_that_cannot_be_read_is_named(recipe, tmp_path):
    sources = import_module("sources")
    for read in (sources.read_rgb, sources.read_grey, sources.read_cutout):
        with pytest.raises(OSError, match=r"cannot read .*none\.png as a picture"):
            read(tmp_path / "none.png")


def test_a_set_without_photos_is_written(recipe, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    import_module("evaluate").write_set(tmp_path / "animals", iter(()))
    assert [path.name for path in sorted((tmp_path / "animals").iterdir())] == ["photo", "truth"]


def test_what_draws_sees_a_window_as_it_sees_it_within_the_whole(recipe, monkeypatch):
    """Where the batch norms keep their statistics, a window's losses are those of the whole image's maps there."""
    train, network = import_module("train"), import_module("network").small_network()
    network.preprocessing = replace(network.preprocessing, context_short_side=64)
    step = train.DetailStep(network, 64).train(False)
    pixels = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    alpha = (pixels[:, :1] > 0.5).float()
    batch = train.TrustedBatch(
        image=pixels, alpha=alpha, trimap=(alpha * 127 + 128).byte(), foreground=pixels, background=pixels,
        has_layers=torch.zeros(2, dtype=torch.bool), names=("a", "b"), weight=torch.ones_like(alpha),
        exactness=torch.ones(2, 1, 1, 1),
    )  # fmt: skip
    monkeypatch.setattr(torch, "rand", lambda *_: torch.tensor(0.9))
    window = train.Window(20, 30, 64, 64)
    monkeypatch.setattr(train, "busiest", lambda *_: window)
    whole = network(pixels)
    part = {name: getattr(batch, name)[train.inside(window)] for name in ("alpha", "trimap", "weight")}
    expected = train.drawing_losses(type(whole)(*(x[train.inside(window)] for x in whole)), replace(batch, **part))
    found = step.losses(batch)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=0)  # float32, computed in other pieces
    found["fusion"].backward()
    learning = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert learning == {"detail", "encoder"}
    monkeypatch.setattr(torch, "rand", lambda *_: torch.tensor(0.1))
    small = train.shrunk(batch, 64)
    assert step.losses(batch) == train.drawing_losses(network(small.image), small)


@torch.no_grad()
def test_sharpening_multiplies_the_semantic_logits_and_nothing_else(recipe):
    network = import_module("network")
    model, pixels = network.small_network().eval(), torch.rand(1, 3, 64, 96)
    before = model(pixels)
    network.sharpen(model, 3)
    after = model(pixels)
    torch.testing.assert_close(after.semantic_logits, 3 * before.semantic_logits)
    torch.testing.assert_close(after.detail, before.detail, rtol=0, atol=0)


def test_the_busiest_window_has_the_most_of_the_transition(recipe):
    train = import_module("train")
    trimap = torch.zeros(1, 1, 36, 36, dtype=torch.uint8)
    trimap[..., 4:, 4:] = 128
    batch = SimpleNamespace(image=trimap, trimap=trimap)
    torch.manual_seed(0)
    assert train.busiest(batch, 32, tries=400) == (4, 4, 32, 32)


def test_shrunk_squares_keep_their_mean(recipe):
    train = import_module("train")
    trimap = torch.tensor([[0, 255], [128, 0]], dtype=torch.uint8).kron(torch.ones(32, 32, dtype=torch.uint8))
    batch = train.TrustedBatch(
        image=torch.rand(1, 3, 64, 64), alpha=torch.rand(1, 1, 64, 64), weight=torch.rand(1, 1, 64, 64),
        trimap=trimap[None, None], exactness=torch.ones(1, 1, 1, 1), names=("a",), foreground=torch.zeros(1),
        background=torch.zeros(1), has_layers=torch.zeros(1, dtype=torch.bool),
    )  # fmt: skip
    small = train.shrunk(batch, 32)
    for name in ("image", "alpha", "weight"):
        torch.testing.assert_close(getattr(small, name).mean(), getattr(batch, name).mean())
    assert small.trimap[0, 0, ::16, ::16].tolist() == [[0, 255], [128, 0]]
    assert train.shrunk(batch, 19).trimap.unique().tolist() == [0, 128, 255]


def test_scores_are_means_of_a_folder_of_photos(recipe):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    evaluate = import_module("evaluate")
    scores = {"small": [Scores(float(value), 0, 0, 0, 0) for value in (1, 2, 6, 9)]}
    names = ["photos_aves_a.png", "photos_coco_b.png", "photos_aves_c_d.png", "people_image_e.png"]
    figures = evaluate.by_folder(scores, names)
    assert {folder: (entry["photos"], entry["small"]["sad"]) for folder, entry in figures.items()} == {
        "aves": (2, 3.5),
        "coco": (1, 2.0),
    }


def test_weights_are_scored_by_name(recipe, data, tmp_path, monkeypatch, capsys):
    """So that whoever has the published ones can set them beside `small`."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    evaluate = import_module("evaluate")
    monkeypatch.setattr(evaluate, "session_of", lambda *_: None)
    threads = str(torch.get_num_threads())
    paths = [*map(str, data), str(tmp_path / "cache")]
    monkeypatch.setattr("sys.argv", ["evaluate.py", "small", *paths, "--u2netp", "none", "--threads", threads])
    evaluate.main()
    assert "people     0  no held-out photo" in capsys.readouterr().out


def test_a_window_is_refused_where_it_would_be_ignored(recipe, monkeypatch, capsys):
    train = import_module("train")
    monkeypatch.setattr("sys.argv", ["train.py", "whole", "data", "mattes", "run", "--window", "320"])
    with pytest.raises(SystemExit, match="2"):
        train.main()
    assert "--window is of the detail phase, got it for the whole one" in capsys.readouterr().err


def credited():
    """The table of single files' licences: folder, file, licence, by, from."""
    header, *lines = (RECIPE / "credits.tsv").read_text(encoding="utf-8").splitlines()
    assert header == (RECIPE / "photos.tsv").read_text(encoding="utf-8").partition("\n")[0]
    return [line.split("\t") for line in lines]


def test_the_credits_have_every_file_once(recipe):
    """Trained on and held out, by the counts of the card and by the photos that were looked at."""
    sources, rows = import_module("sources"), credited()
    assert all(len(row) == 5 and all(cell and cell == cell.strip() for cell in row) for row in rows)
    names = [(folder, file) for folder, file, *_ in rows]
    assert names == sorted(set(names))
    assert not any(word in file for _, file in names for word in sources.DRAWINGS)
    assert {row[2] for row in rows} == {licence for family in LICENCES.values() for licence in family}
    table = json.loads((RECIPE / "sources.json").read_text(encoding="utf-8"))
    trained = Counter(folder for folder, file in names if not sources.held_out(Path(file)))
    by_name = ("cutouts/tux", "cutouts/flora", "backgrounds/wallpapers", "photos/portraits")
    assert {name: trained.pop(name) for name in by_name} == {name: table[name]["files"] for name in by_name}
    assert trained.pop("people/image") == trained.pop("people/mask") == table["people"]["files"]
    assert trained.pop("backgrounds/grocery") > table["backgrounds/grocery"]["files"]  # some show a subject
    photos = ("photos/gcompris", "photos/coco", "photos/clothing", "photos/openimages", "photos/portraits")
    assert set(trained) == set(photos[:-1])
    looked_at = {line.split("\t")[0] for line in (RECIPE / "verdicts.tsv").read_text(encoding="utf-8").splitlines()}
    assert {"/".join(name) for name in names if name[0] in photos} == {
        name for name in looked_at if name.rpartition("/")[0] in photos
    }


def test_the_pages_count_the_stamps_as_the_credits_do(recipe):
    sources, rows = import_module("sources"), credited()
    stamps = Counter(row[2] for row in rows if row[0] == "cutouts/tux" and not sources.held_out(Path(row[1])))
    family = {name: sum(stamps[licence] for licence in licences) for name, licences in LICENCES.items()}
    assert stamps.total() == sum(family.values())
    assert stamps["Public domain"] == family["public domain"]
    sentence = (
        f"Of the {stamps.total()} stamps of `cutouts/tux` that were trained on, {family['GPL']} are under the GPL, "
        f"{stamps['GPL-2 (package)']} of them by their package alone, {family['GFDL']} under the GFDL, "
        f"{family['CC BY-SA']} under CC BY-SA, {family['several']} under two or three of these, "
        f"{family['CC BY']} under CC BY and {family['public domain']} in the public domain; "
        f"of {family['not found']} the credits name a source, such as NASA, and no licence."
    )
    for page in PAGES:
        text = " ".join(page.read_text(encoding="utf-8").split())
        assert sentence in text
        assert f"{len(rows):,} files" in text


@pytest.fixture
def copies(tmp_path):
    """Where copies of repositories lie: a photo of 800 by 600 pixels, taken with the camera held upright."""
    turned = Image.Exif()
    turned[0x0112] = 6
    path = tmp_path / "copies/owner/name/0a1b/some folder/a #1.jpg"
    path.parent.mkdir(parents=True)
    left_is_dark = np.repeat(np.uint8([0, 255]), 400) * np.ones((600, 1), np.uint8)
    Image.fromarray(left_is_dark).save(path, exif=turned)
    return (tmp_path / "copies").as_uri()


def test_a_photo_is_fetched_upright_and_small(recipe, copies, tmp_path):
    fetch = import_module("fetch")
    photo = fetch.Listed("photos/some/b.jpg", 512, "owner/name", "0a1b", "some folder/a #1.jpg")

    assert fetch.fetch(photo, tmp_path / "data", copies) is None

    pixels = cv2.imread(str(tmp_path / "data/photos/some/b.jpg"), cv2.IMREAD_UNCHANGED)
    assert pixels.shape == (683, 512, 3)
    assert pixels[:330].max() < 5  # what was left is above, but for JPEG's ringing
    assert pixels[353:].min() > 250


def test_what_cannot_be_fetched_is_named_and_the_rest_is_there(recipe, copies, tmp_path, monkeypatch, capsys):
    fetch = import_module("fetch")
    there = fetch.Listed("photos/some/b.jpg", 512, "owner/name", "0a1b", "some folder/a #1.jpg")
    gone = fetch.Listed("photos/some/c.jpg", 512, "owner/name", "0a1b", "c.jpg")
    monkeypatch.setattr(fetch, "listed_files", lambda: [gone, there])
    monkeypatch.setattr("sys.argv", ["fetch.py", str(tmp_path / "data"), "--root", copies])

    for _ in range(2):
        with pytest.raises(SystemExit) as end:
            fetch.main()
        out, err = capsys.readouterr()
        assert end.value.code == 1
        assert f"({copies}/owner/name/0a1b/c.jpg)" in err
        assert "photos/some/c.jpg: " in err
        assert "No such file" in err
        assert "photos/some/b.jpg" not in err
        assert out == f"1 of 2 files are in {tmp_path / 'data'}\n"
    assert [path.name for path in (tmp_path / "data/photos/some").iterdir()] == ["b.jpg"]


def test_a_photo_that_is_small_or_there_already_is_left_as_it_is(recipe, copies, tmp_path):
    fetch = import_module("fetch")
    photo = fetch.Listed("photos/some/b.jpg", 512, "owner/name", "0a1b", "small.png")
    write(tmp_path / "copies/owner/name/0a1b/small.png", np.zeros((20, 30, 3), np.uint8))
    assert fetch.fetch(photo, tmp_path / "data", copies) is None
    target = tmp_path / "data/photos/some/b.jpg"
    assert cv2.imread(str(target)).shape == (20, 30, 3)
    target.write_bytes(b"mine")
    assert fetch.fetch(photo, tmp_path / "data", copies) is None
    assert target.read_bytes() == b"mine"


def test_what_is_no_picture_or_too_large_stops_no_other(recipe, copies, tmp_path, monkeypatch):
    fetch = import_module("fetch")
    write(tmp_path / "copies/owner/name/0a1b/a.png", np.zeros((20, 30, 3), np.uint8))
    for name in ("b.png", "c.mat"):
        (tmp_path / "copies/owner/name/0a1b" / name).write_text("a pointer to a large file")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    faults = [
        fetch.fetch(fetch.Listed("photos/a.jpg", 512, "owner/name", "0a1b", path), tmp_path, copies)
        for path in ("a.png", "b.png", "c.mat")
    ]
    assert "exceeds limit" in faults[0]
    assert faults[1:] == ["it is no picture", "it is no picture"]
    monkeypatch.setattr(fetch, "urlopen", raise_timeout)
    assert fetch.fetch(fetch.Listed("photos/a.jpg", 512, "owner/name", "0a1b", "a.png"), tmp_path) == "TimeoutError"


def raise_timeout(*arguments, **others):
    raise TimeoutError


def test_what_is_listed_can_be_fetched(recipe):
    listed = list(import_module("fetch").listed_files())
    photos = [file for file in listed if file.short_side == 512]

    assert len({file.name for file in listed}) == len(listed) == 8_145
    assert len(photos) == 5_037
    assert "each of 8,145 files" in " ".join((RECIPE / "README.md").read_text().split())
    assert all(file.name.startswith("photos/") and file.name.endswith(".jpg") for file in photos)
    others = Counter(file.name.rpartition("/")[0] for file in listed if file.short_side == 384)
    assert others == {
        "people/image": 1004, "people/mask": 1004, "backgrounds/grocery": 300, "photos/clothing": 287,
        "cutouts/tux": 204, "photos/portraits": 203, "photos/openimages": 73, "photos/coco": 33,
    }  # fmt: skip


def test_cut_outs_and_masks_are_fetched_as_they_are_used(recipe, copies, tmp_path):
    """A cut-out without the transparent rim; a mask of all classes of clothes, at the share of each pixel."""
    fetch = import_module("fetch")
    folder = tmp_path / "copies/owner/name/0a1b"
    pixels = np.zeros((10, 12, 4), np.uint8)
    pixels[2:6, 3:9] = (10, 20, 30, 255)
    write(folder / "a.png", pixels)
    classes = np.zeros((8, 6), np.uint8)
    classes[:4, :3] = [[7, 1, 39]]
    savemat(folder / "0001.mat", {"groundtruth": classes})
    for name, path in (("cutouts/tux/a.png", "a.png"), ("people/mask/0001.png", "0001.mat")):
        assert fetch.fetch(fetch.Listed(name, 3, "owner/name", "0a1b", path), tmp_path / "data", copies) is None
    cutout = cv2.imread(str(tmp_path / "data/cutouts/tux/a.png"), cv2.IMREAD_UNCHANGED)
    assert cutout.shape == (3, 4, 4)
    assert (cutout == (10, 20, 30, 255)).all()
    mask = cv2.imread(str(tmp_path / "data/people/mask/0001.png"), cv2.IMREAD_UNCHANGED)
    assert mask.tolist() == [[255, 128, 0], [255, 128, 0], [0, 0, 0], [0, 0, 0]]

"""What a stranger meets who has a part of the small weights' data alone: `recipes/small`."""

import json
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest

RECIPE = Path(__file__).parent.parent / "recipes/small"


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


def test_a_file_that_cannot_be_read_is_named(recipe, tmp_path):
    sources = import_module("sources")
    for read in (sources.read_rgb, sources.read_grey, sources.read_cutout):
        with pytest.raises(OSError, match=r"cannot read .*none\.png as a picture"):
            read(tmp_path / "none.png")


def test_a_set_without_photos_is_written(recipe, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    import_module("evaluate").write_set(tmp_path / "animals", iter(()))
    assert [path.name for path in sorted((tmp_path / "animals").iterdir())] == ["photo", "truth"]

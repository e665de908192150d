"""The weights that come with the package."""

import json
from importlib import import_module
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from mattekit._demo.examples import lemur
from mattekit.inference import predict
from mattekit.models import pp_matting

FILE = files("mattekit") / "weights" / "small.safetensors"


@pytest.fixture(scope="module")
def small():
    return pp_matting(weights="small")


def test_the_file_is_small():
    with as_file(FILE) as path:
        assert path.stat().st_size <= 12_000_000


def test_the_file_tells_its_licence_and_its_data():
    """As the card's table does."""
    sources = Path(__file__).parent.parent.parent / "recipes/small/sources.json"
    with as_file(FILE) as path, safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["licence"] == "Apache-2.0"
    assert json.loads(metadata["training_data"]) == json.loads(sources.read_text(encoding="utf-8"))
    assert {"recipe", "date", "limits"} <= metadata.keys()


def test_the_file_tells_its_figures(monkeypatch):
    """Those that were measured, which a test of the pages holds to be of these weights."""
    root = Path(__file__).parent.parent.parent
    monkeypatch.syspath_prepend(root / "recipes/small")
    record = json.loads((root / "docs/figures/small_weights.json").read_text())
    with as_file(FILE) as path, safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["figures"])
    assert told == import_module("card").figures_of(record)
    people = record["sources"]["people"]
    assert told["people"]["MAD"] == people["small"]["mad"]
    assert told["people"]["Grad of U²-Net-P"] == people["u2netp"]["gradient_error"]


def test_it_loads_as_float32_with_the_size_it_knows(small):
    assert not small.training
    assert {p.dtype for p in small.parameters()} == {torch.float32}
    assert small.max_short_side is not None


def test_it_tells_a_photos_subject_from_what_is_behind(small):
    """Weights that are trained anew must still do so: 0.1 is between U²-Net-P's error on photos and a blind matte's."""
    photo, truth = lemur()
    alpha = predict(small, photo)
    assert np.abs(alpha - truth / 255).mean() < 0.1
    assert alpha[truth == 255].mean() > 0.8
    assert alpha[truth == 0].mean() < 0.1

import dataclasses
import re

import numpy as np
import pytest
import torch

from mattekit import trimap as tm
from mattekit.evaluation import PROTOCOLS, BenchmarkProtocol
from mattekit.metrics import evaluate
from oracles import golden

NAMES = ["aim-500", "am-2k", "composition-1k", "distinctions-646", "p3m-500", "ppm-aim-195"]


def photo():
    return golden.load("lemur_crop0_noise12")


def test_names():
    assert sorted(PROTOCOLS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_says_where_it_comes_from_and_what_is_left_open(name):
    protocol = PROTOCOLS[name]
    assert all(getattr(protocol, field) for field in ("trimaps", "resizing", "source", "left_open"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        protocol.regions = ()


@pytest.mark.parametrize("name", NAMES)
def test_evaluates_each_region(name):
    protocol = PROTOCOLS[name]
    pred, alpha, trimap = photo()
    scores = protocol.evaluate(pred, alpha, trimap)
    assert tuple(scores) == protocol.regions
    for region, found in scores.items():
        options = {"region": region, "apply_trimap": protocol.apply_trimap, "empty": protocol.empty}
        assert found == evaluate(pred, alpha, trimap, **options)


def test_composition_1k_counts_the_unknown_region_of_an_overwritten_prediction():
    pred, alpha, trimap = photo()
    scores = PROTOCOLS["composition-1k"].evaluate(pred, alpha, trimap)
    assert scores == {"unknown": evaluate(tm.apply(pred, trimap), alpha, trimap)}
    assert scores["unknown"] != evaluate(pred, alpha, trimap)


def test_aim_skips_empty_levels():
    pred, alpha, _ = golden.load("pred_max_200")
    scores = PROTOCOLS["aim-500"].evaluate(pred, alpha)
    assert 1000 * scores["whole"].connectivity_error == pytest.approx(
        golden.value("pred_max_200", "conn_skip_empty"), rel=1e-5
    )


@pytest.mark.parametrize("as_tensor", [False, True])
def test_rounding(as_tensor):
    """Half a step is rounded to even where mattes are rounded, and kept where they are not."""
    pred, alpha = np.full((4, 5), 100.5 / 255), np.full((4, 5), 100 / 255)
    if as_tensor:
        pred, alpha = (torch.from_numpy(x)[None, None] for x in (pred, alpha))
    assert PROTOCOLS["ppm-aim-195"].evaluate(pred, alpha)["whole"].mad == 0
    assert PROTOCOLS["aim-500"].evaluate(pred, alpha)["whole"].mad == pytest.approx(0.5 / 255)
    assert PROTOCOLS["ppm-aim-195"].evaluate(pred + 0.1 / 255, alpha)["whole"].mad == pytest.approx(1 / 255)


def test_without_a_trimap_the_whole_image_is_left():
    pred, alpha, _ = photo()
    for name in ("aim-500", "distinctions-646", "ppm-aim-195"):
        assert list(PROTOCOLS[name].evaluate(pred, alpha)) == ["whole"]
    with pytest.raises(ValueError, match=r"^this protocol needs a trimap, got None: it counts unknown$"):
        PROTOCOLS["composition-1k"].evaluate(pred, alpha)


def test_a_protocol_of_ones_own():
    pred, alpha, trimap = photo()
    assert BenchmarkProtocol(regions=("whole",)).evaluate(pred, alpha) == {"whole": evaluate(pred, alpha)}
    known = BenchmarkProtocol(regions=("unknown", "foreground"))
    assert known.evaluate(pred, alpha, trimap)["unknown"] == evaluate(pred, alpha, trimap)
    with pytest.raises(ValueError, match=r"^this protocol needs a trimap, got None: it counts unknown and foreground$"):
        known.evaluate(pred, alpha)
    with pytest.raises(ValueError, match=r"^this protocol needs a trimap"):
        BenchmarkProtocol(regions=("whole",), apply_trimap=True).evaluate(pred, alpha)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"regions": ("whole", "unkown")}, "each of regions must be one of 'unknown', 'whole', .*, got 'unkown'"),
        ({"regions": ("whole",), "empty": "Skip"}, "empty must be one of 'exclude', 'skip', got 'Skip'"),
        ({"regions": "whole"}, r"regions must be a tuple of at least one of unknown, .*, got 'whole'"),
        ({"regions": ()}, r"regions must be a tuple of at least one of unknown, .*, got \(\)"),
    ],
)
def test_a_protocol_is_checked_when_it_is_made(fields, message):
    with pytest.raises(ValueError, match=message):
        BenchmarkProtocol(**fields)


def test_range_is_checked_before_rounding():
    with pytest.raises(ValueError, match=re.escape("did you pass 0..255?")):
        PROTOCOLS["ppm-aim-195"].evaluate(np.full((4, 5), 100.0), np.zeros((4, 5)))

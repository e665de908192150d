"""The weights that come with the package."""

from importlib.resources import as_file, files

import pytest
import torch

from mattekit.models import pp_matting

FILE = files("mattekit") / "weights" / "small.safetensors"


@pytest.fixture(scope="module")
def small():
    with as_file(FILE) as path:
        return pp_matting(weights=path)


def test_the_file_is_small():
    with as_file(FILE) as path:
        assert path.stat().st_size <= 12_000_000


def test_it_loads_as_float32_with_the_size_it_knows(small):
    assert not small.training
    assert {p.dtype for p in small.parameters()} == {torch.float32}
    assert small.max_short_side is not None

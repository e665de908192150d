"""What the examples of docstrings have in common."""

import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _temporary_folder() -> Iterator[None]:
    """Remove what an example wrote: a training's is 200 MB, and tests that leave it fill a disk."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", folder)
        yield

"""Synthetic photos are exact, varied, and the same everywhere."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from mattekit.data import SyntheticMattes
from mattekit.data.shapes import SHAPES

RNG = np.random.default_rng(0)


def digest(sample):
    fields = (sample.image, sample.alpha, sample.foreground, sample.background)
    return hashlib.sha256(b"".join(field.tobytes() for field in fields)).hexdigest()[:16]


# The first 21 of seed 0 at 96² hold every shape. These are the digests on x86-64 with OpenCV 5.0, NumPy 2.4.
GOLDEN = [
    "f5c47580ede4fefd",
    "1868bfd3e02b1d3d",
    "9660cacf2a1f8482",
    "1188a69f47b14807",
    "e6e7c5d65a4085b3",
    "68b0615421435040",
    "f5c5321ec2a0d7b8",
    "1904970d7a0f8ac8",
    "a23e854177cb3352",
    "a8cad3746438d4ec",
    "e2d5bbd5943a2671",
    "b02018b04655d58d",
    "450e7d92800308f9",
    "e3bcc0e94c35b6b0",
    "8f1b01d6fe5204e3",
    "0a2b76403148528c",
    "44bae820ddfdc9b6",
    "c2acf1a03e397186",
    "978ef49267e3311b",
    "320b0bd54657046d",
    "5adde05991c7f58a",
]


def test_samples_are_bit_identical():
    source = SyntheticMattes(seed=0, size=96)
    assert [digest(source(index, RNG)) for index in range(len(GOLDEN))] == GOLDEN
    assert {source(index, RNG).name.split()[0] for index in range(len(GOLDEN))} == {shape.__name__ for shape in SHAPES}


def test_other_instructions_give_the_same_bits():
    """Without the CPU's vector instructions, as on another machine."""
    script = (
        "import cv2, numpy as np; cv2.setUseOptimized(False)\n"
        "from mattekit.data import SyntheticMattes; from data_room.test_synthetic import GOLDEN, digest\n"
        "source = SyntheticMattes(seed=0, size=96)\n"
        "assert [digest(source(index, None)) for index in range(len(GOLDEN))] == GOLDEN"
    )
    environment = {
        **os.environ,
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 AVX2 FMA3",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_a_sample_follows_from_seed_and_index_alone():
    first = SyntheticMattes(seed=4, size=48)(17, np.random.default_rng(1))
    again = SyntheticMattes(seed=4, size=48, length=18)(17, np.random.default_rng(2))
    assert digest(first) == digest(again)
    others = [SyntheticMattes(seed=4, size=48)(18, RNG), SyntheticMattes(seed=5, size=48)(17, RNG)]
    assert all(digest(first) != digest(other) for other in others)


@pytest.mark.parametrize("size", [16, 31, 100, 256])
def test_the_photo_is_what_its_layers_make(size):
    source = SyntheticMattes(seed=1, size=size)
    for index in range(16):
        sample = source(index, RNG)
        assert sample.size == (size, size)
        alpha = sample.alpha[..., None].astype(np.float64)
        made = alpha * sample.foreground + (1 - alpha) * sample.background
        assert np.abs(sample.image - made).max() <= 0.5 + 1e-4  # rounded to 8 bits


def test_mattes_have_all_there_is_in_mattes():
    source = SyntheticMattes(seed=2)
    for index in range(24):
        sample = source(index, RNG)
        fractional = ((sample.alpha > 0) & (sample.alpha < 1)).mean()
        assert 0.005 < fractional < 0.7, sample.name
        assert (sample.alpha == 0).mean() > 0.15, sample.name
        assert sample.alpha.max() > 0.7, sample.name
        assert sample.image.std() > 5, sample.name


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_keep_their_form_at_any_size(shape):
    """The drawing at twice the size, halved, is the drawing, but for the widths of strokes, which are rounded."""
    small = shape(np.random.default_rng(3), 64)[..., 0].astype(float)
    large = shape(np.random.default_rng(3), 128)[..., 0].astype(float)
    halved = large.reshape(64, 2, 64, 2).mean((1, 3))
    if shape.__name__ != "smoke":  # which draws in pixels
        assert np.abs(small - halved).mean() < 12


def test_impossible_settings():
    with pytest.raises(ValueError, match="size must be at least 16"):
        SyntheticMattes(size=15)
    with pytest.raises(ValueError, match="seed must not be negative"):
        SyntheticMattes(seed=-1)
    with pytest.raises(IndexError, match="index must be from 0 to 2, got 3"):
        SyntheticMattes(length=3)(3, RNG)

"""Foreground colours beside PyMatting's, which compiles before the clock starts, for screens and for cameras."""

from importlib.resources import files
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import torch

from mattekit.foreground import estimate_foreground
from mattekit.photos import read_image, read_matte
from oracles.foreground import pymatting_ml


def lemur(megapixels):
    """The lemur and its matte, enlarged: as large a share of it is hair as of any photo of an animal."""
    assets = files("mattekit") / "assets"
    photo, matte = read_image(assets / "lemur.jpg"), read_matte(assets / "lemur_alpha.png")
    scale = (megapixels * 1e6 / matte.size) ** 0.5
    size = [round(side * scale) for side in matte.shape[::-1]]
    return tuple(cv2.resize(x, size, interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255 for x in (photo, matte))


@pytest.mark.parametrize("megapixels", [1, 8])
def test_foreground(megapixels, device, compare):
    if find_spec("pymatting") is None:  # importing it would compile all of it
        pytest.skip("PyMatting is not installed")
    theirs = pymatting_ml()
    photo, matte = lemur(megapixels)
    image = torch.from_numpy(photo).permute(2, 0, 1)[None].to(device)
    alpha = torch.from_numpy(matte)[None, None].to(device)
    sides = {
        "PyMatting, on the CPU": lambda: theirs(photo, matte, return_background=True),
        "multilevel": lambda: estimate_foreground(image, alpha, return_background=True),
        "multilevel, foreground alone": lambda: estimate_foreground(image, alpha),
        "blur fusion": lambda: estimate_foreground(image, alpha, method="blur_fusion"),
    }
    compare(f"foreground of {megapixels} megapixels", sides, rounds=9 if megapixels == 1 else 3, warm_up=1)

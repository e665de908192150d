"""A small PP-Matting fitted to one photo: training, small enough to watch."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mattekit import trimap
from mattekit._demo.examples import lemur
from mattekit._demo.sheet import CELL, TITLES, panels
from mattekit._progress import hidden
from mattekit.blocks import HighResolutionDetailBranch, PyramidPooling, ReplaceFusion, SemanticContextBranch
from mattekit.compositing import cutout
from mattekit.encoders import HRNet
from mattekit.inference import predict
from mattekit.losses import pp_matting_loss
from mattekit.metrics import sad
from mattekit.models import PPMatting
from mattekit.photos import write_image
from mattekit.photos.sheet import contact_sheet
from mattekit.photos.writing import write_cutout

_CROP, _BATCH, _STEPS = 192, 4, 320
_LEARNING_RATE = 2e-3

_OPENING = """\
Fitting a network of 1.6 million parameters to random crops of one photo and its matte, {steps} steps, on the CPU: a few
minutes. contact_sheet.png will show what it learned of that photo: foreground, background and the transition between
them in the semantic map, fur in the detail map. It knows no other photo.
"""
_CLOSING = """
Wrote contact_sheet.png, lemur_alpha.png and lemur_cutout.png to {folder}.
Against the matte it was fitted to, its SAD is {error:.2f} thousand, of {thousands} thousand pixels.
"""


class _Pair(NamedTuple):
    """A photo, (1, 3, H, W) in [0, 1], its matte, (1, 1, H, W) in [0, 1], and its trimap, (1, 1, H, W) uint8."""

    image: Tensor
    alpha: Tensor
    trimap: Tensor


def small_network() -> PPMatting:
    """All parts of PP-Matting, each narrow enough to learn one photo on a CPU: 1.6 of W18's 24.5 million parameters."""
    encoder = HRNet((16, 32, 64, 128), modules=(1, 1, 1, 1), blocks=(1, 1, 1, 1), stage1_width=16)
    widths = ((64, 32), (32, 16), (16, 16), (16, 16), (16, 16))
    context = SemanticContextBranch(128, pooling=PyramidPooling(128, 64), widths=widths)
    detail = HighResolutionDetailBranch(encoder.channels[:2], context.guidance_channels, widths=(16, 16, 16, 8))
    model = PPMatting(encoder, context, detail, ReplaceFusion())
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (torch's types lack it)


def fit(model: PPMatting, photo: np.ndarray, alpha: np.ndarray, *, steps: int = _STEPS) -> None:
    """Fit a model to random crops of one photo, for so many steps."""
    pair = _pair(photo, alpha)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), _LEARNING_RATE)
    model.train()
    with tqdm(total=steps, desc="fitting", unit="step", disable=hidden()) as bar:
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = _LEARNING_RATE * (1 - step / steps) ** 0.9
            crops = _Pair(*map(torch.cat, zip(*(_crop(pair, generator) for _ in range(_BATCH)), strict=True)))
            losses = pp_matting_loss(model(crops.image), crops.alpha, crops.trimap)
            optimiser.zero_grad()
            losses.total.backward()
            optimiser.step()
            bar.update()
            bar.set_postfix(loss=f"{losses.total.item():.3f}")
    model.eval()


def run(folder: Path, *, steps: int = _STEPS) -> None:
    """Say what comes, fit, predict the whole photo, write the matte, the cut-out and a contact sheet."""
    print(_OPENING.format(steps=steps))
    torch.manual_seed(0)
    photo, truth = lemur()
    model = small_network()
    fit(model, photo, truth, steps=steps)
    maps = predict(model, photo, return_maps=True)
    cut = cutout(photo, maps.alpha)
    write_cutout(folder, "lemur", maps.alpha, cut)
    write_image(folder / "contact_sheet.png", contact_sheet([panels(photo, maps, cut)], CELL, titles=TITLES))
    error, thousands = float(sad(maps.alpha, truth)), photo[..., 0].size // 1000
    print(_CLOSING.format(folder=folder, error=error, thousands=thousands))


def _pair(photo: np.ndarray, alpha: np.ndarray) -> _Pair:
    image = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    matte = torch.from_numpy(alpha)[None, None].float() / 255
    return _Pair(image, matte, trimap.from_mask(matte, width=4, certain=0.98))


def _crop(pair: _Pair, generator: torch.Generator) -> _Pair:
    """A random square of the pair, flipped half of the time and resized to the size of a crop."""

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    height, width = pair.image.shape[-2:]
    side = draw(_CROP * 3 // 4, min(height, width, _CROP * 2))
    top, left, flip = draw(0, height - side), draw(0, width - side), draw(0, 1)

    def cut(x: Tensor, mode: str) -> Tensor:
        square = x[..., top : top + side, left : left + side].float()
        square = F.interpolate(square, size=(_CROP, _CROP), mode=mode)
        return square.flip(-1) if flip else square

    return _Pair(cut(pair.image, "bilinear"), cut(pair.alpha, "bilinear"), cut(pair.trimap, "nearest").to(torch.uint8))

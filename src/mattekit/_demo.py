"""The demo: fit a small PP-Matting to one photo, and show what it makes of it."""

import time
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from tqdm import tqdm

from mattekit import trimap
from mattekit.blocks import HighResolutionDetailBranch, PyramidPooling, ReplaceFusion, SemanticContextBranch
from mattekit.compositing import composite
from mattekit.encoders import HRNet
from mattekit.inference import predict
from mattekit.losses import pp_matting_loss
from mattekit.metrics import sad
from mattekit.models import PPMatting
from mattekit.photos import read_image, read_matte, write_image
from mattekit.photos.writing import write_cutout

_CROP, _BATCH, _STEPS, _SECONDS = 192, 4, 320, 180
_LEARNING_RATE = 2e-3
_NEW_BACKGROUND = (0.16, 0.32, 0.62)

_REPORT = """
Wrote contact_sheet.png, lemur_alpha.png and lemur_cutout.png to {folder}.

What the picture shows: a network of 1.6 million parameters, fitted for {steps} steps to this one photo and its matte.
The semantic map says foreground, transition or background; the detail map means something in the transition alone;
the matte is the semantic map with the detail map in its transition. Against the matte it was fitted to, its SAD is
{error:.2f} thousand, of {thousands} thousand pixels. It knows no other photo. For yours, take published weights:

  mattekit predict PHOTO --weights human-512
"""


class Example(NamedTuple):
    """A photo, (1, 3, H, W) in [0, 1], its matte, (1, 1, H, W) in [0, 1], and its trimap, (1, 1, H, W) uint8."""

    image: Tensor
    alpha: Tensor
    trimap: Tensor


def lemur() -> tuple[np.ndarray, np.ndarray]:
    """The lemur's photo, (440, 680, 3) uint8, and its matte, (440, 680) uint8.

    Source: photo by Mathias Appel (CC0); the matte is a closed-form result from PyMatting (MIT), not hand-made.
    """
    folder = files("mattekit") / "assets"
    with as_file(folder / "lemur.jpg") as photo, as_file(folder / "lemur_alpha.png") as alpha:
        return read_image(photo), read_matte(alpha)


def small_network() -> PPMatting:
    """All parts of PP-Matting, each narrow enough to learn one photo on a CPU: 1.6 of W18's 24.5 million parameters."""
    encoder = HRNet((16, 32, 64, 128), modules=(1, 1, 1, 1), blocks=(1, 1, 1, 1), stage1_width=16)
    widths = ((64, 32), (32, 16), (16, 16), (16, 16), (16, 16))
    context = SemanticContextBranch(128, pooling=PyramidPooling(128, 64), widths=widths)
    detail = HighResolutionDetailBranch(encoder.channels[:2], context.guidance_channels, widths=(16, 16, 16, 8))
    model = PPMatting(encoder, context, detail, ReplaceFusion())
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (torch's types lack it)


def fit(
    model: PPMatting, photo: np.ndarray, alpha: np.ndarray, *, steps: int = _STEPS, seconds: float = _SECONDS
) -> int:
    """Fit a model to random crops of one photo, for so many steps or seconds, whichever end first; return the steps."""
    example = _example(photo, alpha)
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(model.parameters(), _LEARNING_RATE)
    model.train()
    start, done = time.monotonic(), 0
    with tqdm(total=steps, desc="fitting", unit="step") as bar:
        for step in range(steps):
            progress = max(step / steps, (time.monotonic() - start) / seconds)
            if progress >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = _LEARNING_RATE * (1 - progress) ** 0.9
            crops = Example(*map(torch.cat, zip(*(_crop(example, generator) for _ in range(_BATCH)), strict=True)))
            losses = pp_matting_loss(model(crops.image), crops.alpha, crops.trimap)
            optimiser.zero_grad()
            losses.total.backward()
            optimiser.step()
            done += 1
            bar.update()
            bar.set_postfix(loss=f"{losses.total.item():.3f}")
    model.eval()
    return done


def run(folder: Path) -> None:
    """Fit, predict the whole photo, write the matte, the cut-out and a contact sheet, and say what they show."""
    torch.manual_seed(0)
    photo, truth = lemur()
    model = small_network()
    print("Fitting a small PP-Matting to random crops of one photo, on the CPU, for about two minutes.")
    steps = fit(model, photo, truth)
    alpha = predict(model, photo)
    panels = _panels(model, photo, alpha)
    write_cutout(folder, "lemur", photo, alpha)
    write_image(folder / "contact_sheet.png", _sheet(panels))
    print(
        _REPORT.format(folder=folder, steps=steps, error=float(sad(alpha, truth)), thousands=photo[..., 0].size // 1000)
    )


def _example(photo: np.ndarray, alpha: np.ndarray) -> Example:
    image = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    matte = torch.from_numpy(alpha)[None, None].float() / 255
    return Example(image, matte, trimap.from_mask(matte, width=4, certain=0.98))


def _crop(example: Example, generator: torch.Generator) -> Example:
    """A random square of the example, flipped half of the time and resized to the size of a crop."""

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    height, width = example.image.shape[-2:]
    side = draw(_CROP * 3 // 4, min(height, width, _CROP * 2))
    top, left, flip = draw(0, height - side), draw(0, width - side), draw(0, 1)

    def cut(x: Tensor, mode: str) -> Tensor:
        square = x[..., top : top + side, left : left + side].float()
        square = F.interpolate(square, size=(_CROP, _CROP), mode=mode)
        return square.flip(-1) if flip else square

    return Example(
        cut(example.image, "bilinear"), cut(example.alpha, "bilinear"), cut(example.trimap, "nearest").to(torch.uint8)
    )


@torch.inference_mode()
def _panels(model: PPMatting, photo: np.ndarray, alpha: np.ndarray) -> Mapping[str, np.ndarray]:
    image = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    output = model(image)
    cutout = composite(image, _NEW_BACKGROUND, torch.from_numpy(alpha)[None, None])
    return {
        "photo": photo,
        "semantic map": trimap.from_semantic(output.semantic_logits)[0, 0].numpy(),
        "detail map": _to_uint8(output.detail[0, 0]),
        "matte": _to_uint8(torch.from_numpy(alpha)),
        "cut-out on a new background": _to_uint8(cutout[0].permute(1, 2, 0)),
    }


def _to_uint8(x: Tensor) -> np.ndarray:
    return (x * 255).round().to(torch.uint8).numpy()


def _sheet(panels: Mapping[str, np.ndarray]) -> np.ndarray:
    """The panels in rows of three, a caption under each."""
    height, width = next(iter(panels.values())).shape[:2]
    caption, gap, columns = 40, 12, 3
    rows = -(-len(panels) // columns)
    sheet = Image.new(
        "RGB", (columns * (width + gap) + gap, rows * (height + caption + gap) + gap), color=(245, 245, 245)
    )
    draw = ImageDraw.Draw(sheet)
    for index, (name, pixels) in enumerate(panels.items()):
        left = gap + index % columns * (width + gap)
        top = gap + index // columns * (height + caption + gap)
        sheet.paste(Image.fromarray(pixels).convert("RGB"), (left, top))
        draw.text((left, top + height + 6), name, fill=(30, 30, 30), font=ImageFont.load_default(24))
    return np.array(sheet)

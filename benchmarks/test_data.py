"""The data pipeline, against plain NumPy, OpenCV and Pillow for the same transforms, as training codes have them."""

import itertools

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from mattekit.data import SyntheticMattes, collate, compose, paper_transform
from mattekit.data.loader import with_trimap
from mattekit.trimap import PADDLESEG_KERNELS

cpu_only = pytest.mark.parametrize("device", ["cpu"], indirect=True)


def layers(height=800, width=1000):
    """A foreground, its matte and a background of a size common in the data sets, of uint8."""
    sample = SyntheticMattes(seed=0, size=256)(5, np.random.default_rng(0))
    size = (width, height)
    alpha = np.rint(cv2.resize(sample.alpha, size) * 255).astype(np.uint8)
    return cv2.resize(sample.foreground, size), alpha, cv2.resize(sample.background, size)


class Plain:
    """Composite, trimap, crop, pad, resize, distort, blur and flip as one writes them down: every field in its turn."""

    def __init__(self, size, seed=0):
        self.size = size
        self.crops = [size, size * 5 // 4, size * 25 // 16]
        self.rng = np.random.default_rng(seed)

    def __call__(self, foreground, alpha, background):
        fields = {"alpha": alpha, "foreground": foreground, "background": background}
        share = np.expand_dims(alpha / 255, 2)
        fields["image"] = (share * foreground + (1 - share) * background).astype(np.uint8)
        fields["trimap"] = self.trimap(alpha)
        fields = self.crop(fields)
        fields = {
            name: cv2.resize(x, (self.size, self.size), interpolation=self.how(name)) for name, x in fields.items()
        }
        for name in ("image", "foreground", "background"):
            fields[name] = self.distort(fields[name])
        if self.rng.random() < 0.1:
            side = int(self.rng.choice([3, 5, 7, 9]))
            fields = {n: x if n == "trimap" else cv2.GaussianBlur(x, (side, side), 0) for n, x in fields.items()}
        if self.rng.random() < 0.5:
            fields = {name: x[:, ::-1] for name, x in fields.items()}
        pictures = [fields[name].astype(np.float32) / 255 for name in ("image", "foreground", "background", "alpha")]
        return [np.ascontiguousarray(np.atleast_3d(x).transpose(2, 0, 1)) for x in (*pictures, fields["trimap"])]

    def how(self, name):
        return cv2.INTER_NEAREST if name == "trimap" else cv2.INTER_LINEAR

    def trimap(self, alpha):
        side, iterations = int(self.rng.integers(2, 5)), int(self.rng.integers(5, 15))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        dilated = cv2.dilate(alpha, kernel, iterations=iterations)
        eroded = cv2.erode(alpha, kernel, iterations=iterations)
        trimap = np.full(alpha.shape, 128, np.uint8)
        trimap[eroded > 254.5] = 255
        trimap[dilated < 0.5] = 0
        return trimap

    def crop(self, fields):
        side = int(self.rng.choice(self.crops))
        height, width = fields["alpha"].shape
        top, left = int(self.rng.integers(height - side + 1)), int(self.rng.integers(width - side + 1))
        if self.rng.random() < 0.5:
            rows, columns = np.where((fields["alpha"] > 0) & (fields["alpha"] < 255))
            chosen = int(self.rng.integers(len(rows)))
            top = int(np.clip(rows[chosen] - side // 2, 0, height - side))
            left = int(np.clip(columns[chosen] - side // 2, 0, width - side))
        return {name: x[top : top + side, left : left + side] for name, x in fields.items()}

    def distort(self, picture):
        image = Image.fromarray(picture)
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            if self.rng.random() < 0.5:
                image = enhance(image).enhance(self.rng.uniform(0.5, 1.5))
        if self.rng.random() < 0.5:
            hsv = np.array(image.convert("HSV"))
            hsv[..., 0] = hsv[..., 0] + np.uint8(int(self.rng.uniform(-18, 18)) % 256)
            image = Image.merge("HSV", [Image.fromarray(hsv[..., i]) for i in range(3)]).convert("RGB")
        return np.asarray(image)


@cpu_only
@pytest.mark.parametrize("size", [224, 512])
def test_transforms(size, device, compare):
    """Four samples from layers in memory to a batch of tensors."""
    foreground, alpha, background = layers()
    plain, transform, seeds = Plain(size), paper_transform(size), itertools.count()

    def plainly():
        samples = [plain(foreground, alpha, background) for _ in range(4)]
        return [torch.from_numpy(np.stack(field)) for field in zip(*samples, strict=True)]

    def ours():
        samples = []
        for _ in range(4):
            rng = np.random.default_rng(next(seeds))
            sample = compose(foreground, alpha.astype(np.float32) / 255, background)
            samples.append(with_trimap(transform.apply(sample, transform.draw(sample, rng)), PADDLESEG_KERNELS, rng))
        return collate(samples)

    cv2.setNumThreads(1)  # as in a worker
    compare(f"data, composite and the paper's transforms 4×{size}²", {"plain": plainly, "mattekit": ours}, rounds=15)


@cpu_only
@pytest.mark.parametrize("size", [256, 512])
def test_synthetic(size, device, compare):
    """32 synthetic samples."""
    source, rng = SyntheticMattes(seed=0, size=size), np.random.default_rng(0)
    cv2.setNumThreads(1)
    medians = compare(f"data, 32 synthetic mattes {size}²", {"mattekit": lambda: [source(i, rng) for i in range(32)]})
    print(f"{32 / medians['mattekit']:.0f} samples a second")

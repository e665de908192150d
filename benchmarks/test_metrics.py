"""Grad, Conn and the evaluation of a folder against the plain ways, both sides in one run.

It asserts that both sides agree on the numbers; how fast the machine is that day, it does not judge. The plain ways are
what the published Python ports do, written as well as NumPy and cv2 allow.
"""

import subprocess
import sys
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import measure

from mattekit.metrics import connectivity_error, evaluate, gradient_error

SIZES = [1024, 2048, 4096]


def hair_like(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A head with 900 strands of hair, one or two pixels wide and partly transparent."""
    matte = np.zeros((height, width), np.uint8)
    side = min(height, width)
    cx, cy = width // 2, int(height * 0.6)
    cv2.ellipse(matte, (cx, cy), (side // 5, side // 4), 0, 0, 360, 255, -1, cv2.LINE_AA)
    for _ in range(900):
        angle = rng.uniform(np.pi, 2 * np.pi)
        x, y = cx + side / 5 * np.cos(angle), cy + side / 4 * np.sin(angle)
        direction, strand = angle + rng.normal(0, 0.3), []
        for _ in range(24):
            strand.append((x, y))
            x, y = x + side / 90 * np.cos(direction), y + side / 90 * np.sin(direction)
            direction += rng.normal(0, 0.12)
        points = np.array(strand).round().astype(np.int32)
        cv2.polylines(matte, [points], False, int(rng.integers(60, 256)), int(rng.integers(1, 3)), cv2.LINE_AA)
    return cv2.GaussianBlur(matte, (0, 0), 1)


def lacy(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A net of threads, 8 pixels wide every 24, opaque in the middle and soft at the edges, somewhat warped."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u = x + 9 * np.sin(y / 90 + rng.uniform(0, 6))
    v = y + 9 * np.sin(x / 70 + rng.uniform(0, 6))
    distance = np.minimum(np.abs((u + v) % 24 - 12), np.abs((u - v) % 24 - 12))
    return (255 * np.clip((5.5 - distance) / 3, 0, 1)).astype(np.uint8)


def perforated(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Soft cells of 8 pixels that hang together at low levels and fall apart at high ones: the hardest kind."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    cells = np.sin(np.pi * x / 8 + np.sin(y / 90)) * np.sin(np.pi * y / 8 + np.cos(x / 70))
    drift = cv2.resize(rng.random((32, 32)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(255 * (1.2 * cells + 0.4 + 0.5 * drift), 0, 255).astype(np.uint8)


def blobby(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A few dozen smooth blobs."""
    field = cv2.resize(rng.random((40, 40)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip((field - 0.45) * 255 * 6, 0, 255).astype(np.uint8)


KINDS = {"hair-like": hair_like, "lacy": lacy, "perforated": perforated, "blobby": blobby}


def predicted(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A prediction: blurred, and noisy where the truth is soft, as networks are."""
    soft = cv2.GaussianBlur(((alpha > 0) & (alpha < 255)).astype(np.float32), (0, 0), 2)
    noisy = cv2.GaussianBlur(alpha, (0, 0), 1.2) + rng.normal(0, 8, alpha.shape) * soft
    return np.clip(noisy.round(), 0, 255).astype(np.uint8)


# ---- the plain ways


def plain_grad(pred, alpha):
    u = np.arange(-4, 5)
    gaussian = np.exp(-(u**2) / (2 * 1.4**2))
    kernel = np.outer(gaussian, -u * gaussian)
    kernel /= np.linalg.norm(kernel)
    amplitudes = []
    for x in (pred, alpha):
        x = x.astype(np.float64)
        x = (x - x.min()) / (x.max() - x.min())
        gx = cv2.filter2D(x, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        gy = cv2.filter2D(x, -1, np.ascontiguousarray(kernel.T), borderType=cv2.BORDER_REPLICATE)
        amplitudes.append(np.sqrt(gx**2 + gy**2))
    return float(np.sum((amplitudes[0] - amplitudes[1]) ** 2))


def largest_by_cv2(mask):
    number, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax() if number > 1 else np.zeros(mask.shape, bool)


def largest_by_bincount(label):
    def largest(mask):
        labels = label(mask)
        areas = np.bincount(labels.ravel())
        return labels == 1 + areas[1:].argmax() if len(areas) > 1 else np.zeros(mask.shape, bool)

    return largest


PLAIN_CONN = {
    "ten cv2.connectedComponentsWithStats": largest_by_cv2,
    "ten skimage.measure.label": largest_by_bincount(lambda mask: measure.label(mask, connectivity=1)),
    "ten scipy.ndimage.label": largest_by_bincount(lambda mask: ndimage.label(mask)[0]),
}


def plain_conn(pred, alpha, largest=largest_by_cv2):
    p, a = (x.astype(np.float32) / np.float32(255) for x in (pred, alpha))
    level = np.full(p.shape, -1, np.float32)
    for k in range(1, 11):
        threshold = np.float32(k * 0.1)
        body = largest((p >= threshold) & (a >= threshold))
        level[(level == -1) & ~body] = np.float32((k - 1) * 0.1)
    level[level == -1] = 1
    excesses = [(x - level) * (x - level >= np.float32(0.15)) for x in (p, a)]
    return float(np.abs(excesses[0] - excesses[1]).sum(dtype=np.float64))


def plain_folder(preds, alphas):
    """SAD, MSE, Grad and Conn of each image, one after the other."""
    scores = []
    for pred_path, alpha_path in zip(preds, alphas, strict=True):
        pred, alpha = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (pred_path, alpha_path))
        difference = pred / 255 - alpha / 255
        sad, mse = np.abs(difference).sum() / 1000, np.square(difference).mean()
        scores.append((sad, mse, plain_grad(pred, alpha) / 1000, plain_conn(pred, alpha) / 1000))
    return scores


# ---- timing


@pytest.mark.parametrize("device", ["cpu"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_error(kind, size, device, compare):
    rng = np.random.default_rng(0)
    alpha = KINDS[kind](size, size, rng)
    pred = predicted(alpha, rng)
    sides = {
        "cv2.filter2D in float64": lambda: plain_grad(pred, alpha),
        "mattekit": lambda: gradient_error(pred, alpha, raw=True),
    }
    plain, ours = (side() for side in sides.values())
    assert ours == pytest.approx(plain, rel=1e-9)
    compare(f"Grad {kind} {size}²", sides, rounds=3, warm_up=1)


@pytest.mark.parametrize("device", ["cpu"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_connectivity_error(kind, size, device, compare):
    rng = np.random.default_rng(0)
    alpha = KINDS[kind](size, size, rng)
    pred = predicted(alpha, rng)
    sides = {name: partial(plain_conn, pred, alpha, largest) for name, largest in PLAIN_CONN.items()}
    sides["mattekit"] = lambda: connectivity_error(pred, alpha, raw=True)
    *plain, ours = (side() for side in sides.values())
    assert plain == pytest.approx([ours] * len(plain), rel=1e-5)
    compare(f"Conn {kind} {size}²", sides, rounds=3, warm_up=1)


@pytest.mark.parametrize("device", ["cpu"])
def test_folder(tmp_path, device, compare):
    """50 mattes of 1920x1080 through the command line, start-up included, against a loop that has started already."""
    rng = np.random.default_rng(0)
    makers = [hair_like, lacy, blobby]
    for folder in ("pred", "alpha"):
        (tmp_path / folder).mkdir()
    for i in range(50):
        alpha = makers[i % 3](1080, 1920, rng)
        Image.fromarray(alpha).save(tmp_path / "alpha" / f"{i:02}.png")
        Image.fromarray(predicted(alpha, rng)).save(tmp_path / "pred" / f"{i:02}.png")
    preds, alphas = (sorted((tmp_path / folder).iterdir()) for folder in ("pred", "alpha"))
    command = [sys.executable, "-m", "mattekit", "evaluate", tmp_path / "pred", tmp_path / "alpha", "--workers", "2"]
    sides = {
        "a loop over the plain ways": lambda: plain_folder(preds, alphas),
        "mattekit evaluate": lambda: subprocess.run(command, check=True, capture_output=True, text=True),
    }
    expected, done = (side() for side in sides.values())
    printed = [float(value) for value in done.stdout.splitlines()[1].split()[2:]]
    assert [printed[i] for i in (0, 1, 3, 4)] == pytest.approx(np.mean(expected, axis=0).tolist(), rel=1e-5)
    compare("folder of 50 mattes of 1920×1080", sides, rounds=3, warm_up=0)


@pytest.mark.parametrize("device", ["cuda"])
def test_cuda_batch(device, compare):
    """A batch of 8 at 1024², on the CPU and on the GPU."""
    rng = np.random.default_rng(0)
    mattes = [list(KINDS.values())[i % 3](1024, 1024, rng) for i in range(8)]
    alpha = torch.from_numpy(np.stack(mattes))[:, None]
    pred = torch.from_numpy(np.stack([predicted(matte, rng) for matte in mattes]))[:, None]
    there = pred.to(device), alpha.to(device)
    sides = {"on the CPU": lambda: evaluate(pred, alpha), "on the GPU": lambda: evaluate(*there)}
    expected, found = (side() for side in sides.values())
    for a, b in zip(found, expected, strict=True):
        assert a.tolist() == pytest.approx(b.tolist(), rel=1e-9)
    compare("evaluate, 8 at 1024²", sides, rounds=5, warm_up=1)

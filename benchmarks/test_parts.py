"""Each block, loss and trimap tool at the sizes at which PP-Matting on HRNet-W18 meets it, for an image of 512²."""

import copy

import cv2
import measure
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from mattekit import blocks, losses, trimap
from mattekit.compositing import composite
from mattekit.encoders import hrnet_w18

SIDE = 512


def features(channels, side, batch=1):
    return torch.rand(batch, channels, side, side)


GUIDANCE = [features(c, SIDE // s) for c, s in ((256, 16), (128, 8), (64, 4), (64, 2), (64, 1))]
BLOCKS = {
    "HRNet": lambda: (hrnet_w18(), [features(3, SIDE)]),
    "ConvBNReLU": lambda: (blocks.ConvBNReLU(64, 64), [features(64, SIDE // 2)]),
    "GatedConv": lambda: (blocks.GatedConv(32, 256), [features(32, SIDE), GUIDANCE[0]]),
    "PyramidPooling": lambda: (blocks.PyramidPooling(144), [features(144, SIDE // 32)]),
    "SemanticContextBranch": lambda: (blocks.SemanticContextBranch(144), [features(144, SIDE // 32)]),
    "HighResolutionDetailBranch": lambda: (
        blocks.HighResolutionDetailBranch((64, 18), (256, 128, 64, 64, 64)),
        [[features(64, SIDE // 2), features(18, SIDE // 4)], GUIDANCE, (SIDE, SIDE)],
    ),
    "ReplaceFusion": lambda: (blocks.ReplaceFusion(), [features(3, SIDE), features(1, SIDE)]),
    "ConvFusion": lambda: (blocks.ConvFusion(), [features(3, SIDE), features(1, SIDE)]),
}


def moved(x, **to):
    if isinstance(x, torch.Tensor):
        return x.to(**to)
    return [moved(part, **to) for part in x] if isinstance(x, list) else x


def forward(block, inputs):
    def run():
        with torch.inference_mode(), measure.tf32(False):
            return block(*inputs)

    return run


@pytest.mark.parametrize("name", BLOCKS)
def test_block(name, device, compare):
    block, inputs = BLOCKS[name]()
    block, inputs = block.eval().to(device), moved(inputs, device=device)
    sides = {"float32": forward(block, inputs)}
    for label, dtype in (("float32, channels_last", torch.float32), ("bfloat16, channels_last", torch.bfloat16)):
        to = {"dtype": dtype, "memory_format": torch.channels_last}
        sides[label] = forward(copy.deepcopy(block).to(**to), moved(inputs, **to))
    flops = measure.count_flops(sides["float32"]) or None
    precision = {"bfloat16, channels_last": "bfloat16"}
    compare(f"block {name}", sides, rounds=5 if device == "cpu" else 15, flops=flops, precision=precision)


def mattes(device, batch=4):
    alpha = F.interpolate((torch.rand(batch, 1, 16, 16) * 3 - 1).clamp(0, 1), size=(SIDE, SIDE), mode="bilinear")
    pred = (alpha + 0.1 * torch.randn_like(alpha)).clamp(0, 1)
    return pred.to(device), alpha.to(device), trimap.from_alpha(alpha, width=8).to(device)


def plain_gradient_loss(pred, alpha):
    kernel = pred.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    weight = torch.stack([kernel, kernel.T])[:, None]

    def magnitude(x):
        return (
            F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight).square().sum(1, keepdim=True).add(1e-12).sqrt()
        )

    return F.l1_loss(magnitude(pred), magnitude(alpha))


def plain_laplacian_loss(pred, alpha):
    taps = pred.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    weight = torch.outer(taps, taps)[None, None]
    total = pred.new_zeros(())
    for level in range(5):
        low = [F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), weight)[..., ::2, ::2] for x in (pred, alpha)]
        up = [F.interpolate(x, scale_factor=2.0, mode="bilinear") for x in low]
        total = total + 2**level * F.l1_loss(pred - up[0], alpha - up[1])
        pred, alpha = low
    return total


def plain_alpha_loss(pred, alpha):
    return ((pred - alpha) ** 2 + 1e-12).sqrt().mean()


LOSSES = {
    "alpha_loss": {"plain": plain_alpha_loss, "F.l1_loss, no root": F.l1_loss, "mattekit": losses.alpha_loss},
    "gradient_loss": {"plain": plain_gradient_loss, "mattekit": losses.gradient_loss},
    "laplacian_loss": {"plain": plain_laplacian_loss, "mattekit": losses.laplacian_loss},
}


def backward(loss, x, *truth):
    x = x.clone().requires_grad_()

    def run():
        x.grad = None
        with measure.tf32(False):
            loss(x, *truth).backward()

    return run


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, device, compare):
    pred, alpha, _ = mattes(device)
    compare(f"loss {name} 4×512²", {side: backward(loss, pred, alpha) for side, loss in LOSSES[name].items()})


def test_composition_loss(device, compare):
    pred, alpha, _ = mattes(device)
    foreground, background = torch.rand(2, len(pred), 3, SIDE, SIDE, device=device)

    def plain(pred, alpha, f, b):
        return F.l1_loss(pred * f + (1 - pred) * b, alpha * f + (1 - alpha) * b)

    given = (pred, alpha, foreground, background)
    sides = {"plain": backward(plain, *given), "mattekit": backward(losses.composition_loss, *given)}
    compare("loss composition_loss 4×512²", sides)


def test_semantic_loss(device, compare):
    *_, labels = mattes(device)
    logits = torch.randn(len(labels), 3, SIDE, SIDE, device=device)

    def plain(logits, labels):
        classes = torch.where(labels == 255, 0, torch.where(labels == 0, 2, 1))[:, 0]
        return F.cross_entropy(logits, classes)

    sides = {"plain": backward(plain, logits, labels), "mattekit": backward(losses.semantic_loss, logits, labels)}
    compare("loss semantic_loss 4×512²", sides)


def plain_from_alpha(alpha):
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17))
    result = np.full(alpha.shape, 128, np.uint8)
    for matte, made in zip(alpha, result, strict=True):
        made[cv2.erode((matte == 1).astype(np.uint8), kernel, borderValue=1) > 0] = 255
        made[cv2.erode((matte == 0).astype(np.uint8), kernel, borderValue=1) > 0] = 0
    return result


def plain_random_from_alpha(alpha, draws, sizes):
    def kernel():
        return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (draws.integers(*sizes, endpoint=True),) * 2)

    result = np.full(alpha.shape, 128, np.uint8)
    for matte, made in zip(alpha, result, strict=True):
        made[cv2.erode((matte == 1).astype(np.uint8), kernel(), borderValue=1) > 0] = 255
        made[cv2.erode((matte == 0).astype(np.uint8), kernel(), borderValue=1) > 0] = 0
    return result


def plain_distance_maps(labels):
    sigmas = 0.02 * 320, 0.08 * 320, 0.16 * 320
    distances = [[ndimage.distance_transform_edt(image != value) for value in (0, 255)] for image in labels]
    return np.stack([[np.exp(-(d**2) / (2 * s**2)) for d in pair for s in sigmas] for pair in distances])


def on_the_host(function, x):
    """What people do with tensors on a GPU, for want of better: there and back."""
    return lambda: torch.from_numpy(function(x[:, 0].cpu().numpy())).to(x.device)


def test_trimap_from_alpha(device, compare):
    _, alpha, _ = mattes(device)
    sides = {
        "cv2.erode twice": on_the_host(plain_from_alpha, alpha),
        "mattekit": lambda: trimap.from_alpha(alpha, width=8),
    }
    compare("trimap from_alpha 4×512²", sides)


def test_trimap_random_from_alpha(device, compare):
    _, alpha, _ = mattes(device)
    draws, kernels = np.random.default_rng(0), trimap.RandomKernels(sizes=(15, 15))  # the same work for both
    sides = {
        "cv2.erode twice": on_the_host(lambda a: plain_random_from_alpha(a, draws, (15, 15)), alpha),
        "mattekit": lambda: trimap.random_from_alpha(alpha, kernels=kernels, generator=draws),
    }
    compare("trimap random_from_alpha 4×512²", sides)


def test_trimap_distance_maps(device, compare):
    *_, labels = mattes(device)
    sides = {
        "scipy distance_transform_edt": on_the_host(plain_distance_maps, labels),
        "mattekit": lambda: trimap.distance_maps(labels),
    }
    compare("trimap distance_maps 4×512²", sides)


def plain_linear_composite(foreground, background, alpha):
    def light(x):
        return torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)

    mixed = alpha * light(foreground) + (1 - alpha) * light(background)
    return torch.where(mixed <= 0.0031308, mixed * 12.92, 1.055 * mixed ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("linear", [False, True], ids=["sRGB", "light"])
def test_composite(linear, device, compare):
    *_, alpha = mattes(device)[:2]
    foreground, background = torch.rand(2, len(alpha), 3, SIDE, SIDE, device=device)
    given = foreground, background, alpha
    sides = {
        "plain": lambda: plain_linear_composite(*given) if linear else alpha * foreground + (1 - alpha) * background,
        "mattekit": lambda: composite(*given, linear=linear),
    }
    compare(f"composite in {'light' if linear else 'sRGB'} 4×512²", sides)

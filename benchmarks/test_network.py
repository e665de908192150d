"""The whole network, and a step of its training, against what people run without this library's preparation."""

import copy

import measure
import pytest
import torch

from mattekit.inference import prepare
from mattekit.inference.prepare import cpu_has_bfloat16
from mattekit.losses import pp_matting_loss
from mattekit.models import pp_matting
from mattekit.trimap import from_alpha
from oracles import seeded
from oracles.networks import trained_looking


def channels_last(model, dtype=torch.float32):
    return copy.deepcopy(model).to(dtype=dtype, memory_format=torch.channels_last)


# encoder, batch, side, rounds on the CPU (0: too long there), compiled on the GPU (a minute or two each)
FORWARD = [
    ("hrnet_w18", 1, 512, 7, True),
    ("hrnet_w18", 1, 1024, 3, False),
    ("hrnet_w18", 16, 512, 0, False),
    ("hrnet_w18", 16, 1024, 0, False),
    ("hrnet_w48", 1, 512, 3, True),
    ("hrnet_w48", 1, 1024, 0, False),
    ("hrnet_w48", 16, 512, 0, True),
    ("hrnet_w48", 16, 1024, 0, False),
]


@pytest.mark.parametrize(("encoder", "batch", "side", "cpu_rounds", "compile"), FORWARD)
def test_forward(encoder, batch, side, cpu_rounds, compile, device, compare):
    if device == "cpu" and not cpu_rounds:
        pytest.skip("takes minutes on a CPU")
    model = trained_looking(pp_matting(encoder)).to(device)
    image = torch.rand(batch, 3, side, side, device=device)
    as_channels_last = image.contiguous(memory_format=torch.channels_last)
    flops = measure.count_flops(measure.no_grad(model, image))
    sides = {"eager float32": measure.no_grad(model, image)}
    precision = {"eager TF32": "tf32", "eager bfloat16, channels_last": "bfloat16", "prepared bfloat16": "bfloat16"}
    if device == "cpu":
        sides["eager float32, channels_last"] = measure.no_grad(channels_last(model), as_channels_last)
    else:
        sides["eager TF32"] = measure.no_grad(model, image, fast=True)
        half = channels_last(model, torch.bfloat16)
        sides["eager bfloat16, channels_last"] = measure.no_grad(half, as_channels_last.bfloat16())
        if compile:
            compiled = prepare(model, precision="bfloat16", compile=True)
            compiled.warm_up(image.shape)
            name = "prepared bfloat16, compiled"
            sides[name], precision[name] = measure.no_grad(compiled, image), "bfloat16"
    for name in ("bfloat16", "float32") if device == "cuda" or cpu_has_bfloat16() else ("float32",):
        prepared = prepare(model, precision=name)
        prepared.warm_up(image.shape)
        sides[f"prepared {name}"] = measure.no_grad(prepared, image)
    compare(
        f"forward {encoder} {batch}×{side}²",
        sides,
        rounds=cpu_rounds if device == "cpu" else 15,
        warm_up=1 if device == "cpu" else 3,
        flops=flops,
        precision=precision,
    )


def test_precision(device, compare, tmp_path):
    """What bfloat16 does to mattes: the reference's seeded weights, whose mattes have all three classes."""
    path = seeded.write_pdparams(tmp_path / "w18.pdparams", "hrnet_w18")
    model = pp_matting("hrnet_w18", weights=path).eval().to(device)
    image = torch.rand(4, 3, 256, 256, device=device)
    with torch.inference_mode(), measure.tf32(False):
        expected = model(image)
    sides, notes = {}, {}
    for name in ("float32", "bfloat16") if device == "cpu" else ("float32", "bfloat16", "float16"):
        prepared = prepare(model, precision=name)
        with measure.tf32(False):
            output = prepared(image)
        sad, largest = _distance(output, expected)
        size = expected.alpha.sum().item() / 1000 / len(image)
        notes[name] = (
            f"SAD {sad:.2g} thousand an image, of mattes of {size:.1f}; detail map off by {largest:.2g} at most"
        )
        sides[name] = measure.no_grad(prepared, image)
    compare("precision hrnet_w18 4×256²", sides, rounds=3, warm_up=2, notes=notes)


def _distance(output, expected):
    sad = (output.alpha - expected.alpha).abs().sum().item() / 1000 / len(expected.alpha)
    return sad, (output.detail - expected.detail).abs().max().item()


def training_step(model, batch, *, mixed, compile):
    model = copy.deepcopy(model).train()
    if mixed:
        model = model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    image, *truth = batch

    def loss(image, *truth):
        with torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=mixed):
            return pp_matting_loss(model(image), *truth).total

    loss = torch.compile(loss, fullgraph=True) if compile else loss

    def run():
        optimiser.zero_grad(set_to_none=True)
        with measure.tf32(False):
            loss(image, *truth).backward()
        optimiser.step()

    return run


def test_training_step(device, compare):
    """Forward, losses, backward, SGD."""
    encoder, batch, side = ("hrnet_w18", 2, 128) if device == "cpu" else ("hrnet_w48", 4, 512)
    model = pp_matting(encoder).to(device)
    image = torch.rand(batch, 3, side, side, device=device)
    alpha = (torch.rand(batch, 1, side // 16, side // 16, device=device) * 3 - 1).clamp(0, 1)
    alpha = torch.nn.functional.interpolate(alpha, size=(side, side))
    given = (image, alpha, from_alpha(alpha, width=8), image.flip(0), image.flip(1))
    plain = training_step(model, given, mixed=False, compile=False)
    flops = measure.count_flops(plain)
    mixed = "bfloat16 autocast, channels_last"
    sides = {"eager float32": plain, mixed: training_step(model, given, mixed=True, compile=False)}
    precision = {mixed: "bfloat16"}
    if device == "cuda":  # compiling the step for a CPU takes longer than all that is measured here
        name = f"{mixed}, compiled"
        sides[name], precision[name] = training_step(model, given, mixed=True, compile=True), "bfloat16"
    compare(
        f"training step {encoder} {batch}×{side}²",
        sides,
        rounds=5 if device == "cpu" else 15,
        warm_up=1 if device == "cpu" else 3,
        flops=flops,
        precision=precision,
    )

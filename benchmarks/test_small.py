"""The small weights against U²-Net-P at its 320² in onnxruntime.

From the networks' input to their matte at 512²; and from a photo of 512² to its matte, as `mattekit predict` takes it:
shrunk to the short side that the weights name, and its matte brought back to 512² along the photo's edges. It is the
demo's astronaut: of noise the matte varies everywhere, and all of it would have to follow edges. Where there is a C++
compiler, the network is compiled for images of 512², too.

U²-Net-P's file is no part of the repository: ``U2NETP=u2netp.onnx pytest benchmarks/test_small.py`` names it.
"""

import os
import shutil
from functools import partial
from importlib.resources import files
from pathlib import Path

import measure
import pytest
import torch

from mattekit.inference import predict, prepare
from mattekit.inference.prepare import cpu_has_bfloat16
from mattekit.models import pp_matting
from mattekit.photos import read_image

TEACHER = Path(os.environ.get("U2NETP", "u2netp.onnx"))


@pytest.mark.parametrize("device", ["cpu"])
def test_small_weights(device, compare):
    onnxruntime = pytest.importorskip("onnxruntime")
    if not TEACHER.exists():
        pytest.skip(f"there is no {TEACHER}: name U²-Net-P's file by U2NETP")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(TEACHER), options, providers=["CPUExecutionProvider"])
    name, pixels = session.get_inputs()[0].name, torch.rand(1, 3, 320, 320).numpy()
    photo = read_image(files("mattekit") / "assets/astronaut.jpg")
    assert photo.shape == (512, 512, 3)
    image = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
    model = pp_matting(weights="small")
    sides = {"U²-Net-P at 320², onnxruntime": lambda: session.run(None, {name: pixels})}
    for precision in ("float32", "bfloat16") if cpu_has_bfloat16() else ("float32",):
        network = prepare(model, precision=precision)
        label = "small" if precision == "float32" else f"small in {precision}"
        sides[f"{label} at 512²"] = measure.no_grad(network, image)
        if shutil.which("g++"):
            compiled = prepare(model, precision=precision, compile=True)
            compiled.warm_up(image.shape)
            sides[f"{label}, compiled, at 512²"] = measure.no_grad(compiled, image)
        sides[f"{label}, a photo of 512²"] = partial(predict, network, photo)
    compare("a matte by small networks", sides)

"""A network by torch, as it is and prepared, and its ONNX file by onnxruntime and, where it is installed, OpenVINO."""

import measure
import pytest
import torch

from mattekit import export
from mattekit.inference import prepare
from mattekit.models import pp_matting
from oracles.networks import trained_looking

# network, side, rounds
CASES = [("small", 512, 7), ("small", 1024, 5), ("hrnet_w18", 512, 5), ("hrnet_w18", 1024, 3)]


@pytest.mark.parametrize("device", ["cpu"])
@pytest.mark.parametrize(("name", "side", "rounds"), CASES)
def test_export(name, side, rounds, device, compare, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = pp_matting(weights="small") if name == "small" else trained_looking(pp_matting(name))
    path = export.onnx(model, tmp_path / "a.onnx").path
    image = torch.rand(1, 3, side, side)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    prepared = prepare(model)
    prepared.warm_up(image.shape)
    sides = {
        "eager": measure.no_grad(model, image),
        "prepared": measure.no_grad(prepared, image),
        "onnxruntime": lambda: session.run(None, {"image": image.numpy()}),
    }
    if compiled := openvino(path, image):
        sides["OpenVINO"] = lambda: compiled(image.numpy())
    compare(f"export {name} 1×{side}²", sides, rounds=rounds, warm_up=1)


def openvino(path, image):
    """The file, compiled for images of this size in float32 as the others are; None where OpenVINO is not installed."""
    try:
        import openvino
    except ImportError:
        return None
    core = openvino.Core()
    network = core.read_model(path)
    network.reshape(list(image.shape))
    options = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    return core.compile_model(network, "CPU", options)

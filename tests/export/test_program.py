"""One export, which torch takes long for, looked at from all sides."""

import hashlib
import json
from dataclasses import replace

import pytest
import torch

from mattekit import export
from mattekit.export.metadata import metadata_of
from oracles.networks import lively, of_convolutions, small


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    model = lively(of_convolutions())
    model.preprocessing = replace(model.preprocessing, context_short_side=48)
    return model, export.program(model, tmp_path_factory.mktemp("export") / "a.pt2")


@torch.no_grad()
def test_equals_torch_at_sizes_not_traced(exported):
    model, result = exported
    assert result.outputs == ("alpha", "detail", "semantic_logits")
    assert result.difference < 1e-4
    assert result.bytes == result.path.stat().st_size
    files = {"mattekit.json": ""}
    program = torch.export.load(result.path, extra_files=files).module()
    assert json.loads(files["mattekit.json"]) == result.metadata
    for size in [(1, 3, 64, 160), (2, 3, 96, 64), (3, 3, 33, 47), (1, 3, 100, 131), (1, 3, 224, 96)]:
        image = torch.rand(size)
        torch.testing.assert_close(tuple(program(image))[1:], tuple(model(image))[1:], rtol=1e-4, atol=1e-4)
        alpha, expected = program(image)[0], model(image).alpha  # where classes tie, rounding decides
        assert ((alpha - expected).abs() > 1e-4).float().mean() < 0.01
    # torch 2.13 says "Guard failed: image.size()[3] >= 33", and others it in their own words
    with pytest.raises((RuntimeError, AssertionError), match="33"):
        program(torch.rand(1, 3, 64, 32))


@pytest.mark.parametrize(("dtype", "numbers"), [(torch.float32, torch.float32), (torch.bfloat16, torch.int16)])
def test_the_hash_is_that_of_the_bytes(dtype, numbers):
    """Of a type that NumPy lacks, too: the same bytes by way of another."""
    model, digest = small().to(dtype).eval(), hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        values = tensor.view(numbers) if tensor.dtype == dtype else tensor
        digest.update(values.numpy().tobytes())
    assert metadata_of(model)["weights_sha256"] == digest.hexdigest()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": "a.onnx"}, ValueError, "path must end in .pt2, got 'a.onnx'"),
        ({"tolerance": -1}, ValueError, "tolerance must be positive, got -1"),
        ({"model": torch.nn.ReLU()}, TypeError, "model must be a PPMatting, got ReLU"),
        ({"model": small()}, ValueError, "model must be in evaluation mode"),
    ],
)
def test_says_what_is_wrong(arguments, error, message, tmp_path):
    with pytest.raises(error, match=message):
        export.program(**{"model": small().eval(), "path": tmp_path / "a.pt2", **arguments})

"""One export, which torch takes long for, looked at from all sides."""

import json
from itertools import pairwise

import pytest
import torch
from torch import nn

from mattekit import export
from mattekit.blocks import HighResolutionDetailBranch, PyramidPooling, ReplaceFusion, SemanticContextBranch
from mattekit.models import PPMatting
from oracles.networks import lively, small


class Tiny(nn.Module):
    """An encoder of five convolutions: torch.export takes a minute for all of HRNet's."""

    channels, strides = (4, 5, 6), (2, 4, 32)

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise((3, 4, 5, 6, 6, 6)))

    def forward(self, image):
        features = [image]
        for layer in self.layers:
            features.append(layer(features[-1]).relu())
        return [features[1], features[2], features[5]]


def tiny():
    context = SemanticContextBranch(6, pooling=PyramidPooling(6, 6), widths=((6, 6), (6, 5), (5, 4), (4, 4), (4, 4)))
    detail = HighResolutionDetailBranch((4, 5), context.guidance_channels, guidance=(1, 4), widths=(8, 6, 5, 4))
    return PPMatting(Tiny(), context, detail, ReplaceFusion())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    model = lively(tiny())
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

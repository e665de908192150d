from pathlib import Path

import pytest
import torch

from mattekit import encoders
from mattekit.checkpoints.loading import compare
from mattekit.checkpoints.names import to_mattekit
from mattekit.checkpoints.reading import Checkpoint
from mattekit.models import pp_matting
from oracles import seeded


@pytest.mark.parametrize("encoder", ["hrnet_w18", "hrnet_w48"])
def test_paddleseg_names_cover_the_network(encoder):
    """Each of PaddleSeg's 1,764 entries lands on an entry of the same shape, and none is left."""
    given = {name: torch.zeros(()).expand(shape) for name, shape in seeded.paddle_shapes(encoder).items()}
    assert len(given) == 1764
    named = to_mattekit(given)
    assert named.kind.name == "PaddleSeg PP-Matting"
    with torch.device("meta"):
        whole = pp_matting(getattr(encoders, encoder)()).state_dict()  # an encoder passed stays whole
        made = pp_matting(encoder)
    whole = {name: tensor.shape for name, tensor in whole.items() if not name.endswith("num_batches_tracked")}
    assert {name: tensor.shape for name, tensor in named.tensors.items()} == whole
    report, _ = compare(made, Checkpoint(Path("published"), given, None, described=False))
    assert report.complete
    assert len(report.unread) == 35  # the last exchange, to the branches at 1/8 and 1/16
    assert set(report.unread) == whole.keys() - made.state_dict().keys()


def test_paddleseg_encoder_alone():
    whole = to_mattekit({name: torch.empty(0) for name in seeded.paddle_shapes()}).tensors
    backbone = [name for name in seeded.paddle_shapes() if name.startswith("backbone.")]
    named = to_mattekit({name.removeprefix("backbone."): torch.empty(0) for name in [*backbone, "fc.weight"]})
    assert named.kind.name == "PaddleSeg HRNet"
    assert named.head == ("fc.weight",)
    assert {f"encoder.{name}" for name in named.tensors} == {name for name in whole if name.startswith("encoder.")}


def test_small_v1_transition_names():
    """The small encoders narrow both branches at the first transition; Paddle numbers them all alike."""
    name = (
        "conv_layer1_1._conv.weight",
        "tr1.transition_tr1_layer_1._conv.weight",
        "tr2.transition_tr2_layer_3._conv.weight",
    )
    assert list(to_mattekit({entry: torch.empty(0) for entry in name}).tensors) == [
        "conv1.weight",
        "transition1.0.0.weight",
        "transition2.2.0.0.weight",
    ]


def test_unknown_names_stay():
    named = to_mattekit(
        {"scb.psps.0.0._conv.weight": torch.empty(0), "scb.extra.weight": torch.empty(0), "ema": torch.empty(0)}
    )
    assert list(named.tensors) == ["context.sides.0.conv.weight", "scb.extra.weight", "ema"]


@pytest.mark.parametrize(
    "wrap",
    [
        "_orig_mod.{}".format,
        "module._orig_mod.{}".format,
        "_orig_mod.module.{}".format,
        "model.{}".format,
        "model._orig_mod.{}".format,
        lambda name: name.replace("encoder.", "encoder._orig_mod."),
    ],
)
def test_what_wrappers_put_before_names_is_dropped(wrap):
    names = ["encoder.conv1.weight", "encoder.stage2.0.branches.0.0.conv1.weight", "detail.head.weight"]
    assert list(to_mattekit({wrap(name): torch.empty(0) for name in names}).tensors) == names


def test_a_prefix_that_not_all_share_stays():
    names = ["model.conv1.weight", "criterion.weight"]
    assert list(to_mattekit({name: torch.empty(0) for name in names}).tensors) == names


def test_what_averaging_adds_is_dropped():
    names = ["conv1.weight", "stage2.0.branches.0.0.conv1.weight"]
    averaged = {f"module.module.{name}": torch.empty(0) for name in names} | {"n_averaged": torch.tensor(3)}
    assert list(to_mattekit(averaged).tensors) == names


def test_data_parallel_prefix_is_dropped():
    names = ["module.conv1.weight", "module.stage2.0.branches.0.0.conv1.weight", "module.classifier.bias"]
    named = to_mattekit({name: torch.empty(0) for name in names})
    assert named.kind.name == "HRNet"
    assert list(named.tensors) == ["conv1.weight", "stage2.0.branches.0.0.conv1.weight"]
    assert named.head == ("classifier.bias",)

"""Batch norms that go into convolutions, against the same layers one after another."""

import pytest
import torch
from torch import nn

from mattekit.inference.folding import fold_batch_norms


def lively(network):
    """Random weights and statistics, so that nothing folds by chance."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.double().eval()


@pytest.mark.parametrize(
    ("layers", "folded"),
    [
        ([nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)], 1),
        ([nn.Conv2d(4, 6, 3), nn.ReLU(), nn.BatchNorm2d(6)], 0),
        ([nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1)], 1),
        ([nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1, bias=False, padding="valid")], 1),
        ([nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1, padding="same")], 1),
        ([nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1, padding=1)], 0),
        ([nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, padding="same")], 0),
        ([nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1, groups=2)], 0),
        ([nn.BatchNorm2d(4, track_running_stats=False), nn.Conv2d(4, 6, 1)], 0),
    ],
)
def test_a_sequence_gives_what_it_gave(layers, folded):
    network = lively(nn.Sequential(*layers))
    image = torch.rand(2, 4, 9, 7, dtype=torch.float64)
    expected = network(image)
    assert fold_batch_norms(network) == folded
    assert sum(isinstance(module, nn.Identity) for module in network.modules()) == folded
    torch.testing.assert_close(network(image), expected, rtol=1e-10, atol=1e-10)


class Tripled(nn.Identity):
    def forward(self, x):
        return 3 * x


class Reversed(nn.Sequential):
    def __iter__(self):
        return reversed(self._modules.values())


def hooked_identity():
    module = nn.Identity()
    module.register_forward_hook(lambda _module, _inputs, out: 3 * out)
    return module


RELU, CONV, BN = nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(4, 4, 3), RELU, nn.Conv2d(4, 4, 3), RELU, nn.BatchNorm2d(4)),
        nn.Sequential(CONV, nn.BatchNorm2d(4), CONV, nn.ReLU(), CONV),
        nn.Sequential(nn.Conv2d(4, 4, 3), BN, RELU, nn.Conv2d(4, 4, 1), RELU, BN),
        nn.Sequential(nn.Conv2d(4, 4, 3), Tripled(), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(4, 4, 3), hooked_identity(), nn.BatchNorm2d(4)),
        Reversed(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)),
    ],
    ids=["shared relu", "shared convolution", "shared batch norm", "subclass", "hook", "reversed"],
)
def test_what_stands_between_is_seen(network):
    network = lively(network)
    image = torch.rand(2, 4, 9, 7, dtype=torch.float64)
    expected = network(image)
    fold_batch_norms(network)
    torch.testing.assert_close(network(image), expected, rtol=1e-10, atol=1e-10)


class Declaring(nn.Module):
    """A module that says what follows what; one of the names is not there."""

    folds = (("conv", "bn"), ("conv", "gone"), ("gone", "bn"))

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


def test_a_declared_name_that_is_not_there_is_passed_over():
    network = lively(Declaring())
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    expected = network(image)
    assert fold_batch_norms(network) == 1
    torch.testing.assert_close(network(image), expected, rtol=1e-10, atol=1e-10)

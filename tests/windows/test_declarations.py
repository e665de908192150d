import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mattekit.blocks import ConvBNReLU, GatedConv, HighResolutionDetailBranch
from mattekit.encoders import HRNet
from mattekit.encoders.same_conv import SameConv2d
from mattekit.windows import chain, declared, halo, parallel


class Blur(nn.Module):
    halo = 2

    def forward(self, x):
        return self.blur(x)

    def blur(self, x):
        return F.avg_pool2d(x, 5, stride=1, padding=2)


class Renamed(Blur):
    """Nothing that runs is different."""

    def __init__(self):
        super().__init__()
        self.name = "blur"

    def extra_repr(self):
        return self.name


class OtherForward(Blur):
    def forward(self, x):
        return super().forward(super().forward(x))


class OtherMethod(Blur):
    def blur(self, x):
        return F.avg_pool2d(x, 7, stride=1, padding=3)


class DeclaredAnew(OtherForward):
    halo = 4


SHARED = nn.Conv2d(1, 1, 5, padding=2)


class Pooling(nn.Sequential):
    def __call__(self, x):
        return x * super().__call__(x.mean((2, 3), keepdim=True))


def test_shared_modules_count_as_often_as_they_run():
    assert halo(nn.Sequential(SHARED, nn.ReLU(), SHARED, nn.Sequential(SHARED, SHARED))) == 8


def test_a_sequential_that_is_called_in_another_way_is_not_known():
    assert halo(Pooling(nn.Conv2d(3, 3, 1), nn.Sigmoid())) is None


def test_how_far_same_padding_sees():
    """A result spans two pixels of the input, and sees as many to either side as half of its kernel."""
    for side in (3, 5):
        conv = SameConv2d(1, 1, side, 2, bias=False)
        nn.init.ones_(conv.weight)
        image = torch.zeros(1, 1, 32, 32, requires_grad=True)
        conv(image)[0, 0, 5, 5].backward()
        rows = image.grad[0, 0].sum(1).nonzero().flatten()
        assert halo(conv, stride=2) == max(10 - rows.min(), rows.max() - 11) == side // 2


def hooked(module, kind="register_forward_hook"):
    getattr(module, kind)(lambda *_: None)
    return module


def patched(module):
    module.forward = lambda x: x.flip(-1)
    return module


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (Blur(), 2),
        (Renamed(), 2),
        (OtherForward(), None),
        (OtherMethod(), None),
        (DeclaredAnew(), 4),
        (hooked(Blur()), None),
        (hooked(Blur(), "register_forward_pre_hook"), None),
        (hooked(Blur(), "register_full_backward_hook"), None),
        (hooked(Blur(), "register_full_backward_pre_hook"), None),
        (patched(Blur()), None),
        (nn.Sequential(Blur(), nn.Sequential(hooked(nn.Identity()))), None),
        (nn.Sequential(Blur(), nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()), 3),
        (nn.Sequential(), 0),
        (nn.AdaptiveAvgPool2d(1), None),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), None),
        (nn.Conv2d(1, 1, 3), None),
        (nn.Conv2d(1, 1, (3, 7), padding=(1, 3)), 3),
        (nn.Conv2d(1, 1, 3, padding="same", dilation=4), 4),
        (nn.Conv2d(1, 1, 2, padding="same"), None),
        (nn.Conv2d(1, 1, 3, padding=1, stride=2), None),
        (type("Own", (nn.Conv2d,), {})(1, 1, 1), None),  # of torch's classes nothing is inherited
        (nn.BatchNorm2d(1), None),
        (nn.BatchNorm2d(1).eval(), 0),
        (nn.BatchNorm2d(1, track_running_stats=False).eval(), None),
        (nn.Dropout2d(), None),
        (nn.Dropout2d().eval(), 0),
        (patched(nn.ReLU()), None),
    ],
)
def test_halo(module, expected):
    assert halo(module) == expected


def test_a_later_declaration_counts_beside_its_forward():
    class Anew(Blur):
        halo = 4

        def forward(self, x):
            return super().forward(super().forward(x))

    assert halo(Anew()) == 4
    assert halo(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 1, 3, padding=1))) is None


def test_a_compiled_module_is_not_known():
    module = Blur()
    module.compile(backend="eager")
    assert halo(module) is None


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "3"])
def test_bad_declarations(wrong):
    module = type("Wrong", (nn.Module,), {"halo": wrong, "forward": lambda self, x: x})()
    with pytest.raises(ValueError, match="halo of Wrong must be a whole number from 0 up, got "):
        halo(module)


@pytest.mark.parametrize("wrong", [0, 1.5, True, (2, 2)])
def test_bad_strides(wrong):
    module = type("Wrong", (nn.Module,), {"halo": 1, "stride": wrong, "forward": lambda self, x: x})()
    with pytest.raises(ValueError, match="stride of Wrong must be a whole number from 1 up, got "):
        halo(nn.Sequential(module, nn.ReLU()), stride=2)


def test_strides_multiply_what_comes_after():
    pair = nn.Sequential(
        nn.Conv2d(1, 1, 3, 2, padding=1), nn.Conv2d(1, 1, 3, 2, padding=1), nn.Conv2d(1, 1, 5, padding=2)
    )
    assert halo(pair, stride=4) == 1 + 2 * 1 + 4 * 2
    assert halo(pair) is None


@given(kernel=st.sampled_from([1, 3, 5]), dilation=st.integers(1, 3), repeats=st.integers(1, 3))
def test_halo_is_what_reaches_a_pixel(kernel, dilation, repeats):
    """The footprint of one pixel's gradient, which shows what it depends on."""
    units = [ConvBNReLU(1, 1, kernel, dilation=dilation) for _ in range(repeats)]
    module = nn.Sequential(*units).eval()
    with torch.no_grad():
        for unit in units:
            unit.conv.weight.fill_(1)
    x = torch.ones(1, 1, 41, 41, requires_grad=True)
    module(x)[0, 0, 20, 20].backward()
    assert x.grad is not None
    rows = x.grad[0, 0].any(1).nonzero().flatten()
    assert halo(module) == 20 - int(rows.min()) == int(rows.max()) - 20


def test_blocks_count_what_is_in_them():
    branch = HighResolutionDetailBranch((4, 4), (4,) * 5, widths=(4, 4, 4, 4)).eval()
    assert halo(branch) == 6
    branch.residuals[2] = nn.Conv2d(4, 4, 31, padding=15)
    assert halo(branch) == 2 + 2 + 15
    branch.gates["5"] = nn.Identity()
    assert halo(branch) is None


def test_a_gate_is_known_by_its_forward():
    class Doubled(GatedConv):
        def forward(self, detail, guidance):
            return 2 * super().forward(detail, guidance)

    class Blended(GatedConv):
        def blend(self, detail, projected):
            return detail

    branch = HighResolutionDetailBranch((4, 4), (4,) * 5, widths=(4, 4, 4, 4)).eval()
    for gate in (Doubled(4, 4), Blended(4, 4), hooked(GatedConv(4, 4))):
        branch.gates["5"] = gate.eval()
        assert halo(branch) is None
    branch.gates["5"] = GatedConv(4, 4)
    assert halo(branch) is None  # its batch norms are in training mode
    assert halo(branch.eval()) == 6


def test_chain_and_parallel():
    assert chain(1, nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1)) == 2
    assert parallel(1, nn.ReLU(), nn.Conv2d(1, 1, 5, padding=2)) == 2
    assert chain(1, None) is None
    assert parallel(1, nn.MaxPool2d(2)) is None


def test_folding_is_declared_by_the_forward_it_stands_beside():
    class Own(ConvBNReLU):
        def forward(self, x):
            return self.relu(self.bn(self.conv(x) + 1))

    assert declared(ConvBNReLU(1, 1), "folds") == (("conv", "bn", "relu"),)
    assert declared(Own(1, 1), "folds") is None
    assert declared(HRNet(), "folds") is not None
    assert declared(nn.ReLU(), "folds") is None

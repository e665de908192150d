import pytest
import torch

from mattekit.blocks import ConvBNReLU


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2])
def test_keeps_the_size(kernel_size, dilation):
    unit = ConvBNReLU(3, 4, kernel_size, dilation=dilation)
    assert unit(torch.rand(2, 3, 33, 47)).shape == (2, 4, 33, 47)


def test_is_convolution_normalisation_relu():
    unit = ConvBNReLU(3, 4, bias=True).eval()
    torch.nn.init.normal_(unit.bn.running_mean)
    x = torch.randn(2, 3, 8, 9)
    y = torch.nn.functional.conv2d(x, unit.conv.weight, unit.conv.bias, padding=1)
    expected = ((y - unit.bn.running_mean.view(1, -1, 1, 1)) / (1 + 1e-5) ** 0.5).clamp(min=0)
    torch.testing.assert_close(unit(x), expected)


def test_even_kernels_cannot_keep_the_size():
    with pytest.raises(ValueError, match="kernel_size must be odd, got 2"):
        ConvBNReLU(3, 4, 2)

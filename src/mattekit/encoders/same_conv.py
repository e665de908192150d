"""Convolutions of stride 2 that pad as TensorFlow's "same"."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SameConv2d(nn.Conv2d):
    """A convolution of stride 2 that pads as TensorFlow's "same": an even side gets one row less before than after."""

    affine = True

    @property
    def halo(self) -> int:
        """How far it sees, as `mattekit.windows.halo` defines it."""
        return self.kernel_size[0] // 2

    def forward(self, input: Tensor) -> Tensor:
        """Return (N, out_channels, H/2, W/2) of (N, in_channels, H, W), odd sides rounded up."""
        after = self.kernel_size[0] // 2
        rows, columns = (_rows_before(side) for side in input.shape[-2:])
        # where a size is one of many, as for exporters, it is not known which zeros; Dynamo calls every size an int
        is_known = isinstance(rows, int) and not torch.compiler.is_dynamo_compiling()
        if self.groups == self.in_channels and input.device.type == "cpu" and is_known:
            # a kernel that begins with zeros sees the same, without a padded copy of the image
            weight = F.pad(self.weight, (1 - columns, 0, 1 - rows, 0))
            return F.conv2d(input, weight, self.bias, self.stride, after, groups=self.groups)
        return super().forward(F.pad(input, (after - 1 + columns, after, after - 1 + rows, after)))


def _rows_before(side: int) -> int:
    """0 before an even side, 1 before an odd one, in a form from which torch.export sees that ceil(side / 2) remain."""
    return 2 * ((side + 1) // 2) - side

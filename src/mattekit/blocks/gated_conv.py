"""The gated convolutional layer (GCL), through which the context branch guides the detail branch."""

import torch
from torch import Tensor, nn

from mattekit._checks import check_nchw
from mattekit._init import he_normal_
from mattekit.windows import chain, resize_bilinear


class GatedConv(nn.Module):
    """Weigh a detail feature by a gate that sees both the feature and the context's guidance.

    Takes a detail feature d, (N, channels, H, W), and a guidance feature s, (N, guidance_channels, h, w) of any height
    and width, and returns a new detail feature, (N, channels, H, W):

    - s', the guidance projected to one channel and resized to d;
    - g = σ(C(d ‖ s')), one number in (0, 1) a pixel (equation 2); C is normalised 1×1 convolutions: BN, conv, ReLU,
      conv, BN;
    - d̂ = (d ⊙ g + d)ᵀ w (equation 3); w is a 1×1 convolution without bias.

    Args:
        channels: Channels of the detail feature.
        guidance_channels: Channels of the guidance feature.

    Source:
        Equations 2 and 3, Figure 3. The paper leaves C and the projection open; both are PaddleSeg's, which follows
        Gated-SCNN (Takikawa et al. 2019). No difference from PaddleSeg.

    Example:
        >>> import torch
        >>> from mattekit.blocks import GatedConv
        >>> gate = GatedConv(32, guidance_channels=256)
        >>> gate(torch.rand(2, 32, 64, 96), torch.rand(2, 256, 4, 6)).shape
        torch.Size([2, 32, 64, 96])
    """

    def __init__(self, channels: int, guidance_channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.guidance_channels = guidance_channels
        self.project = nn.Conv2d(guidance_channels, 1, 1)
        self.gate = nn.Sequential(
            nn.BatchNorm2d(channels + 1),
            nn.Conv2d(channels + 1, channels + 1, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels + 1, 1, 1),
            nn.BatchNorm2d(1),
            nn.Sigmoid(),
        )
        self.weight = nn.Conv2d(channels, channels, 1, bias=False)
        he_normal_(self)

    @property
    def halo(self) -> int | None:
        """How far it sees, as `mattekit.windows.halo` defines it, of both inputs brought to one size."""
        return chain(self.project, self.gate, self.weight)

    def forward(self, detail: Tensor, guidance: Tensor) -> Tensor:
        """Return the gated detail feature, (N, channels, H, W)."""
        check_nchw("detail", detail, self.channels)
        check_nchw("guidance", guidance, self.guidance_channels)
        return self.blend(detail, resize_bilinear(self.project(guidance), detail.shape[-2:]))

    def blend(self, detail: Tensor, projected: Tensor) -> Tensor:
        """Return the gated detail feature, given the guidance as ``project`` leaves it, at the detail's size."""
        gate = self.gate(torch.cat([detail, projected], dim=1))
        if detail.dtype == torch.bfloat16 and detail.device.type == "cpu":
            # torch spreads one channel over many by a slow loop: three times the time of writing them all
            gate = gate.expand_as(detail).contiguous(memory_format=torch.channels_last)
        return self.weight(torch.addcmul(detail, detail, gate))

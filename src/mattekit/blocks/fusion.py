"""Fusion of the semantic map and the detail map into the matte: the rows of the paper's Table 4, and a soft one."""

import torch
from torch import Tensor, nn

from mattekit._checks import check_nchw
from mattekit.windows import chain

FOREGROUND_CLASS, TRANSITION_CLASS, BACKGROUND_CLASS = range(3)


class ReplaceFusion(nn.Module):
    """Replace the transition region of the semantic map by the detail map ("Rep FM").

    Takes semantic logits, (N, 3, H, W), and the detail map in [0, 1], (N, 1, H, W), and returns alpha, (N, 1, H, W):
    the detail map where transition is the likeliest class, 1 where foreground is, 0 where background is. No gradient
    reaches the semantic logits, and none the detail map outside the transition.

    Source:
        Section 4.4 and Table 4. No difference from PaddleSeg.

    Example:
        >>> import torch
        >>> from mattekit.blocks import ReplaceFusion
        >>> logits = torch.tensor([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]).view(1, 3, 1, 3)
        >>> ReplaceFusion()(logits, torch.full((1, 1, 1, 3), 0.5)).flatten()
        tensor([1.0000, 0.5000, 0.0000])
    """

    halo = 0

    def forward(self, semantic_logits: Tensor, detail: Tensor) -> Tensor:
        """Return alpha, (N, 1, H, W)."""
        _check(semantic_logits, detail)
        classes = semantic_logits.argmax(dim=1, keepdim=True)
        return detail.where(classes == TRANSITION_CLASS, (classes == FOREGROUND_CLASS).to(detail.dtype))


class SoftFusion(nn.Module):
    """Mix what the classes stand for by their probabilities: 1 for foreground, the detail map for transition, 0 else.

    Takes semantic logits, (N, 3, H, W), and the detail map in [0, 1], (N, 1, H, W), and returns alpha, (N, 1, H, W):
    the expectation of what `ReplaceFusion` takes from the likeliest class alone. Where the semantic map is unsure, the
    matte is grey instead of having hard, ragged edges, and gradients reach the semantic logits, so that the matte's
    loss trains them too.

    Source:
        None in the paper: Rep FM with the softmax in place of the argmax. The small weights have it.

    Example:
        >>> import torch
        >>> from mattekit.blocks import SoftFusion
        >>> logits = torch.tensor([[9.0, 0.0, 3.0], [0.0, 9.0, 0.0], [0.0, 0.0, 3.0]]).view(1, 3, 1, 3)
        >>> SoftFusion()(logits, torch.full((1, 1, 1, 3), 0.5)).flatten()
        tensor([0.9998, 0.5000, 0.5000])
    """

    halo = 0

    def forward(self, semantic_logits: Tensor, detail: Tensor) -> Tensor:
        """Return alpha, (N, 1, H, W)."""
        _check(semantic_logits, detail)
        probabilities = semantic_logits.softmax(dim=1).to(detail.dtype)
        foreground, transition = probabilities[:, FOREGROUND_CLASS, None], probabilities[:, TRANSITION_CLASS, None]
        return torch.addcmul(foreground, transition, detail).clamp(max=1)  # the sum of rounded numbers may pass 1


class ConvFusion(nn.Module):
    """Fuse the semantic map and the detail map by a learned 1×1 convolution ("Conv FM").

    Takes semantic logits, (N, 3, H, W), and the detail map in [0, 1], (N, 1, H, W), and returns alpha, (N, 1, H, W),
    the sigmoid of the convolution of both maps. It starts near what it should learn: foreground pulls alpha to 1,
    background to 0, and in the transition alpha rises with the detail map.

    Source:
        Section 4.4 and Table 4. The paper leaves open how the result stays within [0, 1]; here by a sigmoid.

    Example:
        >>> import torch
        >>> from mattekit.blocks import ConvFusion
        >>> ConvFusion()(torch.rand(2, 3, 32, 40), torch.rand(2, 1, 32, 40)).shape
        torch.Size([2, 1, 32, 40])
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 1, 1)
        with torch.no_grad():  # detail, then foreground, transition and background
            self.conv.weight.copy_(torch.tensor([4.0, 4.0, 0.0, -4.0]).view(1, 4, 1, 1))
            assert self.conv.bias is not None
            self.conv.bias.fill_(-2.0)

    @property
    def halo(self) -> int | None:
        """How far it sees, as `mattekit.windows.halo` defines it."""
        return chain(self.conv)

    def forward(self, semantic_logits: Tensor, detail: Tensor) -> Tensor:
        """Return alpha, (N, 1, H, W)."""
        _check(semantic_logits, detail)
        semantic = semantic_logits.softmax(dim=1).to(detail.dtype)
        maps = torch.cat([detail, semantic], dim=1).to(self.conv.weight.dtype)
        return self.conv(maps).to(detail.dtype).sigmoid()


class DetailFusion(nn.Module):
    """Take the detail map alone as the matte ("w/o FM").

    Takes semantic logits, (N, 3, H, W), which it leaves aside, and the detail map, (N, 1, H, W), and returns the
    detail map.

    Source:
        Section 4.4 and Table 4.

    Example:
        >>> import torch
        >>> from mattekit.blocks import DetailFusion
        >>> detail = torch.rand(2, 1, 32, 40)
        >>> DetailFusion()(torch.rand(2, 3, 32, 40), detail).equal(detail)
        True
    """

    halo = 0

    def forward(self, semantic_logits: Tensor, detail: Tensor) -> Tensor:
        """Return the detail map."""
        _check(semantic_logits, detail)
        return detail


def _check(semantic_logits: Tensor, detail: Tensor) -> None:
    check_nchw("semantic_logits", semantic_logits, 3)
    check_nchw("detail", detail, 1)
    if semantic_logits.shape[-2:] != detail.shape[-2:]:
        raise ValueError(
            f"detail must have the height and width of semantic_logits, {tuple(semantic_logits.shape[-2:])}, "
            f"got {tuple(detail.shape[-2:])}"
        )

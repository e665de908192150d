"""Approximate fast foreground colour estimation (Forte 2021): blur, and correct by what the blurred colours leave over.

With F̂ the mean of foreground colours in a box, weighted by alpha, and B̂ that of background colours, weighted by 1 - α,

    F = F̂ + α r,  B = B̂ + (1 - α) r,  r = I - α F̂ - (1 - α) B̂.

A wide blur is followed by a narrow one, which starts from the F and the B̂ of the first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_BOXES = (90, 6)  # the sides of a first, wide blur, and of a second that starts from its colours
_PULL = 1e-5  # of the image on the means, for boxes in which there is nothing to average


def blur_fusion(image: Tensor, alpha: Tensor, foreground: Tensor, background: Tensor | None) -> None:
    """Write the colours of images (N, 3, H, W) with mattes (N, 1, H, W) into tensors like the image.

    Source: Forte 2021, "blur fusion ×2". Two differences, both where there is next to nothing to average: boxes end at
    the image's border instead of going on into its reflection, and an empty box gives the image instead of black.
    """
    image, alpha = _unit(image), _unit(alpha)
    rest = 1 - alpha
    front = back = residual = image
    for box in _BOXES:
        front = _weighted_mean(front, alpha, image, box)
        back = _weighted_mean(back, rest, image, box)
        residual = torch.addcmul(image, alpha, front, value=-1).addcmul_(rest, back, value=-1)
        front = front.addcmul_(alpha, residual).clamp_(0, 1)
    _write(foreground, torch.where(alpha == 1, image, front))
    if background is not None:
        back = back.addcmul_(rest, residual).clamp_(0, 1)
        _write(background, torch.where(alpha == 0, image, back))


def _unit(x: Tensor) -> Tensor:
    return x.float() / 255 if x.dtype == torch.uint8 else x.float()


def _write(target: Tensor, x: Tensor) -> None:
    target.copy_((x * 255).round_() if target.dtype == torch.uint8 else x)


def _weighted_mean(colours: Tensor, weight: Tensor, image: Tensor, box: int) -> Tensor:
    pull = _PULL * box**2
    return (box_sum(colours * weight, box) + pull * image).div_(box_sum(weight, box) + pull)


def box_sum(x: Tensor, side: int) -> Tensor:
    """Sum float32 (N, C, H, W) over the pixels from ``side // 2`` before each one on, ``side`` along both axes."""
    if x.device.type != "cpu":
        return cumulative_box_sum(x, side)
    import cv2  # late: who never blurs need not wait for it

    planes = x.flatten(0, 1).numpy()
    sums = [cv2.boxFilter(p, -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT) for p in planes]
    return torch.stack([torch.from_numpy(plane) for plane in sums]).view(x.shape)


def cumulative_box_sum(x: Tensor, side: int) -> Tensor:
    """`box_sum` of any device, as differences of cumulative sums; float64 holds those of large images."""
    result = x
    for _ in range(2):
        result = result.mT
        size = result.shape[-1]
        sums = F.pad(result.cumsum(-1, dtype=torch.float64), (1, 0))
        first = torch.arange(size, device=x.device) - side // 2
        result = (sums[..., (first + side).clamp(max=size)] - sums[..., first.clamp(min=0)]).float()
    return result

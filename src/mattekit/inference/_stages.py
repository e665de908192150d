"""PP-Matting's two branches, with the parts of high resolution computed in strips.

At full resolution one feature of 64 channels is 67 MB for an image of 512². Tensors of that size come fresh from the
system, page by page, each time, and pass through memory on the way to the next layer: on a CPU that costs more than
the arithmetic. A strip of rows stays in the cache. A strip is computed with a halo of rows that are then cut away, as
many as its convolutions can see, so that every row that is kept is what the whole image gives.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mattekit.blocks import GatedConv, HighResolutionDetailBranch, SemanticContextBranch
from mattekit.blocks.conv import resize_bilinear

STRIP_BYTES = 24 << 20
"""Size of the widest feature of a strip: large enough for the halo not to weigh, and below the 32 MiB from which on
glibc takes memory afresh from the system."""

Tensors = Sequence[Tensor]
Function = Callable[[Tensors, Sequence[int]], tuple[Tensor, ...]]


class StagedBranches(nn.Module):
    """Both branches of PP-Matting: features of the encoder in, semantic logits and logits of the detail map out.

    Args:
        context: The context branch.
        detail: The detail branch.
        in_strips: Compute the full resolution in strips, else whole.
    """

    def __init__(self, context: SemanticContextBranch, detail: HighResolutionDetailBranch, *, in_strips: bool) -> None:
        super().__init__()
        self.context = context
        self.detail = detail
        self.in_strips = in_strips

    def forward(self, features: Tensors, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return semantic logits and logits of the detail map at ``size`` = (H, W)."""
        last, guidance = self._coarse(features[-1], size)
        channels = max(sum(self.detail.in_channels), self.context.guidance_channels[-1])
        # six 3×3 convolutions one after another in the detail branch; the context's head has three
        logits, detail = self._run(self._fine, [*features[:2], last, *guidance], size, channels=channels, convs=6)
        return logits, detail

    def _coarse(self, x: Tensor, size: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """The context's last block before it is brought to full size, and each gate's guidance, one channel, there.

        A 1×1 convolution and an upsampling may change places, so the last guidance is projected at half size.
        """
        context, (height, width) = self.context, size
        pooled = context.pooling(x)
        out = context.blocks[0](torch.cat([pooled, x], dim=1))
        outputs = [out]
        for side, block, stride in zip(context.sides, context.blocks[1:], (16, 8, 4, 2), strict=True):
            out = resize_bilinear(out, [(height + stride - 1) // stride, (width + stride - 1) // stride])
            outputs[-1] = out
            inputs = [resize_bilinear(side(pooled), out.shape[-2:]), out]
            channels = sum(x.shape[1] for x in inputs)
            (out,) = self._run(_joined(block), inputs, out.shape[-2:], channels=channels, convs=3)
            outputs.append(out)
        gates = [(self._gate(block), outputs[block - 1]) for block in self.detail.guidance]
        return out, [resize_bilinear(gate.project(source), size) for gate, source in gates]

    def _fine(self, inputs: Tensors, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The context's head and the detail branch at ``size``."""
        *features, last = inputs[:3]
        projected = dict(zip(self.detail.guidance, inputs[3:], strict=True))
        logits = self.context.head(resize_bilinear(last, size))
        x = torch.cat([resize_bilinear(feature, size) for feature in features], dim=1)
        for index, (residual, projection) in enumerate(
            zip(self.detail.residuals, self.detail.projections, strict=True)
        ):
            x = projection(residual(x))
            for block in self.detail.guidance:
                if block // 2 == index:
                    gate = self._gate(block)
                    weight = gate.gate(torch.cat([x, projected[block]], dim=1))
                    x = gate.weight(torch.addcmul(x, x, weight))
        return logits, self.detail.head(x)

    def _run(
        self, function: Function, inputs: Tensors, size: Sequence[int], *, channels: int, convs: int
    ) -> tuple[Tensor, ...]:
        if not self.in_strips:
            return function(inputs, size)
        return run_in_strips(function, inputs, size, channels=channels, convs=convs)

    def _gate(self, block: int) -> GatedConv:
        gate = self.detail.gates[str(block)]
        assert isinstance(gate, GatedConv)
        return gate


def _joined(block: nn.Module) -> Function:
    return lambda inputs, size: (block(torch.cat(list(inputs), dim=1)),)


def run_in_strips(
    function: Function, inputs: Tensors, size: Sequence[int], *, channels: int, convs: int
) -> tuple[Tensor, ...]:
    """Call ``function`` on strips of rows of its result, and join what it returns.

    Args:
        function: Takes tensors and the size of the result, brings them there bilinearly, and convolves.
        inputs: What it takes, each (N, C, h, w).
        size: Height and width of the result.
        channels: Of the widest feature within.
        convs: 3×3 convolutions, one after another, within.

    Returns:
        What ``function(inputs, size)`` returns. That is what is called where the result is no higher than a strip, or
        its height no multiple of some input's.
    """
    height, width = size
    if any(height % x.shape[-2] for x in inputs):
        return function(inputs, size)
    step = max(height // x.shape[-2] for x in inputs)  # strips begin where a row of the coarsest input begins
    halo = _round_up(convs + step // 2, step)  # one row a convolution, and those between the last two coarse rows
    most = max(STRIP_BYTES // (channels * width * inputs[0].shape[0] * inputs[0].element_size()), 4 * halo, step)
    rows = _round_up(-(-height // -(-height // most)), step)
    if rows >= height:
        return function(inputs, size)
    strips = []
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, end = max(top - halo, 0), min(bottom + halo, height)
        cut = [x[:, :, first * x.shape[-2] // height : end * x.shape[-2] // height] for x in inputs]
        strips.append([part[:, :, top - first : bottom - first] for part in function(cut, (end - first, width))])
    return tuple(torch.cat(parts, dim=2) for parts in zip(*strips, strict=True))


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step

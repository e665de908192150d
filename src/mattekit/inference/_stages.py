"""PP-Matting's two branches, with the parts of high resolution computed in tiles."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mattekit.blocks import GatedConv, HighResolutionDetailBranch, SemanticContextBranch
from mattekit.blocks.conv import resize_bilinear
from mattekit.inference._tiles import Function, Tensors, run_in_tiles


class StagedBranches(nn.Module):
    """Both branches of PP-Matting: features of the encoder in, semantic logits and logits of the detail map out.

    Args:
        context: The context branch.
        detail: The detail branch.
        in_tiles: Compute the high resolutions in tiles, else whole.
    """

    def __init__(self, context: SemanticContextBranch, detail: HighResolutionDetailBranch, *, in_tiles: bool) -> None:
        super().__init__()
        self.context = context
        self.detail = detail
        self.in_tiles = in_tiles

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
        if not self.in_tiles:
            return function(inputs, size)
        return run_in_tiles(function, inputs, size, channels=channels, convs=convs)

    def _gate(self, block: int) -> GatedConv:
        gate = self.detail.gates[str(block)]
        assert isinstance(gate, GatedConv)
        return gate


def _joined(block: nn.Module) -> Function:
    return lambda inputs, size: (block(torch.cat(list(inputs), dim=1)),)

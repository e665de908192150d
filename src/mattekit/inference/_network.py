"""The copy of a PP-Matting that `prepare` works on, and what is done to it."""

import copy

import torch
from torch import Tensor, nn

from mattekit.blocks import HighResolutionDetailBranch, SemanticContextBranch
from mattekit.encoders.hrnet import HRNet, _Exchange
from mattekit.inference._fold import fold_batch_norms, has_hooks
from mattekit.inference._stages import StagedBranches
from mattekit.models import PPMatting, PPMattingOutput


class InferenceNetwork(nn.Module):
    """A folded copy of a PP-Matting, in one precision and channels_last.

    Normalisation, sigmoid, argmax and fusion stay in float32.

    Args:
        model: The network to copy.
        dtype: Precision of encoder, context and detail branch.
        in_tiles: Take images one by one, and compute high resolutions in tiles.

    Attributes:
        done: What was done to the copy, a line each.
    """

    def __init__(self, model: PPMatting, dtype: torch.dtype, *, in_tiles: bool) -> None:
        super().__init__()
        model = copy.deepcopy(model).requires_grad_(False).double()  # rounded once, when all is folded
        self.done: list[str] = []
        self.dtype = dtype
        self._fold(model)
        model.float()
        # Before all others, so that the first parameter is of float32, and so the photo that `predict` hands over.
        self.mean = nn.Parameter(model.mean, requires_grad=False)
        self.std = nn.Parameter(model.std, requires_grad=False)
        self.one_by_one = in_tiles
        self.encoder = model.encoder
        self.branches = self._stage(model, in_tiles)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] (torch's types lack it)
        self.encoder.to(dtype)
        self.branches.to(dtype)
        self.fusion = model.fusion
        self.eval()

    def forward(self, image: Tensor) -> PPMattingOutput:
        """Return what the model returns, of a floating-point image."""
        if not self.one_by_one or image.shape[0] == 1:
            return self._forward(image)
        return PPMattingOutput(*map(torch.cat, zip(*map(self._forward, image.split(1)), strict=True)))

    def _forward(self, image: Tensor) -> PPMattingOutput:
        x = ((image.float() - self.mean) / self.std).to(self.dtype, memory_format=torch.channels_last)
        semantic_logits, detail_logits = self.branches(self.encoder(x), image.shape[-2:])
        semantic_logits, detail = semantic_logits.float(), detail_logits.float().sigmoid()
        return PPMattingOutput(self.fusion(semantic_logits, detail), detail, semantic_logits)

    def _fold(self, model: PPMatting) -> None:
        folded = fold_batch_norms(model)
        left = [name for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        kept = f"; {len(left)} stay, {left[0]} the first" if left else ""
        self.done.append(f"{folded} batch norms folded into convolutions{kept}")
        encoder = model.encoder
        if type(encoder) is HRNet and type(encoder.stage4[-1]) is _Exchange:
            encoder.stage4[-1] = _EndsOfExchange(encoder.stage4[-1])
            self.done.append("HRNet's last exchange reaches only the branches that are read, at 1/4 and 1/32")

    def _stage(self, model: PPMatting, in_tiles: bool) -> nn.Module:
        context, detail = model.context, model.detail
        known = type(context) is SemanticContextBranch and type(detail) is HighResolutionDetailBranch
        watched = any(map(has_hooks, [context, *context.children(), detail, *detail.children()]))
        if not known or watched:
            self.done.append("the branches run as they are, being of another type or carrying hooks")
            return _PlainBranches(context, detail)
        assert isinstance(context, SemanticContextBranch)
        assert isinstance(detail, HighResolutionDetailBranch)
        if in_tiles:
            self.done.append("high resolutions computed in tiles that fit the cache, images one by one")
        return StagedBranches(context, detail, in_tiles=in_tiles)


class _PlainBranches(nn.Module):
    """Branches of any type, run as `PPMatting` runs them."""

    def __init__(self, context: nn.Module, detail: nn.Module) -> None:
        super().__init__()
        self.context = context
        self.detail = detail

    def forward(self, features: list[Tensor], size: torch.Size) -> tuple[Tensor, Tensor]:
        semantic_logits, guidance = self.context(features[-1], size)
        return semantic_logits, self.detail(features[:2], guidance, size)


class _EndsOfExchange(nn.Module):
    """HRNet's last exchange without the branches between the first and the last, which PP-Matting does not read."""

    def __init__(self, exchange: _Exchange) -> None:
        super().__init__()
        self.exchange = exchange

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        exchange = self.exchange
        branches = [blocks(x) for blocks, x in zip(exchange.branches, branches, strict=True)]
        return [exchange.relu(exchange._receive(target, branches)) for target in (0, len(branches) - 1)]

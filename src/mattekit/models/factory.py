"""The factory: names in, a PP-Matting out."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import nn

from mattekit import encoders
from mattekit._checks import check_choice
from mattekit.blocks import (
    ConvFusion,
    DetailFusion,
    HighResolutionDetailBranch,
    ReplaceFusion,
    SemanticContextBranch,
)
from mattekit.checkpoints.loading import load_checkpoint, open_checkpoint
from mattekit.checkpoints.reading import Checkpoint, read_checkpoint
from mattekit.encoders import Encoder, HRNet
from mattekit.models.pp_matting import PPMatting, check_encoder

_ENCODERS: Mapping[str, Callable[..., HRNet]] = MappingProxyType(
    {name: getattr(encoders, name) for name in encoders.__all__ if name.startswith("hrnet_")}
)
_FUSIONS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {"replace": ReplaceFusion, "conv": ConvFusion, "detail": DetailFusion}
)


def pp_matting(
    encoder: str | Encoder | None = None,
    *,
    guidance: Sequence[int] | None = None,
    fusion: Literal["replace", "conv", "detail"] | None = None,
    weights: str | os.PathLike[str] | None = None,
    encoder_weights: str | os.PathLike[str] | None = None,
) -> PPMatting:
    """Make a PP-Matting.

    Args:
        encoder: A name from `mattekit.encoders`, such as ``"hrnet_w48"``, or an `Encoder`. None: the encoder that
            ``weights`` fit; without weights ``"hrnet_w48"``, the paper's.
        guidance: Which context blocks, 1 to 5, guide the detail branch: a row of the paper's Table 3. None: what a
            file written by `mattekit.checkpoints.save` says, else the paper's ``(1, 3, 5)``.
        fusion: A row of the paper's Table 4: ``"replace"`` (Rep FM), ``"conv"`` (Conv FM) or ``"detail"`` (w/o FM).
            None: what a saved file says, else ``"replace"``.
        weights: Weights of the whole network: a name in `mattekit.checkpoints.published`, which is downloaded on
            first use, or a file that `mattekit.checkpoints.load` reads.
        encoder_weights: A file with weights of the encoder alone. A named encoder pads as they were trained:
            symmetrically for the official HRNet's and timm's, as "same" for PaddleSeg's.

    Returns:
        The network, in training mode, as torch makes modules; call ``.eval()`` to predict. A named encoder gives the
        image mean and std 0.5; an `Encoder` with attributes ``mean`` and ``std``, such as timm's, its own.

    Raises:
        ValueError: If a name is unknown, ``guidance`` is no increasing choice of 1 to 5, an argument contradicts a
            saved file, or both kinds of weights are given.
        RuntimeError: If a file cannot be read or does not fit, or a download fails.

    Source:
        Figure 2; Tables 3 and 4. Without weights, convolutions start as He et al. (2015) and batch norms at identity.

    Example:
        >>> import torch
        >>> from mattekit.models import pp_matting
        >>> model = pp_matting("hrnet_w18_small_v1").eval()
        >>> with torch.inference_mode():
        ...     model(torch.rand(1, 3, 64, 96)).alpha.shape
        torch.Size([1, 1, 64, 96])
    """
    if weights is not None and encoder_weights is not None:
        raise ValueError("encoder_weights must be None where weights are given: they hold the encoder too")
    if weights is not None:
        return _from_weights(encoder, guidance, fusion, weights)
    checkpoint = None if encoder_weights is None else read_checkpoint(encoder_weights)
    padding = None if checkpoint is None else checkpoint.padding
    guidance = (1, 3, 5) if guidance is None else guidance
    model = _build(encoder or "hrnet_w48", guidance, fusion or "replace", padding)
    if checkpoint is not None:
        load_checkpoint(model.encoder, checkpoint, name=str(encoder_weights), strict=True)
    return model


def _from_weights(
    encoder: str | Encoder | None,
    guidance: Sequence[int] | None,
    fusion: str | None,
    weights: str | os.PathLike[str],
) -> PPMatting:
    checkpoint = open_checkpoint(weights)
    recipe = json.loads(checkpoint.metadata.get("recipe", "{}"))
    named = _agree("encoder", encoder, recipe.get("encoder"), "") if isinstance(encoder, str | None) else encoder
    model = _build(
        named or _fitting_encoder(checkpoint, weights),
        _agree("guidance", guidance, recipe.get("guidance"), (1, 3, 5)),
        _agree("fusion", fusion, recipe.get("fusion"), "replace"),
        checkpoint.padding,
    )
    load_checkpoint(model, checkpoint, name=str(weights), strict=True)
    return model


def _build(encoder: str | Encoder, guidance: Sequence[int], fusion: str, padding: str | None) -> PPMatting:
    check_choice("fusion", fusion, _FUSIONS)
    name = encoder if isinstance(encoder, str) else None
    if isinstance(encoder, str):
        if encoder not in _ENCODERS:
            names = ", ".join(map(repr, _ENCODERS))
            raise ValueError(f"encoder must be one of {names}, got {encoder!r}; timm's are modules: pass a TimmEncoder")
        encoder = _ENCODERS[encoder](padding=padding or "same")
    check_encoder(encoder)
    context = SemanticContextBranch(encoder.channels[-1])
    detail = HighResolutionDetailBranch(encoder.channels[:2], context.guidance_channels, guidance=guidance)
    half = (0.5, 0.5, 0.5)
    mean, std = getattr(encoder, "mean", half), getattr(encoder, "std", half)
    model = PPMatting(encoder, context, detail, _FUSIONS[fusion](), mean=mean, std=std)
    if name is not None:
        model.recipe = {"encoder": name, "guidance": list(detail.guidance), "fusion": fusion}
    return model


def _agree(name: str, given: Any, recorded: Any, default: Any) -> Any:
    """The argument, or what the file records, or the default; an argument must not contradict the file."""
    recorded = tuple(recorded) if isinstance(recorded, list) else recorded
    given = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else given
    if None not in (given, recorded) and given != recorded:
        raise ValueError(f"{name} must be {recorded!r}, as the weights were saved with, or left out, got {given!r}")
    return next(value for value in (given, recorded, default) if value is not None)


def _fitting_encoder(checkpoint: Checkpoint, name: str | os.PathLike[str]) -> str:
    """The name of the family's encoder whose entries, shapes included, a checkpoint of a whole network has."""
    given = {entry: tensor.shape for entry, tensor in checkpoint.named.tensors.items()}
    for encoder, make in _ENCODERS.items():
        with torch.device("meta"):
            parameters = make().named_parameters()
        if all(given.get(f"encoder.{entry}") == parameter.shape for entry, parameter in parameters):
            return encoder
    raise RuntimeError(f"{name} holds the weights of no encoder in {', '.join(_ENCODERS)}: name or pass the encoder")

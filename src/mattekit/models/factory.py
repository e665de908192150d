"""The factory: names in, a PP-Matting out."""

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from torch import Tensor, nn

from mattekit import encoders
from mattekit._checks import check_choice, check_guidance
from mattekit.blocks import (
    ConvFusion,
    DetailFusion,
    HighResolutionDetailBranch,
    ReplaceFusion,
    SemanticContextBranch,
    SoftFusion,
)
from mattekit.checkpoints.description import Outline, contradictions, declared
from mattekit.checkpoints.loading import compare, demand_complete, load_checkpoint, open_checkpoint
from mattekit.checkpoints.reading import Checkpoint, read_checkpoint
from mattekit.checkpoints.wording import plain, shown
from mattekit.encoders import Encoder, HRNet
from mattekit.models import description as descriptions
from mattekit.models.pp_matting import PPMatting, check_encoder

_ENCODERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {name: make for name in encoders.__all__ if inspect.isfunction(make := getattr(encoders, name))}
)
_FUSIONS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {"replace": ReplaceFusion, "conv": ConvFusion, "detail": DetailFusion, "soft": SoftFusion}
)

_MOST_PACKED, _ROOM = 32, 1 << 26


def pp_matting(
    encoder: str | Encoder | None = None,
    *,
    guidance: Sequence[int] | None = None,
    fusion: Literal["replace", "conv", "detail", "soft"] | None = None,
    weights: str | os.PathLike[str] | None = None,
    encoder_weights: str | os.PathLike[str] | None = None,
) -> PPMatting:
    """Make a PP-Matting.

    Args:
        encoder: A name from `mattekit.encoders`, such as ``"hrnet_w48"``, or an `Encoder`. None: the encoder that
            ``weights`` fit; without weights ``"hrnet_w48"``, the paper's.
        guidance: Which context blocks, 1 to 5, guide the detail branch: a row of the paper's Table 3. None: what a
            file written by `mattekit.checkpoints.save` says, else the paper's ``(1, 3, 5)``.
        fusion: A row of the paper's Table 4: ``"replace"`` (Rep FM), ``"conv"`` (Conv FM) or ``"detail"`` (w/o FM); or
            ``"soft"``, Rep FM by probabilities. None: what a saved file says, else ``"replace"``.
        weights: Weights of the whole network: the name of weights that mattekit comes with or of those in
            `mattekit.checkpoints.published`, which are downloaded on first use, or a file that
            `mattekit.checkpoints.load` reads.
        encoder_weights: A file with weights of the encoder alone: of an HRNet, the official, timm's or PaddleSeg's, or
            of an EfficientNet-Lite under the names of efficientnet_lite_pytorch. A named encoder pads as they were
            trained: symmetrically for the official HRNet's and timm's, as "same" for PaddleSeg's.

    Returns:
        The network. With ``weights`` it is in evaluation mode: call ``.train()`` before you train it further. Without,
        it is in training mode, as torch makes modules: call ``.eval()`` to predict. A named encoder gives the image
        mean and std 0.5; an `Encoder` with attributes ``mean`` and ``std``, such as timm's, its own.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If the name of an encoder or a fusion is unknown, ``guidance`` is no increasing choice of 1 to 5, an
            argument contradicts a saved file, or both kinds of weights are given.
        FileNotFoundError: If ``weights`` is neither a known name nor a file, or ``encoder_weights`` is no file.
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
    if guidance is not None:
        check_guidance(guidance)
    if fusion is not None:
        check_choice("fusion", fusion, _FUSIONS)
    if isinstance(encoder, str):
        check_encoder_name(encoder)
    elif encoder is not None:
        check_encoder(encoder)
    if weights is not None:
        return _from_weights(encoder, guidance, fusion, open_checkpoint(weights)).eval()
    if encoder_weights is not None:
        encoder = _encoder_from_weights(encoder, read_checkpoint(encoder_weights))
    made = _narrowed(_ENCODERS[encoder or "hrnet_w48"]()) if isinstance(encoder, str | None) else encoder
    return _assemble(made, (1, 3, 5) if guidance is None else guidance, fusion or "replace")


def check_encoder_name(name: str) -> None:
    """Check that it is the name of an encoder."""
    if name not in _ENCODERS:
        names = ", ".join(map(repr, _ENCODERS))
        raise ValueError(f"encoder must be one of {names}, got {name!r}; timm's are modules: pass a TimmEncoder")


def _narrowed(encoder: Any) -> Any:
    """An encoder made here, without what only features need that PP-Matting does not read."""
    if isinstance(encoder, HRNet):
        encoder.keep((0, 1, 4))
    return encoder


def _assemble(encoder: Encoder, guidance: Sequence[int], fusion: str) -> PPMatting:
    context = SemanticContextBranch(encoder.channels[-1])
    detail = HighResolutionDetailBranch(encoder.channels[:2], context.guidance_channels, guidance=guidance)
    return PPMatting(encoder, context, detail, _FUSIONS[fusion]())


def _from_weights(
    encoder: str | Encoder | None, guidance: Sequence[int] | None, fusion: str | None, checkpoint: Checkpoint
) -> PPMatting:
    said = _arguments(checkpoint.description)
    _check_agreement("encoder", encoder, said.get("encoder"), checkpoint)
    _check_agreement("guidance", guidance, _arguments(said.get("detail")).get("guidance"), checkpoint)
    _check_agreement("fusion", fusion, said.get("fusion"), checkpoint)
    if checkpoint.described:
        given = {} if isinstance(encoder, str | None) else {"encoder": encoder}
        description = {**(checkpoint.description or {}), "arguments": {**said, **given}}
        model = _loaded(partial(_made, description, checkpoint), checkpoint)
    else:
        model = _loaded(partial(_composed, encoder, guidance, fusion, checkpoint), checkpoint)
    if not isinstance(model, PPMatting):
        raise RuntimeError(
            f"{checkpoint.path} holds a {type(model).__name__}, not a PPMatting: pass it as encoder_weights"
        )
    return model


def _composed(
    encoder: str | Encoder | None, guidance: Sequence[int] | None, fusion: str | None, checkpoint: Checkpoint
) -> PPMatting:
    """The network that a file without a description fits, as far as the arguments leave it open."""
    named, said = checkpoint.named(), _arguments(checkpoint.description)
    if checkpoint.description is not None and "fusion" not in said and None in (encoder, fusion):
        raise RuntimeError(
            f"{checkpoint.path} holds a network put together by hand, which mattekit 0.1.0.dev0 did not describe: give "
            "its encoder and fusion, or put it together as it was and load the file into it"
        )
    if fusion is None:
        learned = "conv" if "fusion.conv.weight" in named.tensors else "replace"
        by_class = {part.__name__: name for name, part in _FUSIONS.items()}
        fusion = by_class[said["fusion"]["class"]] if "fusion" in said else learned
    if guidance is None:
        gates = (re.match(r"detail\.gates\.([1-5])\.", name) for name in named.tensors)
        guidance = sorted({int(gate[1]) for gate in gates if gate})
    if not isinstance(encoder, str | None):
        return _assemble(encoder, guidance, fusion)
    tensors = {name.removeprefix("encoder."): x for name, x in named.tensors.items() if name.startswith("encoder.")}
    known = _arguments(checkpoint.known(named.kind)).get("encoder")
    return _assemble(_narrowed(_fitting_encoder(encoder, tensors, known, checkpoint)), guidance, fusion)


def _encoder_from_weights(encoder: str | Encoder | None, checkpoint: Checkpoint) -> Any:
    if isinstance(encoder, nn.Module):
        load_checkpoint(encoder, checkpoint)
        return encoder
    if checkpoint.described:
        _check_agreement("encoder", encoder, checkpoint.description, checkpoint)
        return _loaded(partial(_made, checkpoint.description or {}, checkpoint), checkpoint)
    named = checkpoint.named()
    known = checkpoint.known(named.kind)
    name = encoder if isinstance(encoder, str) else None
    return _narrowed(_loaded(partial(_fitting_encoder, name, named.tensors, known, checkpoint), checkpoint))


def _loaded(make_model: Callable[[], Any], checkpoint: Checkpoint) -> Any:
    """A model with the weights of a checkpoint, which must fit it: found out by names and shapes before it is made."""
    with Outline():
        outline = make_model()
    report, _ = compare(outline, checkpoint)
    demand_complete(report, outline, checkpoint)
    # a file can show one tensor as many, or as a larger one; packing and half precision save less than this
    size, file_size = sum(x.nbytes for x in outline.state_dict().values()), checkpoint.path.stat().st_size
    if size > _MOST_PACKED * file_size + _ROOM:
        raise RuntimeError(f"{checkpoint.path} has {file_size} bytes, and the network of its weights {size}")
    model = make_model()
    load_checkpoint(model, checkpoint)
    return model


def _made(description: Mapping[str, Any], checkpoint: Checkpoint) -> Any:
    try:
        return descriptions.make(description)
    except ValueError as error:
        raise RuntimeError(f"{checkpoint.path}: {error}") from error


def _fitting_encoder(
    name: str | None, tensors: Mapping[str, Tensor], known: Mapping[str, Any] | None, checkpoint: Checkpoint
) -> Any:
    """The encoder of a name, or else the one that tensors are of, with the settings that its weights need."""
    settings = _arguments(known)
    try:
        if name is None and known is not None and known.get("class") == "EfficientNetLite":
            name = _lite_name(tensors)
        if name is None:
            return HRNet(**_hrnet_sizes(tensors), **settings)
        takes = inspect.signature(_ENCODERS[name]).parameters
        return _ENCODERS[name](**{key: value for key, value in settings.items() if key in takes})
    except (IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise RuntimeError(f"{checkpoint.path} does not tell its encoder, name or pass it: {plain(error)}") from error


def _lite_name(tensors: Mapping[str, Tensor]) -> str:
    """The EfficientNet-Lite that has as many blocks, and ends as wide, as tensors do."""
    blocks = {
        int(match[1]): x for name, x in tensors.items() if (match := re.match(r"blocks\.(\d{1,4})\..*project\.", name))
    }
    for name in (name for name in _ENCODERS if name.startswith("efficientnet_lite")):
        with Outline():
            encoder = _ENCODERS[name]()
        if len(encoder.blocks) == len(blocks) and encoder.channels[-1] == blocks[max(blocks)].shape[0]:
            return name
    raise ValueError(f"it is no EfficientNet-Lite of {len(blocks)} blocks")


def _hrnet_sizes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The sizes of the HRNet that tensors are of."""

    def count(pattern: str) -> int:
        return len({match[1] for name in tensors if (match := re.match(pattern, name))})

    return {
        "widths": [tensors[f"stage4.0.branches.{branch}.0.conv1.weight"].shape[0] for branch in range(4)],
        "modules": [1, *(count(rf"stage{stage}\.(\d+)\.") for stage in (2, 3, 4))],
        "blocks": [
            count(r"layer1\.(\d+)\."),
            *(count(rf"stage{stage}\.0\.branches\.0\.(\d+)\.") for stage in (2, 3, 4)),
        ],
        "stage1_width": tensors["layer1.0.conv1.weight"].shape[0],
    }


def _check_agreement(name: str, given: Any, said: Any, checkpoint: Checkpoint) -> None:
    """Raise ValueError if an argument contradicts what a file says."""
    if given is None or said is None:
        return
    if name == "guidance":
        found = [] if list(given) == said else [("", said, given)]
    elif name == "fusion":
        found = contradictions(said, {"class": _FUSIONS[given].__name__})
    elif isinstance(given, str):
        with Outline():
            own = declared(_ENCODERS[given]())
        open_settings = inspect.signature(_ENCODERS[given]).parameters
        fixed = {key: value for key, value in own["arguments"].items() if key not in open_settings}
        found = contradictions(said, {**own, "arguments": fixed})
    else:
        found = contradictions(said, declared(given))
    for place, there, here in found:
        what = f"{name}'s {place}" if place else name
        raise ValueError(
            f"{what} must be {shown(there)}, as {checkpoint.path} was saved with, or {name} left out, got "
            + (f"{shown(given)} with {shown(here)}" if place else shown(given))
        )


def _arguments(description: Any) -> Mapping[str, Any]:
    arguments = description.get("arguments") if isinstance(description, Mapping) else None
    return arguments if isinstance(arguments, Mapping) else {}

"""Loading checkpoints into models and saving them."""

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from mattekit import __version__
from mattekit._checks import check_module
from mattekit.checkpoints.description import contradictions, declared, describe, unwrap
from mattekit.checkpoints.names import NamedTensors, without_wrappers
from mattekit.checkpoints.reading import Checkpoint, read_checkpoint
from mattekit.checkpoints.wording import lines, plain, shown
from mattekit.checkpoints.zoo import names_of_weights, read_named
from mattekit.photos import write_atomically


@dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint's entries, all sorted.

    Attributes:
        kind: Whose names the file used, such as ``"mattekit"`` or ``"HRNet"``.
        loaded: Names, in the model, that were loaded.
        missing: Names in the model that the file lacks.
        unexpected: Names in the file that the model lacks.
        mismatched: For each entry of another shape or sort, a line that says so.
        head: Names, in the file, of the classification head that was left out of an encoder's weights.
        unread: Names in the file of what the model leaves out on purpose, since nothing reads it.
    """

    kind: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    head: tuple[str, ...]
    unread: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether all of the model's entries were loaded, and all of the file's used but what the model leaves out."""
        return not (self.missing or self.unexpected or self.mismatched)


def load(
    model: nn.Module, path_or_name: str | os.PathLike[str], *, strict: bool = True, key: str | None = None
) -> LoadReport:
    """Load a checkpoint into a PP-Matting or an encoder.

    The file is read by its content: .safetensors, .pth (``weights_only``), .pdparams, or a tar archive of one
    .pdparams, as PaddleSeg publishes encoders. Its names may be mattekit's, the official HRNet's (timm's are the same)
    or PaddleSeg's. The names of a file that `save` wrote are taken as they are, and so are those of any file that has
    all of the model's. In other files what torch.compile, DataParallel or Lightning's ``model.`` put before the names
    is dropped. The head of a classification network is left out and reported.

    Args:
        model: What to load into: a whole `mattekit.models.PPMatting`, or an encoder alone, also within torch.compile,
            DataParallel or DistributedDataParallel.
        path_or_name: A file, or the name of weights: of those that mattekit comes with, or of those in `published`,
            which are downloaded on first use.
        strict: Refuse a file that does not fit in full. If False, what fits is loaded and the rest is reported.
        key: Which of several state dicts in a file, such as ``"ema"``.

    Returns:
        A `LoadReport`.

    Raises:
        TypeError: If ``path_or_name`` is something else, such as a state dict.
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file cannot be read, or nothing in it fits; or, if ``strict``, when entries are missing,
            unexpected or of another shape: all are counted, 20 of each named, and the model is left as it was.

    Warns:
        UserWarning: If the model has other settings than the weights were trained with, such as the encoder's padding.

    Example:
        >>> import tempfile
        >>> from mattekit import checkpoints
        >>> from mattekit.encoders import hrnet_w18_small_v1
        >>> encoder = hrnet_w18_small_v1()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoints.save(encoder, f"{folder}/encoder.safetensors")
        ...     report = checkpoints.load(encoder, f"{folder}/encoder.safetensors")
        >>> report.complete
        True
    """
    return load_checkpoint(model, open_checkpoint(path_or_name, key=key), strict=strict)


def open_checkpoint(path_or_name: str | os.PathLike[str], *, key: str | None = None) -> Checkpoint:
    """Read a file, or weights by name, downloaded if need be."""
    check_weights(path_or_name)
    if isinstance(path_or_name, str) and path_or_name in names_of_weights():
        return read_named(path_or_name, key=key)
    return read_checkpoint(path_or_name, key=key)


def check_weights(path_or_name: str | os.PathLike[str]) -> None:
    """Check that weights are a name or a file that exists, and read nothing."""
    if not isinstance(path_or_name, str | os.PathLike):
        raise TypeError(
            f"weights must be a file or one of the names {', '.join(names_of_weights())}, got "
            f"{type(path_or_name).__name__}; a state dict goes into model.load_state_dict"
        )
    if path_or_name in names_of_weights() or Path(path_or_name).exists():
        return
    if str(path_or_name) in names_of_weights():
        raise FileNotFoundError(f"{path_or_name}, given as a path, is no file: to name weights, pass a str")
    raise FileNotFoundError(f"{path_or_name} is neither a file nor one of {', '.join(names_of_weights())}")


def load_checkpoint(model: nn.Module, checkpoint: Checkpoint, *, strict: bool = True) -> LoadReport:
    """Load what `read_checkpoint` returned."""
    network = unwrap(model)
    report, named = compare(network, checkpoint)
    if strict:
        demand_complete(report, network, checkpoint)
    if not report.loaded:
        raise RuntimeError(f"{checkpoint.path} ({report.kind} weights) has nothing that fits {type(network).__name__}")
    known = checkpoint.known(named.kind)
    _warn_of_other_settings(network, known, checkpoint.path, report.kind)
    preprocessing = _preprocessing(network, known, checkpoint.path)
    names = _names(network)
    network.load_state_dict({names[name]: named.tensors[name] for name in report.loaded}, strict=False)
    if preprocessing is not None:
        network.preprocessing = preprocessing
    return report


def compare(network: nn.Module, checkpoint: Checkpoint) -> tuple[LoadReport, NamedTensors]:
    """Report which entries of a checkpoint fit a network, by names and shapes, and load nothing."""
    state = network.state_dict()
    own = {name: state[entry] for name, entry in _names(network).items()}
    required = {name for name in own if not name.endswith(_COUNTER)}
    named = checkpoint.named(required)
    given = named.tensors
    if any(name.endswith(_COUNTER) for name in given):  # Paddle has no such entries, old .pth files neither
        required = own.keys()
    misfits = {name: reason for name in own.keys() & given.keys() if (reason := _misfit(own[name], given[name]))}
    extra, left_out = given.keys() - own.keys(), _left_out(network)
    report = LoadReport(
        kind=named.kind.name,
        loaded=tuple(sorted(own.keys() & given.keys() - misfits.keys())),
        missing=tuple(sorted(required - given.keys())),
        unexpected=tuple(sorted(name for name in extra if not name.startswith(left_out))),
        mismatched=tuple(f"{name}: {misfits[name]}" for name in sorted(misfits)),
        head=named.head,
        unread=tuple(sorted(name for name in extra if name.startswith(left_out))),
    )
    return report, named


def demand_complete(report: LoadReport, network: nn.Module, checkpoint: Checkpoint) -> None:
    """Raise RuntimeError if a checkpoint does not fit a network in full, and say where it does not."""
    if report.complete:
        return
    message = [f"{checkpoint.path} ({report.kind} weights) does not fit {type(network).__name__}"]
    if any(f"encoder.{entry}" in report.missing for entry in report.unexpected):
        message.append("it holds an encoder: load it into the network's `encoder`")
    elif any(f"encoder.{entry}" in report.unexpected for entry in report.missing):
        message.append("it holds a whole PP-Matting, and the model is an encoder alone")
    for title, entries in (
        ("missing from the file", report.missing),
        ("unexpected in the file", report.unexpected),
        ("of another shape or sort", report.mismatched),
    ):
        if entries:
            message += [f"{title} ({len(entries)}):", *lines(entries)]
    raise RuntimeError("\n".join(message))


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Save a model's weights as safetensors, with the description from which it can be rebuilt.

    ``mattekit.models.pp_matting(weights=path)`` rebuilds the network, whichever parts of mattekit it is made of. Of a
    network with parts made by hand the file holds the weights and the names of those parts: put it together as it was
    and `load`.

    Args:
        model: The model, on any device, in any memory format, also within torch.compile, DataParallel or
            DistributedDataParallel.
        path: The file, ending in ``.safetensors``. It is written whole or not at all. The same weights make the same
            bytes.

    Raises:
        TypeError: If ``model`` is no module, or a prepared copy, whose weights are no longer those of the network.
        ValueError: If ``path`` ends otherwise.

    Example:
        >>> import tempfile
        >>> from mattekit import checkpoints
        >>> from mattekit.models import pp_matting
        >>> model = pp_matting("hrnet_w18_small_v1", guidance=(5,))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoints.save(model, f"{folder}/mine.safetensors")
        ...     again = pp_matting(weights=f"{folder}/mine.safetensors")
        >>> again.detail.guidance
        (5,)
    """
    check_module("model", model)
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {os.fspath(path)!r}")
    network = unwrap(model)
    if hasattr(network, "max_short_side") and not hasattr(network, "preprocessing"):
        raise TypeError(
            f"model must be a network, got a {type(network).__name__}: save the network that it was made of"
        )
    state = network.state_dict()
    if others := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise TypeError(f"model must have tensors alone in its state dict, got {', '.join(others[:3])}")
    whole = torch.contiguous_format
    tensors = {name: state[entry].detach().cpu().clone(memory_format=whole) for name, entry in _names(network).items()}
    metadata = {"format": "pt", "mattekit": __version__, "description": json.dumps(describe(network))}
    data = in_order(to_safetensors(tensors, metadata))
    write_atomically(path, lambda file: file.write(data))


def in_order(data: bytes) -> bytes:
    """A safetensors file with its metadata sorted by name; safetensors writes them in an order that it draws."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + data[start:]


_COUNTER = ".num_batches_tracked"


def _names(network: nn.Module) -> dict[str, str]:
    """Each entry's name without what torch.compile put into it -> the name in the state dict."""
    return {without_wrappers(entry): entry for entry in network.state_dict()}


def _left_out(network: nn.Module) -> tuple[str, ...]:
    """Prefixes of the entries that modules declare, by ``left_out``, to be unread in them and so not built."""
    return tuple(
        f"{without_wrappers(name)}.{prefix}".removeprefix(".")
        for name, module in network.named_modules()
        for prefix in getattr(module, "left_out", ())
    )


def _misfit(own: Tensor, given: Tensor) -> str | None:
    if own.shape != given.shape:
        return f"the model has {tuple(own.shape)}, the file {tuple(given.shape)}"
    if own.is_floating_point() != given.is_floating_point() or own.is_complex() != given.is_complex():
        return f"the model has {own.dtype}, the file {given.dtype}"
    if given.layout != torch.strided or given.is_quantized or given.is_meta:
        return "the file has no plain numbers"
    return None


def _warn_of_other_settings(network: nn.Module, known: Mapping[str, Any], path: Path, kind: str) -> None:
    found = [
        (place, there, here)
        for place, there, here in contradictions(known, declared(network))
        if place.partition(".")[0] != "preprocessing"  # it comes with the weights
    ]
    if found:
        theirs = ", ".join(f"{plain(place) or 'class'}={shown(there)}" for place, there, _ in found)
        ours = ", ".join(f"{plain(place) or 'class'}={shown(here)}" for place, _, here in found)
        warnings.warn(
            f"{path} holds {kind} weights, trained with {theirs}, and the model has {ours}: it will see otherwise than "
            "the weights were trained to",
            stacklevel=4,
        )


def _preprocessing(network: nn.Module, known: Mapping[str, Any], path: Path) -> Any:
    """The network's preprocessing with what the file says of it; None where there is nothing to say."""
    own = getattr(network, "preprocessing", None)
    arguments = known.get("arguments")
    given = arguments.get("preprocessing") if isinstance(arguments, Mapping) else None
    if given is None or not is_dataclass(own) or isinstance(own, type):
        return None
    try:
        return replace(own, **given["arguments"])
    except (KeyError, TypeError, ValueError) as error:
        raise RuntimeError(f"{path} has metadata that cannot be read: its preprocessing: {plain(error)}") from error

"""Loading checkpoints into models and saving them."""

import json
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from mattekit import __version__
from mattekit.checkpoints.names import Kind
from mattekit.checkpoints.published import download, published
from mattekit.checkpoints.reading import Checkpoint, read_checkpoint
from mattekit.photos import write_atomically


@dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint's entries, all sorted.

    Attributes:
        kind: Whose names the file used.
        loaded: Names, in the model, that were loaded.
        missing: Names in the model that the file lacks.
        unexpected: Names in the file that the model lacks.
        mismatched: For each entry of another shape or sort, a line that says so.
        head: Names, in the file, of the classification head that was left out of an encoder's weights.
    """

    kind: Kind
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    head: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every entry of the model was loaded, and every entry of the file used."""
        return not (self.missing or self.unexpected or self.mismatched)


def load(model: nn.Module, path_or_name: str | os.PathLike[str], *, strict: bool = True) -> LoadReport:
    """Load a checkpoint into a PP-Matting or an encoder.

    The file is read by its content: .safetensors, .pth (``weights_only``), .pdparams, or a tar archive of one
    .pdparams, as PaddleSeg publishes encoders. Its names may be mattekit's, the official HRNet's (timm's are the same)
    or PaddleSeg's; what torch.compile, DataParallel or Lightning's ``model.`` put before them is dropped. The head of a
    classification network is left out and reported.

    Args:
        model: What to load into: a whole `mattekit.models.PPMatting`, or an encoder alone.
        path_or_name: A file, or a name in `published`, which is downloaded on first use.
        strict: Refuse a file that does not fit in full. If False, what fits is loaded and the rest is reported.

    Returns:
        A `LoadReport`.

    Raises:
        TypeError: If ``path_or_name`` is neither, such as a state dict.
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file cannot be read; or, if ``strict``, when entries are missing, unexpected or of another
            shape: all are listed, and the model is left as it was.

    Warns:
        UserWarning: If the encoder pads otherwise than the weights were trained to.

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
    return load_checkpoint(model, open_checkpoint(path_or_name), name=str(path_or_name), strict=strict)


def open_checkpoint(path_or_name: str | os.PathLike[str]) -> Checkpoint:
    """Read a file, or published weights by name, downloaded if need be."""
    if not isinstance(path_or_name, str | os.PathLike):
        raise TypeError(
            f"weights must be a file or a name in mattekit.checkpoints.published, got {type(path_or_name).__name__}; a "
            "state dict goes into model.load_state_dict"
        )
    record = published.get(str(path_or_name))
    if record is None:
        if not Path(path_or_name).exists():
            raise FileNotFoundError(f"{path_or_name} is neither a file nor one of {', '.join(published)}")
        return read_checkpoint(path_or_name)
    preprocessing = json.dumps({"max_short_side": record.max_short_side})
    return replace(read_checkpoint(download(record)), metadata={"preprocessing": preprocessing})


def load_checkpoint(model: nn.Module, checkpoint: Checkpoint, *, name: str, strict: bool) -> LoadReport:
    """Load what `read_checkpoint` returned; ``name`` stands in the errors."""
    own, given = model.state_dict(), checkpoint.named.tensors
    missing = own.keys() - given.keys()
    if not any(_is_counter(entry) for entry in given):  # Paddle has no such entries, old .pth files neither
        missing = {entry for entry in missing if not _is_counter(entry)}
    misfits = {entry: reason for entry in own.keys() & given.keys() if (reason := _misfit(own[entry], given[entry]))}
    fitting = {entry: given[entry] for entry in own.keys() & given.keys() if entry not in misfits}
    report = LoadReport(
        kind=checkpoint.named.kind,
        loaded=tuple(sorted(fitting)),
        missing=tuple(sorted(missing)),
        unexpected=tuple(sorted(given.keys() - own.keys())),
        mismatched=tuple(f"{entry}: {misfits[entry]}" for entry in sorted(misfits)),
        head=checkpoint.named.head,
    )
    if strict and not report.complete:
        raise RuntimeError(_describe(report, model, name))
    _warn_of_padding(model, checkpoint, name)
    model.load_state_dict(fitting, strict=False)
    _restore_preprocessing(model, checkpoint.metadata)
    return report


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Save a model's weights as safetensors, with what is needed to rebuild it and its preprocessing.

    ``mattekit.models.pp_matting(weights=path)`` rebuilds a model that `mattekit.models.pp_matting` made. Of a network
    composed by hand the file holds the weights and the preprocessing; compose it anew and `load`.

    Args:
        model: The model, on any device, in any memory format.
        path: The file, ending in ``.safetensors``. It is written whole or not at all.

    Raises:
        TypeError: If ``model`` is a prepared copy, whose weights are no longer those of the network.
        ValueError: If ``path`` ends otherwise.

    Example:
        >>> import tempfile
        >>> from mattekit import checkpoints
        >>> from mattekit.models import pp_matting
        >>> model = pp_matting("hrnet_w18_small_v1", guidance=(5,))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     checkpoints.save(model, f"{folder}/mine.safetensors")
        ...     again = pp_matting(weights=f"{folder}/mine.safetensors")
        >>> again.recipe["guidance"]
        [5]
    """
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {os.fspath(path)!r}")
    if hasattr(model, "max_short_side") and not hasattr(model, "mean"):
        raise TypeError(f"model must be a network, got a {type(model).__name__}: save the network that it was made of")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"format": "pt", "mattekit": __version__}
    if (padding := _padding(model)) is not None:
        metadata["padding"] = padding
    if (recipe := getattr(model, "recipe", None)) is not None:
        metadata["recipe"] = json.dumps(recipe)
    if hasattr(model, "max_short_side"):
        preprocessing = {key: getattr(model, key).flatten().tolist() for key in ("mean", "std")}
        metadata["preprocessing"] = json.dumps({**preprocessing, "max_short_side": model.max_short_side})
    data = to_safetensors(tensors, metadata)
    write_atomically(path, lambda file: file.write(data))


def _is_counter(entry: str) -> bool:
    return entry.endswith(".num_batches_tracked")


def _misfit(own: Tensor, given: Tensor) -> str | None:
    if own.shape != given.shape:
        return f"the model has {tuple(own.shape)}, the file {tuple(given.shape)}"
    if own.is_floating_point() != given.is_floating_point():
        return f"the model has {own.dtype}, the file {given.dtype}"
    return None


def _describe(report: LoadReport, model: nn.Module, name: str) -> str:
    lines = [f"{name} ({report.kind} weights) does not fit {type(model).__name__}"]
    if report.unexpected and all(f"encoder.{entry}" in report.missing for entry in report.unexpected):
        lines.append("it holds an encoder: load it into the network's `encoder`")
    elif report.missing and all(f"encoder.{entry}" in report.unexpected for entry in report.missing):
        lines.append("it holds a whole PP-Matting, and the model is an encoder alone")
    for title, entries in (
        ("missing from the file", report.missing),
        ("unexpected in the file", report.unexpected),
        ("of another shape or sort", report.mismatched),
    ):
        if entries:
            lines.append(f"{title} ({len(entries)}):")
            lines.extend(f"  {entry}" for entry in entries)
    return "\n".join(lines)


def _warn_of_padding(model: nn.Module, checkpoint: Checkpoint, name: str) -> None:
    padding = _padding(model)
    if padding is not None and checkpoint.padding not in (None, padding):
        warnings.warn(
            f"{name} holds {checkpoint.named.kind} weights, trained with padding={checkpoint.padding!r}, and the "
            f"encoder has padding={padding!r}: its features will differ from those the weights were trained for",
            stacklevel=4,
        )


def _padding(model: nn.Module) -> str | None:
    padding = getattr(getattr(model, "encoder", model), "padding", None)
    return padding if isinstance(padding, str) else None


def _restore_preprocessing(model: nn.Module, metadata: dict[str, str]) -> None:
    if not hasattr(model, "max_short_side"):
        return
    for key, value in json.loads(metadata.get("preprocessing", "{}")).items():
        if key == "max_short_side":
            setattr(model, key, value)
        else:
            buffer = getattr(model, key)
            buffer.copy_(torch.tensor(value).view_as(buffer))

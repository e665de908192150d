"""State dicts from files, told apart by content."""

import os
import pickle
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mattekit.checkpoints.names import Kind, NamedTensors, to_mattekit
from mattekit.checkpoints.pdparams import parse_pdparams

_ZIP = b"PK\x03\x04"
_GZIP = b"\x1f\x8b"
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


# how the encoders of each kind of weights were trained to pad
_TRAINED_PADDING: dict[Kind, str] = {
    "HRNet": "symmetric",
    "PaddleSeg HRNet": "same",
    "PaddleSeg PP-Matting": "same",
}


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: tensors under mattekit's names, and what `mattekit.checkpoints.save` wrote beside them."""

    named: NamedTensors
    metadata: dict[str, str]

    @property
    def padding(self) -> str | None:
        """How the encoder's strided convolutions padded in training, if that is known."""
        return self.metadata.get("padding") or _TRAINED_PADDING.get(self.named.kind)


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a .safetensors, .pth or .pdparams file, or a tar archive of one .pdparams, whatever it is called.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is none of these, is damaged, or holds no state dict.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(32)
    metadata = {}
    if not head:
        raise RuntimeError(f"{path} is empty")
    if _is_safetensors(head, path.stat().st_size):
        tensors, metadata = _read_safetensors(path)
    elif head.startswith((_ZIP, _LEGACY_TORCH)):
        tensors = _read_torch(path)
    elif head.startswith(_GZIP) or tarfile.is_tarfile(path):
        tensors = _read_archive(path)
    elif head[0] == 0x80:
        tensors = _to_tensors(parse_pdparams(path.read_bytes(), str(path)))
    else:
        raise RuntimeError(
            f"{path} is no checkpoint: it is neither .safetensors nor .pth nor .pdparams nor an archive of one "
            f"(its first bytes are {head[:8]!r})"
        )
    return Checkpoint(to_mattekit(_find_state_dict(tensors, path)), metadata)


def _is_safetensors(head: bytes, size: int) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise RuntimeError(f"{path} cannot be read as .safetensors: {error}") from error


def _read_torch(path: Path) -> Any:
    try:
        with path.open("rb") as file:  # given a path, torch.load would go by its suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's page advises weights_only=False
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it holds {foreign[1]}, where only tensors and plain values are read" if foreign else error
        raise RuntimeError(f"{path} cannot be read as .pth: {reason}") from error
    except Exception as error:  # torch.load has no one error for damaged or refused files
        raise RuntimeError(f"{path} cannot be read as .pth: {error}") from error


def _read_archive(path: Path) -> Any:
    try:
        with tarfile.open(path) as archive:
            members = [member for member in archive if member.isfile() and member.name.endswith(".pdparams")]
            if len(members) != 1:
                raise RuntimeError(f"{path} must hold one .pdparams file, got {len(members)}")
            file = archive.extractfile(members[0])
            data = b"" if file is None else file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise RuntimeError(f"{path} cannot be read as an archive: {error}") from error
    return _to_tensors(parse_pdparams(data, f"{members[0].name} in {path}"))


def _to_tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _to_tensors(item) for name, item in value.items()}
    return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value


def _find_state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The content itself, or the one dict of tensors inside, such as under ``state_dict``, ``model`` or ``weights``."""
    candidates = {"": content, **content} if isinstance(content, Mapping) else {}
    found = {key: candidate for key, candidate in candidates.items() if _is_state_dict(candidate)}
    if len(found) != 1:
        which = f": {', '.join(map(repr, found))}" if found else ""
        raise RuntimeError(f"{path} must hold one state dict (a dict of names to tensors), got {len(found)}{which}")
    (state_dict,) = found.values()
    return dict(state_dict)


def _is_state_dict(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(item, Tensor) for item in value.values())

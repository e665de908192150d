"""State dicts from files, told apart by content."""

import gzip
import io
import os
import pickle
import re
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Set
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from mattekit.checkpoints.description import from_recipe, parse
from mattekit.checkpoints.names import MATTEKIT, Kind, NamedTensors, to_mattekit
from mattekit.checkpoints.paddleseg import limit_of
from mattekit.checkpoints.pdparams import parse_pdparams
from mattekit.checkpoints.pickles import check_pickle
from mattekit.checkpoints.wording import listed, plain, shown
from mattekit.photos.decoding import open_regular

_ZIP = b"PK\x03\x04"
_GZIP = b"\x1f\x8b"
_TAR = b"ustar"  # from byte 257 on
_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_PICKLES = 4  # a magic number, the version, the machine and the content

# numbers that networks learn hardly shrink when packed; this much is believed
_MOST_PACKED, _ROOM, _MOST_MEMBERS = 16, 1 << 26, 1000


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        path: The file.
        tensors: Its state dict, under the names of the file.
        description: What it says of its network: everything where `mattekit.checkpoints.save` wrote it, a part where
            mattekit 0.1.0.dev0 did; None where it says nothing.
        described: Whether it says everything, so that its names are mattekit's.
    """

    path: Path
    tensors: dict[str, Tensor]
    description: Mapping[str, Any] | None
    described: bool

    def named(self, own: Set[str] | None = None) -> NamedTensors:
        """The tensors under mattekit's names; ``own`` are those of the model, where there is one.

        Raises:
            RuntimeError: If two entries have one name in mattekit.
        """
        if self.described:
            return NamedTensors(MATTEKIT, self.tensors, ())
        named = to_mattekit(self.tensors, own)
        if len(named.tensors) + len(named.head) < len(self.tensors):
            raise RuntimeError(f"{self.path} has several entries that are one and the same in mattekit")
        return named

    def known(self, kind: Kind) -> Mapping[str, Any]:
        """What is known of the network, from the file or from its kind of weights: a description or parts of one."""
        if self.description is not None:
            return self.description
        known = dict(kind.description)
        if known.get("class") == "PPMatting" and (limit := limit_of(self.path)):
            preprocessing = {"class": "Preprocessing", "arguments": {"max_short_side": limit}}
            known["arguments"] = {**known["arguments"], "preprocessing": preprocessing}
        return known


def read_checkpoint(path: str | os.PathLike[str], *, key: str | None = None) -> Checkpoint:
    """Read a .safetensors, .pth or .pdparams file, or a tar archive of one .pdparams, whatever it is called.

    Args:
        path: The file.
        key: Which of several state dicts in the file.

    Raises:
        OSError: If there is no such file, or it is no regular one, such as a named pipe.
        RuntimeError: If the file is none of these, is damaged, or holds no state dict.
    """
    path = Path(path)
    with open_regular(path) as file:
        head = file.read(512)
    metadata = {}
    if not head:
        raise RuntimeError(f"{path} is empty")
    if _is_safetensors(head, path.stat().st_size):
        content, metadata = _read_safetensors(path)
    elif head.startswith((_ZIP, _LEGACY_TORCH)):
        content = _read_torch(path, zipped=head.startswith(_ZIP))
    elif head.startswith(_GZIP) or head[257:262] == _TAR:
        content = _read_archive(path, zipped=head.startswith(_GZIP))
    elif head[0] == 0x80:
        content = parse_pdparams(path.read_bytes(), str(path), _to_tensor)
    else:
        raise RuntimeError(
            f"{path} is no checkpoint: it is neither .safetensors nor .pth nor .pdparams nor an archive of one "
            f"(its first bytes are {head[:8]!r})"
        )
    tensors = _find_state_dict(content, path, key)
    try:
        description = parse(metadata["description"]) if "description" in metadata else from_recipe(metadata)
    except ValueError as error:
        raise RuntimeError(f"{path} has metadata that cannot be read: {error}") from error
    return Checkpoint(path, tensors, description, described="description" in metadata)


def _is_safetensors(head: bytes, size: int) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except Exception as error:  # of a sort of number that torch lacks not SafetensorError
        raise RuntimeError(f"{path} cannot be read as .safetensors: {plain(error)}") from error


def _read_torch(path: Path, zipped: bool) -> Any:
    try:
        with path.open("rb") as file:  # given a path, torch.load would go by its suffix
            if zipped:
                _check_zip(file, path.stat().st_size)
            else:
                for _ in range(_LEGACY_PICKLES):
                    check_pickle(file)
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's page advises weights_only=False
        foreign = re.search(r"GLOBAL (\S+)", str(error)[:10_000])
        reason = (
            f"it holds {plain(foreign[1])}, where only tensors and plain values are read" if foreign else plain(error)
        )
        raise RuntimeError(f"{path} cannot be read as .pth: {reason}") from error
    except Exception as error:  # torch.load has no one error for damaged or refused files
        raise RuntimeError(f"{path} cannot be read as .pth: {plain(error)}") from error


def _check_zip(file: BinaryIO, size: int) -> None:
    """Refuse an archive that inflates, for torch packs nothing, and pickles that would never end."""
    with zipfile.ZipFile(file) as archive:
        claimed = sum(entry.file_size for entry in archive.infolist())
        if claimed > size:
            raise RuntimeError(f"it claims to hold {claimed} bytes, and has {size}")
        for name in archive.namelist():
            if name.endswith("data.pkl"):
                check_pickle(io.BytesIO(archive.read(name)))


def _read_archive(path: Path, zipped: bool) -> Any:
    most = _ROOM + _MOST_PACKED * path.stat().st_size
    try:
        with path.open("rb") as file, gzip.GzipFile(fileobj=file) if zipped else nullcontext(file) as stream:
            bounded: Any = _Bounded(stream, most)
            with tarfile.open(fileobj=bounded, mode="r|") as archive:
                data = _only_pdparams(archive, most)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise RuntimeError(f"{path} cannot be read as an archive: {plain(error)}") from error
    if len(data) != 1:
        raise RuntimeError(f"{path} must hold one .pdparams file, got {len(data)}")
    return parse_pdparams(data[0], f"the .pdparams file in {path}", _to_tensor)


def _only_pdparams(archive: tarfile.TarFile, most: int) -> list[bytes]:
    """The contents of the .pdparams files of an archive; of more than one, the first two."""
    found: list[bytes] = []
    for count, member in enumerate(archive):
        if count == _MOST_MEMBERS:
            raise tarfile.TarError(f"it has more than {_MOST_MEMBERS} members")
        if member.isfile() and member.name.endswith(".pdparams"):
            if member.issparse() or member.size > most:
                raise tarfile.TarError(f"it claims to hold {member.size} bytes that are not in it")
            file = archive.extractfile(member)
            assert file is not None  # of a file it never is
            found.append(file.read())
            if len(found) == 2:
                break
    return found


class _Bounded:
    """A stream that ends with an error where it is longer than can be believed."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._most, self._left = stream, most, most

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.TarError(f"it inflates to more than {self._most} bytes")
        return data


def _to_tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def _find_state_dict(content: Any, path: Path, key: str | None) -> dict[str, Tensor]:
    """The content itself, or a dict of tensors inside, such as under ``state_dict``, ``model`` or ``weights``."""
    inside = content if isinstance(content, Mapping) else {}
    distinct = {id(item): item for item in inside.values()}  # a file can hold one dict under many names
    fitting = {identity for identity, item in distinct.items() if _is_state_dict(item)}
    found = {name: item for name, item in inside.items() if id(item) in fitting}
    if key is not None:
        if key not in found:
            raise RuntimeError(
                f"{path} holds no state dict {shown(key)}; it holds {listed(found) or 'none under a name'}"
            )
        return dict(found[key])
    if _is_state_dict(content):
        return dict(content)
    if len(found) != 1:
        which = f": {listed(found)}; choose one with key, which checkpoints.load takes" if found else ""
        raise RuntimeError(f"{path} must hold one state dict (a dict of names to tensors), got {len(found)}{which}")
    (state_dict,) = found.values()
    return dict(state_dict)


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(item, Tensor) for name, item in value.items())
    )

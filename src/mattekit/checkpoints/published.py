"""The PP-Matting weights that its authors published, and fetching them."""

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from tqdm import tqdm

_BUCKET = "https://paddleseg.bj.bcebos.com/matting/models"
_CHUNK = 1 << 20
_TIMEOUT_S = 30


@dataclass(frozen=True)
class PublishedWeights:
    """A checkpoint that the authors of PP-Matting published.

    Attributes:
        name: What `mattekit.models.pp_matting` calls it.
        url: Where it lies.
        encoder: The encoder it was trained with.
        trained_on: The training data; for the people weights, the test set that the figures are for.
        code_licence: Licence of the code it was published with; the authors name none for the weights.
        max_short_side: Limit of a photo's short side at test time, in pixels.
        sad: Published SAD, in thousands.
        mse: Published MSE.
        grad: Published Grad, in thousands.
        conn: Published Conn, in thousands.
    """

    name: str
    url: str
    encoder: str
    trained_on: str
    code_licence: str
    max_short_side: int
    sad: float
    mse: float
    grad: float
    conn: float


def _entry(name: str, file: str, trained_on: str, max_short_side: int, *figures: float) -> PublishedWeights:
    encoder = file.split("-")[1]
    return PublishedWeights(name, f"{_BUCKET}/{file}", encoder, trained_on, "Apache-2.0", max_short_side, *figures)


_PEOPLE = "people (10k annotated by the authors); figures: 195 images of PPM-100 and AIM-500"

published: Mapping[str, PublishedWeights] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            _entry(
                *("composition-1k", "ppmatting-hrnet_w48-composition.pdparams", "Composition-1k", 1536),
                *(46.22, 0.005, 22.69, 45.40),
            ),
            _entry(
                *("distinctions-646", "ppmatting-hrnet_w48-distinctions.pdparams", "Distinctions-646", 1536),
                *(40.69, 0.009, 43.91, 40.56),
            ),
            _entry("human-512", "ppmatting-hrnet_w18-human_512.pdparams", _PEOPLE, 512, 31.56, 0.0022, 31.80, 30.13),
            _entry("human-1024", "ppmatting-hrnet_w18-human_1024.pdparams", _PEOPLE, 1024, 66.22, 0.0088, 32.90, 64.80),
        )
    }
)
"""Name to `PublishedWeights`."""


def limit_of(path: Path) -> int | None:
    """The limit of the short side of a published file, told by the file's name; None for other files."""
    limits = {record.url.rsplit("/", 1)[-1]: record.max_short_side for record in published.values()}
    return limits.get(path.name)


def download(record: PublishedWeights) -> Path:
    """The file of published weights, downloaded into torch's hub folder (``TORCH_HOME``) the first time.

    The bytes gather in a file ending in ``.part``, which the next call goes on from after an interruption; only a
    complete file takes the final name.

    Raises:
        RuntimeError: If the download fails; the message says what to do without a network.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    target = folder / record.url.rsplit("/", 1)[-1]
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    try:
        _fetch(record, part)
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        raise RuntimeError(
            f"cannot download {record.name!r} from {record.url}: {error}. The next call goes on from what has come. "
            f"Without a network, fetch that address elsewhere and put the file at {target}, or pass its path as weights"
        ) from error
    os.replace(part, target)
    return target


def _fetch(record: PublishedWeights, part: Path) -> None:
    """Bring ``part`` to the full length, from where it stands if the server can."""
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(record.url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if done and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # longer than, or as long as, what the server has: not trusted
            return _fetch(record, part)
        raise
    with response:
        total = _total(response, done)
        if total is None:
            done = 0
            total = int(response.headers.get("Content-Length", 0)) or None
        bar = tqdm(total=total, initial=done, unit="B", unit_scale=True, unit_divisor=1024, desc=part.stem)
        with bar, part.open("ab" if done else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    size = part.stat().st_size
    if total is not None and size != total:
        if size > total:
            part.unlink()
        raise OSError(f"got {size} of {total} bytes")
    return None


def _total(response: http.client.HTTPResponse, done: int) -> int | None:
    """The full length, if the server answers with the bytes from ``done`` on."""
    match = re.fullmatch(rf"bytes {done}-\d+/(\d+)", response.headers.get("Content-Range", ""))
    return int(match[1]) if response.status == http.client.PARTIAL_CONTENT and match else None

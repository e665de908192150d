"""The PP-Matting weights that its authors published."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

_BUCKET = "https://paddleseg.bj.bcebos.com/matting/models"


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
        length: Length of the file in bytes, where known.
        sha256: Hash of the file, where known. Where it is not, the first download's is remembered beside the file.
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
    length: int | None = None
    sha256: str | None = None


def _entry(
    name: str, file: str, trained_on: str, max_short_side: int, sad: float, mse: float, grad: float, conn: float
) -> PublishedWeights:
    encoder = file.split("-")[1]
    return PublishedWeights(
        *(name, f"{_BUCKET}/{file}", encoder, trained_on, "Apache-2.0", max_short_side, sad, mse, grad, conn)
    )


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

"""Download what is in repositories on GitHub: the photos of ``photos.tsv``, and of ``credits.tsv`` what names one.

    python fetch.py DATA

Photos are shrunk, cut-outs cut to what is not transparent, and masks of people made of the classes of their clothes.
What is there already is left alone, so the run can be stopped and started again. Of ``photos`` only what
``verdicts.tsv`` says that a teacher gets right is fetched: nothing would use the rest. Files that cannot be had are
named at the end, with exit status 1.
"""

import argparse
import csv
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from sources import read_verdicts

from mattekit.photos import write_atomically

ROOT = "https://raw.githubusercontent.com"
LISTS = {"photos.tsv": ("photos/", 512), "credits.tsv": ("", 384)}  # where their folders are, largest short side
QUALITY = 90
FROM = re.compile(r"(?P<repository>[^/ ]+/[^/ ]+)@(?P<commit>[0-9a-f]{40}) (?P<path>[^;]+)")


@dataclass(frozen=True)
class Listed:
    """A line of a list: the file's name in DATA, its largest short side there, and where it is from."""

    name: str
    short_side: int
    repository: str
    commit: str
    path: str

    def url(self, root: str = ROOT) -> str:
        """Where the file can be downloaded."""
        return f"{root}/{self.repository}/{self.commit}/{quote(self.path)}"


def listed_files() -> Iterator[Listed]:
    """What both lists have from repositories, but for photos that no teacher gets right."""
    verdicts = read_verdicts()
    for table, (parent, short_side) in LISTS.items():
        with Path(__file__).with_name(table).open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                name, source = f"{parent}{line['folder']}/{line['file']}", FROM.match(line["from"])
                is_used = not name.startswith("photos/") or verdicts.get(name) in ("isnet", "u2netp")
                if source is not None and is_used:
                    yield Listed(name, short_side, **source.groupdict())


def read_picture(data: bytes, listed: Listed) -> Image.Image:
    """The picture within a file, at its own size: a photo RGB, a cut-out RGBA, a mask grey.

    Raises:
        OSError: If it is cut off.
        ValueError: If it is no picture, or no MATLAB file where one is expected.
        Image.DecompressionBombError: If it is far too large.
    """
    try:
        if listed.path.endswith(".mat"):
            is_person = loadmat(BytesIO(data))["groundtruth"] > 0
            return Image.fromarray(np.where(is_person, 255, 0).astype(np.uint8))
        with Image.open(BytesIO(data)) as image:
            if listed.name.startswith("cutouts/"):
                cutout = image.convert("RGBA")
                return cutout.crop(cutout.getchannel("A").getbbox())
            return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, LookupError, ValueError, MatReadError) as error:
        raise ValueError("it is no picture") from error


def fetch(listed: Listed, data: Path, root: str = ROOT) -> str | None:
    """Write one file into ``data``; what went wrong, or None."""
    target = data / listed.name
    if target.exists():
        return None
    try:
        with urlopen(listed.url(root), timeout=60) as file:
            picture = read_picture(file.read(), listed)
    except (OSError, HTTPException, ValueError, Image.DecompressionBombError) as error:
        return str(error) or type(error).__name__
    share = listed.short_side / min(picture.size)
    if share < 1:
        filter = Image.Resampling.BOX if picture.mode == "L" else Image.Resampling.LANCZOS
        picture = picture.resize([round(side * share) for side in picture.size], filter)
    form = {"format": "jpeg", "quality": QUALITY} if picture.mode == "RGB" else {"format": "png"}
    write_atomically(target, lambda file: picture.save(file, **form))
    return None


def main() -> None:
    """Fetch them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--root", default=ROOT, help="where copies of the repositories are, as ROOT/OWNER/NAME/COMMIT/PATH"
    )
    arguments = parser.parse_args()

    files = list(listed_files())
    with ThreadPoolExecutor(8) as threads:
        faults = list(threads.map(lambda listed: fetch(listed, arguments.data, arguments.root), files))
    missing = [(listed, fault) for listed, fault in zip(files, faults, strict=True) if fault is not None]
    for listed, fault in missing:
        print(f"{listed.name}: {fault} ({listed.url(arguments.root)})", file=sys.stderr)
    print(f"{len(files) - len(missing)} of {len(files)} files are in {arguments.data}")
    sys.exit(bool(missing))


if __name__ == "__main__":
    main()

"""Download the photos that ``photos.tsv`` lists, shrunk to a short side of 512 at most.

    python fetch.py DATA

Photos that are there already are left alone, so the run can be stopped and started again. Only what ``verdicts.tsv``
says that a teacher gets right is fetched: nothing would use the rest. Files that cannot be had are named at the end,
with exit status 1.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

from PIL import Image, ImageOps, UnidentifiedImageError
from sources import read_verdicts

from mattekit.photos import write_atomically

ROOT = "https://raw.githubusercontent.com"
SHORT_SIDE, QUALITY = 512, 90


@dataclass(frozen=True)
class Listed:
    """A line of ``photos.tsv``: the photo's name in DATA, and where it is from."""

    name: str
    repository: str
    commit: str
    path: str

    def url(self, root: str = ROOT) -> str:
        """Where the file can be downloaded."""
        return f"{root}/{self.repository}/{self.commit}/{quote(self.path)}"


def listed_photos() -> Iterator[Listed]:
    """The photos of ``photos.tsv`` that a teacher gets right."""
    verdicts = read_verdicts()
    with Path(__file__).with_name("photos.tsv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            name = f"photos/{line['folder']}/{line['file']}"
            source, _, path = line["from"].partition(" ")
            repository, _, commit = source.partition("@")
            if verdicts.get(name) in ("isnet", "u2netp"):
                yield Listed(name, repository, commit, path)


def fetch(photo: Listed, data: Path, root: str = ROOT) -> str | None:
    """Write one photo into ``data``, upright; what went wrong, or None."""
    target = data / photo.name
    if target.exists():
        return None
    try:
        with urlopen(photo.url(root), timeout=60) as file, Image.open(file) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError:
        return "it is no picture"
    except (OSError, HTTPException, Image.DecompressionBombError) as error:
        return str(error) or type(error).__name__
    share = SHORT_SIDE / min(upright.size)
    if share < 1:
        upright = upright.resize([round(side * share) for side in upright.size], Image.Resampling.LANCZOS)
    write_atomically(target, lambda file: upright.save(file, format="jpeg", quality=QUALITY))
    return None


def main() -> None:
    """Fetch them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--root", default=ROOT, help="where copies of the repositories are, as ROOT/OWNER/NAME/COMMIT/PATH"
    )
    arguments = parser.parse_args()

    photos = list(listed_photos())
    with ThreadPoolExecutor(8) as threads:
        faults = list(threads.map(lambda photo: fetch(photo, arguments.data, arguments.root), photos))
    missing = [(photo, fault) for photo, fault in zip(photos, faults, strict=True) if fault is not None]
    for photo, fault in missing:
        print(f"{photo.name}: {fault} ({photo.url(arguments.root)})", file=sys.stderr)
    print(f"{len(photos) - len(missing)} of {len(photos)} photos are in {arguments.data}")
    sys.exit(bool(missing))


if __name__ == "__main__":
    main()

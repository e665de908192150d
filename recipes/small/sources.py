"""Where the training samples come from: photos with labels, people with masks, cut-outs over backgrounds.

Each source is called with an index and a random generator and gives a `View`: a square of one side, ready to train on.
A tenth of each source's files, by a hash of their names, is held out and never trained on.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mattekit.data import SyntheticMattes

cv2.setNumThreads(0)

# Drawings, toys' drawings and flat signs among the photos and cut-outs, seen on sheets of all of them.
DRAWINGS = (
    "garfield", "snoopy", "yin_yang", "dollar_bill", "brain",
    "clothes__button", "Santa", "bunny", "easter__daffodil", "mercurythermometer", "measuring_tape_mirror",
    "bradley_mirror", "dumper_mirror", "categorization__blackboard",
)  # fmt: skip
VERDICTS = "isnet", "u2netp", "neither"


@dataclass
class View:
    """One training sample.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        alpha: (S, S) float32 in [0, 1].
        weight: (S, S) float32: how far the semantic loss trusts each pixel.
        exactness: How far the detail loss trusts this alpha, 0 to 1.
    """

    image: np.ndarray
    alpha: np.ndarray
    weight: np.ndarray
    exactness: float


def folders(*names: str) -> tuple[str, ...]:
    """How the names of photos in these folders begin."""
    return tuple(f"photos/{name}/" for name in names)


def held_out(path: Path) -> bool:
    """Whether a file belongs to the tenth that is never trained on."""
    return hashlib.sha256(path.stem.encode()).digest()[0] < 26


def listed(folder: Path) -> list[Path]:
    """The folder's files by name, none where there is no such folder."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def files(folder: Path, *, keep_held_out: bool = False) -> list[Path]:
    """The folder's files without the held-out ones, or those alone, without drawings."""
    found = [path for path in listed(folder) if not any(word in path.name for word in DRAWINGS)]
    return [path for path in found if held_out(path) == keep_held_out]


def read_verdicts() -> dict[str, str]:
    """Of photos that were looked at, whose cut-out is right: ``isnet``, ``u2netp`` or ``neither``."""
    lines = Path(__file__).with_name("verdicts.tsv").read_text().splitlines()[1:]
    verdicts = dict(line.split("\t") for line in lines)
    for photo, verdict in verdicts.items():
        if verdict not in VERDICTS:
            raise ValueError(f"verdicts must be {', '.join(VERDICTS)}, got {verdict!r} for {photo}")
    return verdicts


def outline(path: Path) -> str:
    """A sum of a cut-out's alpha, which is the same in copies of another colour."""
    return hashlib.sha256(np.ascontiguousarray(read_cutout(path)[1])).hexdigest()


def read_picture(path: Path, flags: int) -> np.ndarray:
    """What OpenCV reads, which gives nothing in silence where it cannot.

    Raises:
        OSError: If the file is missing, or no picture.
    """
    pixels = cv2.imread(str(path), flags)
    if pixels is None:
        raise OSError(f"cannot read {path} as a picture")
    return pixels


def read_rgb(path: Path) -> np.ndarray:
    """A photo as (H, W, 3) uint8."""
    return cv2.cvtColor(read_picture(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_grey(path: Path) -> np.ndarray:
    """A mask as (H, W) uint8."""
    return read_picture(path, cv2.IMREAD_GRAYSCALE)


def read_cutout(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A cut-out's colours and alpha, cropped to what is not transparent."""
    pixels = read_picture(path, cv2.IMREAD_UNCHANGED)
    colours, alpha = cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2RGB), pixels[..., 3]
    rows, columns = np.flatnonzero(alpha.max(1) > 8), np.flatnonzero(alpha.max(0) > 8)
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return colours[box], alpha[box]


@dataclass
class Labelled:
    """Photos of some folders, but for others, with what `curate.py` wrote: mattes, and how far to trust each."""

    data: Path
    mattes: Path
    side: int
    keep_held_out: bool = False
    within: tuple[str, ...] = ("",)
    but: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        entries = json.loads((self.mattes / "manifest.json").read_text())
        self.entries = [
            entry for entry in entries
            if held_out(Path(entry["photo"])) == self.keep_held_out
            and entry["photo"].startswith(self.within) and not entry["photo"].startswith(self.but)
        ]  # fmt: skip

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def is_empty(self) -> bool:
        """Whether it has no sample."""
        return not len(self)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, float]:
        """Image, alpha (uint8), trusted pixels or None, exactness."""
        entry = self.entries[index]
        image, alpha = read_rgb(self.data / entry["photo"]), read_grey(self.mattes / entry["matte"])
        trusted = read_grey(self.mattes / entry["trusted"]) if entry.get("trusted") else None
        return image, alpha, trusted, entry["exactness"]

    def __call__(self, index: int, rng: np.random.Generator) -> View:
        """A random part of a photo, often all of it."""
        image, alpha, trusted, exactness = self.read(index)
        weight = np.full_like(alpha, 255) if trusted is None else trusted
        height, width = alpha.shape
        for _ in range(8):
            share = 1.0 if rng.random() < 0.5 else rng.uniform(0.45, 1)
            matrix = crop(height, width, share, self.side, rng)
            part = warp(alpha, matrix, self.side)
            if part.mean() > 0.25 * alpha.mean() or share == 1:
                break
        return View(
            warp(image, matrix, self.side), part.astype(np.float32) / 255, warp(weight, matrix, self.side) / 255.0,
            exactness,
        )  # fmt: skip


@dataclass
class Backgrounds:
    """Pictures of scenes and, as often, what labelled photos show beside their subjects."""

    pictures: Sequence[Path]
    labelled: Labelled | None = None

    @classmethod
    def curated(cls, data: Path, mattes: Path, *, keep_held_out: bool = False, **others: Labelled) -> "Backgrounds":
        """Those that `curate.py` lists, without the held-out ones, or those alone."""
        paths = [data / name for name in json.loads((mattes / "backgrounds.json").read_text())]
        return cls([path for path in paths if held_out(path) == keep_held_out], **others)

    def __call__(self, rng: np.random.Generator) -> np.ndarray:
        """One of them, (H, W, 3) uint8."""
        if self.labelled is not None and rng.random() < 0.5:
            image, alpha, _, _ = self.labelled.read(int(rng.integers(len(self.labelled))))
            for _ in range(8):
                size = (rng.uniform(0.4, 0.9) * min(alpha.shape) * np.exp(rng.uniform(-0.1, 0.1, 2))).astype(int)
                top, left = (rng.integers(long - short) for long, short in zip(alpha.shape, size, strict=True))
                box = np.s_[top : top + size[0], left : left + size[1]]
                if alpha[box].max() < 8:
                    return image[box]
        return read_rgb(self.pictures[rng.integers(len(self.pictures))])


@dataclass
class Composed:
    """Cut-outs over backgrounds."""

    cutouts: Sequence[Path]
    backgrounds: Backgrounds
    side: int

    def __len__(self) -> int:
        return len(self.cutouts)

    @property
    def is_empty(self) -> bool:
        """Whether it has no sample: nothing is composed without a background."""
        return not (len(self) and self.backgrounds.pictures)

    def cutout(self, index: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Colours, alpha, exactness."""
        return *read_cutout(self.cutouts[index]), 1.0

    def __call__(self, index: int, rng: np.random.Generator) -> View:
        """A cut-out somewhere on a background."""
        side = self.side
        colours, alpha, exactness = self.cutout(index)
        matrix = placement(alpha.shape, side, rng)
        factor = min(1.0, np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        if factor < 0.7:  # shrinking by warping alone would alias
            small = (max(2, round(alpha.shape[1] * factor)), max(2, round(alpha.shape[0] * factor)))
            cover = alpha[..., None] / np.float32(255)
            colours = cv2.resize(colours * cover, small, interpolation=cv2.INTER_AREA)
            cover = cv2.resize(cover[..., 0], small, interpolation=cv2.INTER_AREA)
            matrix = matrix @ np.diag([alpha.shape[1] / small[0], alpha.shape[0] / small[1], 1.0])
        else:
            cover = alpha / np.float32(255)
            colours = colours * cover[..., None]
        cover = warp(cover, matrix, side, border=cv2.BORDER_CONSTANT)
        colours = warp(colours.astype(np.float32), matrix, side, border=cv2.BORDER_CONSTANT)
        colours = recoloured(colours, rng).clip(0, 255 * cover[..., None])
        image = colours + (1 - cover[..., None]) * self.background(rng)
        return View(image.clip(0, 255).astype(np.uint8), cover, np.ones_like(cover), exactness)

    def background(self, rng: np.random.Generator) -> np.ndarray:
        """A part of a background, sometimes blurred, sometimes a plain colour ramp as in a studio."""
        side = self.side
        if rng.random() < 0.15:
            ends = rng.uniform(0, 255, 3) + rng.normal(0, 25, (2, 3))
            ramp = np.linspace(0, 1, side)[:, None, None]
            return np.broadcast_to(ends[0] * (1 - ramp) + ends[1] * ramp, (side, side, 3)).clip(0, 255)
        picture = self.backgrounds(rng)
        matrix = crop(*picture.shape[:2], rng.uniform(0.4, 1), side, rng)
        picture = warp(picture, matrix, side).astype(np.float32)
        if rng.random() < 0.4:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 8))
        return picture


@dataclass
class Drawn(Composed):
    """Drawings with exact mattes, hair, fur and lace among them, over photographed backgrounds."""

    def __len__(self) -> int:
        return 10_000

    def cutout(self, index: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Colours, alpha, exactness."""
        sample = SyntheticMattes(seed=7, size=max(320, self.side))(index, np.random.default_rng())
        assert sample.foreground is not None
        return sample.foreground, (sample.alpha * 255).round().astype(np.uint8), 1.0


@dataclass
class Pasted(Composed):
    """Subjects of labelled photos over backgrounds."""

    labelled: Labelled = None  # pyright: ignore[reportAssignmentType]

    def __len__(self) -> int:
        return len(self.labelled)

    def cutout(self, index: int) -> tuple[np.ndarray, np.ndarray, float]:
        """The subject, its edge drawn in by a pixel, which takes the old background's colours away."""
        image, alpha, _, exactness = self.labelled.read(index)
        alpha = cv2.erode(alpha, np.ones((3, 3), np.uint8))
        rows, columns = np.flatnonzero(alpha.max(1) > 128), np.flatnonzero(alpha.max(0) > 128)
        if len(rows) < 8 or len(columns) < 8:
            return image, alpha, exactness
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return image[box], alpha[box], exactness


def crop(height: int, width: int, share: float, side: int, rng: np.random.Generator) -> np.ndarray:
    """An affine map from a part of a photo to the square: share of its sides, shape within 4:5, flips, small turns."""
    shape = np.exp(rng.uniform(-0.22, 0.22)) if share < 1 or rng.random() < 0.5 else 1.0
    if share == 1:
        wide, high = float(width), float(height)
        if rng.random() < 0.5:  # all of the photo, squeezed into the square
            squeeze = max(wide, high) / min(wide, high)
            if squeeze > 1.5:  # of a long photo a part
                wide, high = min(wide, 1.5 * high), min(high, 1.5 * wide)
        else:
            wide = high = min(wide, high)
    else:
        size = share * min(height, width)
        wide, high = min(size * shape, width), min(size / shape, height)
    left, top = rng.uniform(0, width - wide + 1e-6), rng.uniform(0, height - high + 1e-6)
    matrix = np.array([[side / wide, 0, -left * side / wide], [0, side / high, -top * side / high]])
    if rng.random() < 0.5:
        matrix[0] = [-matrix[0, 0], -matrix[0, 1], side - 1 - matrix[0, 2]]
    return turned(matrix, rng.normal(0, 4) if rng.random() < 0.3 else 0.0, side)


def turned(matrix: np.ndarray, degrees: float, side: int) -> np.ndarray:
    """The map followed by a turn about the square's centre."""
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, 1.0)
    return turn @ np.vstack([matrix, [0, 0, 1]])


def placement(shape: tuple[int, int], side: int, rng: np.random.Generator) -> np.ndarray:
    """An affine map that puts a cut-out somewhere on the square: mostly whole, often large, often cut at the bottom."""
    height, width = shape
    extent = side * rng.uniform(0.35, 1.3)
    scale = min(extent / max(height, width), 6.0)
    stretch = np.exp(rng.uniform(-0.15, 0.15))
    across, down = scale * stretch, scale / stretch
    wide, high = width * across, height * down
    left = rng.uniform(min(0, side - wide) - 0.2 * wide, max(0, side - wide) + 0.2 * wide)
    top = rng.uniform(min(0, side - high), max(0, side - high))
    if rng.random() < 0.4:
        top = side - high * rng.uniform(0.7, 1.0)
    if rng.random() < 0.5:
        across, left = -across, left + wide
    matrix = np.array([[across, 0, left], [0, down, top]])
    return turned(matrix, rng.normal(0, 10) if rng.random() < 0.5 else 0.0, side)


def warp(pixels: np.ndarray, matrix: np.ndarray, side: int, *, border: int = cv2.BORDER_REFLECT_101) -> np.ndarray:
    """The part of a picture that an affine map brings to the square; shrinking averages pixels first."""
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale < 0.6:
        small = (max(2, round(pixels.shape[1] * scale)), max(2, round(pixels.shape[0] * scale)))
        factors = [pixels.shape[1] / small[0], pixels.shape[0] / small[1], 1.0]
        pixels, matrix = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), matrix @ np.diag(factors)
    return cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=border)


def recoloured(colours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another brightness and tint for a cut-out alone, colours being multiplied by its alpha."""
    return colours * np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.06, 3)).astype(np.float32)


def distorted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What light, lenses, privacy and files do to a photo."""
    pixels = image.astype(np.float32)
    if rng.random() < 0.7:
        gain = np.exp(rng.normal(0, 0.18) + rng.normal(0, 0.05, 3)).astype(np.float32)
        mean = pixels.mean()
        pixels = (pixels - mean) * np.exp(rng.normal(0, 0.15)) + mean
        grey = pixels.mean(2, keepdims=True)
        pixels = (grey + (pixels - grey) * rng.uniform(0.4, 1.5)) * gain
    if rng.random() < 0.05:
        pixels = np.repeat(pixels.mean(2, keepdims=True), 3, 2)
    if rng.random() < 0.15:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 1.5))
    if rng.random() < 0.12:
        pixels = with_a_blurred_spot(pixels, rng)
    if rng.random() < 0.25:
        pixels = pixels + rng.normal(0, rng.uniform(1, 10), pixels.shape).astype(np.float32)
    pixels = pixels.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        _, file = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])
        pixels = cv2.imdecode(file, cv2.IMREAD_COLOR)
    return pixels


def with_a_blurred_spot(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Part of a picture out of focus, or blurred as faces are that nobody shall know."""
    side = len(pixels)
    spot = np.zeros((side, side), np.float32)
    centre, axes = rng.uniform(0.1, 0.9, 2) * side, rng.uniform(0.05, 0.2, 2) * side
    cv2.ellipse(spot, (tuple(centre), tuple(2 * axes), rng.uniform(0, 180)), 1.0, -1)
    spot = cv2.GaussianBlur(spot, (0, 0), 2)[..., None]
    return pixels + spot * (cv2.GaussianBlur(pixels, (0, 0), side * rng.uniform(0.01, 0.05)) - pixels)

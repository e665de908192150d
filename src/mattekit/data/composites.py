"""Foregrounds over backgrounds, composed on the fly."""

from numbers import Integral
from pathlib import Path

import numpy as np

from mattekit._checks import check_number, check_positive, is_span
from mattekit.data.pairs import Folder, match
from mattekit.data.reading import check_one_size, images_by_stem, read_alpha, read_cutout, read_picture
from mattekit.data.sample import Sample
from mattekit.data.sources import DataError, check_index


class CompositeFolders:
    """Foregrounds with their mattes over a folder of backgrounds.

    The photo has the foreground's size. The background is enlarged where it is smaller than that, and a part of it is
    taken.

    Args:
        foregrounds: Folder of foregrounds: cut-outs with an alpha channel, or pictures whose mattes are in ``alphas``.
        backgrounds: Folder of backgrounds.
        alphas: Folder of mattes, matched by names without suffix.
        backgrounds_each: How many samples each foreground gives in an epoch. The background of each, and the part of
            it, are drawn. Several are told apart in their names, ``<foreground>_<k> over <background>``.
        place: Put the foreground somewhere into the background instead, whose size the photo then has: the least and
            the largest share of the background's height and width that it may take, which is drawn. For cut-outs that
            fill their files.

    Raises:
        DataError: If a folder is missing or empty, or a foreground lacks its matte, or a matte its foreground; all are
            listed.
        ValueError: If a number is out of range.

    Source:
        Section 4.1: each foreground with 100 backgrounds to train. Which ones, Composition-1k fixes:
        `mattekit.data.compose` writes just those.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for folder, mode, size in (("fg", "RGBA", (6, 4)), ("bg", "RGB", (3, 3))):
        ...     (root / folder).mkdir()
        ...     Image.new(mode, size).save(root / folder / "one.png")
        >>> source = CompositeFolders(root / "fg", root / "bg", backgrounds_each=100)
        >>> len(source), source(0, np.random.default_rng(0)).size
        (100, (4, 6))
    """

    def __init__(
        self,
        foregrounds: Folder,
        backgrounds: Folder,
        alphas: Folder | None = None,
        *,
        backgrounds_each: int = 1,
        place: tuple[float, float] | None = None,
    ) -> None:
        check_number("backgrounds_each", backgrounds_each, Integral)
        check_positive("backgrounds_each", backgrounds_each)
        if place is not None and (not is_span(place) or not (place[0] > 0 and place[1] <= 1)):
            raise ValueError(f"place must be a least and a largest share, above 0 and at most 1, got {place!r}")
        problems: list[str] = []
        found = {"foreground": images_by_stem(Path(foregrounds), problems)}
        if alphas is not None:
            found["alpha"] = images_by_stem(Path(alphas), problems)
        self.files = match(found, problems)
        behind = images_by_stem(Path(backgrounds), problems)
        if problems:
            raise DataError(sorted(problems))
        self.backgrounds = [behind[name] for name in sorted(behind)]
        self.backgrounds_each = int(backgrounds_each)
        self.place = place

    def __len__(self) -> int:
        return len(self.files) * self.backgrounds_each

    def __call__(self, index: int, rng: np.random.Generator) -> Sample:
        """The foreground of an index over a background that is drawn."""
        check_index(index, self)
        which, number = divmod(index, self.backgrounds_each)
        files, suffix = self.files[which], f"_{number}" if self.backgrounds_each > 1 else ""
        path = files["foreground"]
        if "alpha" not in files:
            foreground, alpha = read_cutout(path)
        else:
            foreground, alpha = read_picture(path), read_alpha(files["alpha"])
            check_one_size(str(path), foreground=foreground, alpha=alpha)
        behind = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        background = read_picture(behind)
        if self.place is None:
            background = cover(background, alpha.shape, rng)
        else:
            foreground, alpha = put(foreground, alpha, background.shape[:2], self.place, rng)
        return compose(foreground, alpha, background, name=f"{path.stem}{suffix} over {behind.stem}")

    def name_of(self, index: int) -> str:
        """What the foreground is called; the background is drawn."""
        return self.files[index // self.backgrounds_each]["foreground"].stem

    def group_of(self, index: int) -> Path:
        """The file of the foreground."""
        return self.files[index // self.backgrounds_each]["foreground"].resolve()


def compose(foreground: np.ndarray, alpha: np.ndarray, background: np.ndarray, *, name: str = "") -> Sample:
    """A sample from its layers: I = αF + (1 - α)B, rounded where they are uint8.

    Args:
        foreground: (H, W, 3), uint8 or float32 in [0, 1].
        alpha: (H, W) float32 in [0, 1].
        background: Of the foreground's shape and type.
        name: What to call it.

    Returns:
        The sample, with its layers.

    Source:
        Equation 1.

    Example:
        >>> white, black = np.full((1, 2, 3), 255, np.uint8), np.zeros((1, 2, 3), np.uint8)
        >>> compose(white, np.array([[1, 0.5]], np.float32), black).image[0, :, 0]
        array([255, 128], dtype=uint8)
    """
    import cv2

    share = cv2.merge((alpha, alpha, alpha))
    image = background + share * (foreground.astype(np.float32) - background)
    if foreground.dtype == np.uint8:
        image = np.rint(image).astype(np.uint8)
    return Sample(image, alpha, foreground, background, name=name)


def cover(background: np.ndarray, size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A part of a background, of a height and width; it is enlarged where it is smaller."""
    import cv2

    ratio = max(size[0] / background.shape[0], size[1] / background.shape[1])
    if ratio > 1:
        height, width = (
            max(wanted, round(ratio * now)) for wanted, now in zip(size, background.shape[:2], strict=True)
        )
        background = cv2.resize(background, (width, height), interpolation=cv2.INTER_LINEAR)
    top, left = (int(rng.integers(now - wanted + 1)) for wanted, now in zip(size, background.shape[:2], strict=True))
    return np.ascontiguousarray(background[top : top + size[0], left : left + size[1]])


def put(
    foreground: np.ndarray,
    alpha: np.ndarray,
    size: tuple[int, ...],
    share: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """A foreground and its matte at a place of a larger frame, black and clear around it."""
    from mattekit.data.geometry import resize

    ratio = float(rng.uniform(*share)) * min(size[0] / alpha.shape[0], size[1] / alpha.shape[1])
    small = max(1, round(ratio * alpha.shape[0])), max(1, round(ratio * alpha.shape[1]))
    cutout = resize(Sample(foreground, alpha, foreground), small)
    top, left = int(rng.integers(size[0] - small[0] + 1)), int(rng.integers(size[1] - small[1] + 1))
    frame = slice(top, top + small[0]), slice(left, left + small[1])
    placed, placed_alpha = np.zeros((*size[:2], 3), foreground.dtype), np.zeros(size[:2], np.float32)
    placed[frame], placed_alpha[frame] = cutout.foreground, cutout.alpha
    return placed, placed_alpha

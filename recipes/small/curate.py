"""Turn masks of people and the teachers' labels into mattes to train on, and say how far to trust each.

    python curate.py DATA LABELS MATTES

``verdicts.tsv`` has photos of which somebody looked at both teachers' cut-outs, and which was found right. Of the
others one is kept where both teachers agree on what its subject is, or, without a second opinion, where the first is
sure. The matte is the second teacher's where there is a choice, as it knows edges and thin parts better; where the two
agree on the subject, pixels on which they differ are hardly trusted. Closed form draws the transition of what is
trained on by the photo's colours; what is held out stays as the teacher, or the hand that drew the mask, has it.
``MATTES/manifest.json`` lists what was kept, ``MATTES/backgrounds.json`` the backgrounds in which the first teacher is
not sure of a subject.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from label import photo_folders
from sources import DRAWINGS, held_out, listed, read_grey, read_rgb, read_verdicts

from mattekit.inference import refine_alpha

EXACTNESS = {"isnet": 0.8, "hand": 0.6, "u2netp": 0.4}  # how far to trust each one's alpha once it is sharpened
# of closed form: a mask's hard edge tells less than a soft one
CONFIDENCE = {"isnet": 0.1, "hand": 0.02, "u2netp": 0.1}
RADIUS = 0.01  # of closed form, as a share of the short side


def sharpened(image: np.ndarray, mask: np.ndarray, whose: str) -> np.ndarray:
    """A mask (H, W) uint8, whose transition closed form draws anew by the photo's colours."""
    alpha = mask.astype(np.float32) / 255
    radius = max(1, round(RADIUS * min(mask.shape)))
    return np.rint(refine_alpha(alpha, image, radius=radius, confidence=CONFIDENCE[whose]) * 255).astype(np.uint8)


def drawn_by_hand(image: np.ndarray, mask: np.ndarray, is_held_out: bool) -> np.ndarray:
    """The matte of a person whose mask, 0 or above, somebody drew. What is held out is not sharpened."""
    soft = cv2.GaussianBlur(np.where(mask > 0, 255, 0).astype(np.uint8), (0, 0), 0.8)
    return soft if is_held_out else sharpened(image, soft, "hand")


def read_label(path: Path, image: np.ndarray) -> np.ndarray:
    """The label of a photo, (H, W) uint8; ValueError if it has another size."""
    label = read_grey(path)
    if label.shape != image.shape[:2]:
        raise ValueError(
            f"{path} must have the size of its photo, {image.shape[:2]}, got {label.shape}: delete it, label it anew"
        )
    return label


def solid(mask: np.ndarray) -> np.ndarray:
    """A mask in which what the teacher is almost sure of is 0 or 255."""
    return ((mask.astype(np.float32) - 0.05 * 255) / 0.9).clip(0, 255).round().astype(np.uint8)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks."""
    either = (first | second).sum()
    return 1.0 if either == 0 else float((first & second).sum() / either)


def judge(
    image: np.ndarray, first: np.ndarray, second: np.ndarray | None, verdict: str | None, is_held_out: bool
) -> tuple | None:
    """Matte, trusted pixels and exactness of a photo; None to leave it out. What is held out is not sharpened."""
    agreed = second is not None and do_agree(first, second)
    if verdict is None:
        verdict = "isnet" if agreed else "u2netp" if second is None and is_sure(first) else "neither"
    if verdict == "neither" or (verdict == "isnet" and second is None):
        return None
    if verdict == "u2netp":
        mask, doubted, trust = first, (first > 25) & (first < 230), 96
    else:
        assert second is not None
        differ = cv2.blur(np.abs(first.astype(np.float32) - second), (7, 7)) > 128
        mask, doubted, trust = solid(second), differ & agreed, 64
    matte = mask if is_held_out else sharpened(image, mask, verdict)
    return matte, np.where(doubted, trust, 255).astype(np.uint8), EXACTNESS[verdict]


def is_sure(first: np.ndarray) -> bool:
    """Whether the first teacher is sure of a subject."""
    sure, unsure = (first > 230).mean(), ((first > 25) & (first <= 230)).mean()
    return bool(0.03 < sure < 0.85 and unsure <= 0.25 * sure)


def do_agree(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether both teachers agree on a subject."""
    return bool(0.02 < (second > 128).mean() < 0.9 and overlap(first > 128, second > 128) >= 0.8)


def is_scene(first: np.ndarray) -> bool:
    """Whether a picture may be a background: the teacher, who always marks something, is hardly sure of anything."""
    sure, unsure = (first > 230).mean(), ((first > 25) & (first <= 230)).mean()
    return bool(sure < max(0.02, 0.6 * unsure))


def main() -> None:
    """Judge every photo and write the mattes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("mattes", type=Path)
    arguments = parser.parse_args()
    data, mattes = arguments.data, arguments.mattes

    entries, counts, verdicts = [], Counter(), read_verdicts()
    unseen = set(verdicts)
    for folder in photo_folders(data):
        (mattes / folder).mkdir(parents=True, exist_ok=True)
        for photo in sorted((data / folder).iterdir()):
            paths = [arguments.labels / teacher / folder / f"{photo.stem}.png" for teacher in ("u2netp", "isnet")]
            name = f"{folder}/{photo.name}"
            unseen.discard(name)
            is_drawing = any(word in photo.name for word in DRAWINGS)
            if is_drawing or not paths[0].exists():
                counts[folder, "drawing" if is_drawing else "no label", "left out"] += 1
                continue
            image = read_rgb(photo)
            first = read_label(paths[0], image)
            second = read_label(paths[1], image) if paths[1].exists() else None
            label = judge(image, first, second, verdicts.get(name), held_out(photo))
            opinions = "one label" if second is None else "two labels"
            counts[folder, opinions, "left out" if label is None else "kept"] += 1
            if label is None:
                continue
            matte, trusted, exactness = label
            files = {"matte": f"{folder}/{photo.stem}.matte.png", "trusted": f"{folder}/{photo.stem}.trusted.png"}
            for file, pixels in zip(files.values(), (matte, trusted), strict=True):
                cv2.imwrite(str(mattes / file), pixels)
            is_truth = verdicts.get(name) == "isnet"
            entries.append({"photo": name, **files, "exactness": exactness, "is_truth": is_truth})
    (mattes / "people").mkdir(parents=True, exist_ok=True)
    for photo in listed(data / "people/image"):
        image = read_rgb(photo)
        mask = read_label(data / "people/mask" / f"{photo.stem}.png", image)
        name, matte = f"people/image/{photo.name}", f"people/{photo.stem}.png"
        cv2.imwrite(str(mattes / matte), drawn_by_hand(image, mask, held_out(photo)))
        entries.append({"photo": name, "matte": matte, "exactness": EXACTNESS["hand"], "is_truth": True})
        counts["people", "mask", "kept"] += 1
    scenes = [
        f"{folder}/{photo.name}"
        for folder in ("backgrounds/wallpapers", "backgrounds/grocery")
        for photo in listed(data / folder)
        if is_scene(read_grey(arguments.labels / "u2netp" / folder / f"{photo.stem}.png"))
    ]
    (mattes / "backgrounds.json").write_text(json.dumps(scenes, indent=0))
    counts["backgrounds", "one label", "kept"] += len(scenes)
    partial = mattes / "manifest.part"
    partial.write_text(json.dumps(entries, indent=0))
    partial.rename(mattes / "manifest.json")
    for key, number in sorted(counts.items()):
        print(*key, number)
    print("verdicts without a photo", len(unseen))


if __name__ == "__main__":
    main()

"""Turn masks of people and the teachers' labels into mattes to train on, and say how far to trust each.

    python curate.py DATA LABELS MATTES

A photo is kept where both teachers agree on what its subject is, or, without a second opinion, where the first is sure.
The matte is the second teacher's where there is one, as it knows edges and thin parts better; pixels on which the two
disagree are not trusted. ``MATTES/manifest.json`` lists what was kept, ``MATTES/backgrounds.json`` the backgrounds
in which the first teacher is not sure of a subject.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from label import photo_folders
from sources import DRAWINGS, read_grey, read_rgb


def sharpened(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A soft mask whose edges follow the photo: He et al.'s guided filter, by the photo's grey, and a steeper ramp."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    soft = mask.astype(np.float32) / 255
    window = (9, 9)
    mean, mean_soft = cv2.blur(grey, window), cv2.blur(soft, window)
    slope = (cv2.blur(grey * soft, window) - mean * mean_soft) / (cv2.blur(grey * grey, window) - mean * mean + 1e-3)
    filtered = cv2.blur(slope, window) * grey + cv2.blur(mean_soft - slope * mean, window)
    return ((filtered - 0.5) * 1.6 + 0.5).clip(0, 1)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two masks."""
    either = (first | second).sum()
    return 1.0 if either == 0 else float((first & second).sum() / either)


def judge(image: np.ndarray, first: np.ndarray, second: np.ndarray | None) -> tuple | None:
    """Matte, trusted pixels (or None for all) and exactness of a photo; None to leave it out."""
    if second is None:
        sure = (first > 230).mean()
        unsure = ((first > 25) & (first <= 230)).mean()
        if not 0.03 < sure < 0.85 or unsure > 0.25 * sure:
            return None
        matte = (sharpened(image, first) * 255).astype(np.uint8)
        trusted = np.where((first > 25) & (first < 230), 96, 255).astype(np.uint8)
        return matte, trusted, 0.15
    area = (second > 128).mean()
    if not 0.02 < area < 0.9 or overlap(first > 128, second > 128) < 0.8:
        return None
    differ = cv2.blur(np.abs(first.astype(np.float32) - second), (7, 7)) > 128
    return second, np.where(differ, 64, 255).astype(np.uint8), 0.5


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

    entries, counts = [], Counter()
    for folder in photo_folders(data):
        (mattes / folder).mkdir(parents=True, exist_ok=True)
        for photo in sorted((data / folder).iterdir()):
            paths = [arguments.labels / teacher / folder / f"{photo.stem}.png" for teacher in ("u2netp", "isnet")]
            if any(word in photo.name for word in DRAWINGS) or not paths[0].exists():
                continue
            image = read_rgb(photo)
            verdict = judge(image, read_grey(paths[0]), read_grey(paths[1]) if paths[1].exists() else None)
            opinions = "two" if paths[1].exists() else "one"
            counts[folder, opinions, "left out" if verdict is None else "kept"] += 1
            if verdict is None:
                continue
            matte, trusted, exactness = verdict
            names = [f"{folder}/{photo.stem}.{kind}.png" for kind in ("matte", "trusted")]
            for name, pixels in zip(names, (matte, trusted), strict=True):
                cv2.imwrite(str(mattes / name), pixels)
            entries.append(
                {"photo": f"{folder}/{photo.name}", "matte": names[0], "trusted": names[1], "exactness": exactness}
            )
    (mattes / "people").mkdir(parents=True, exist_ok=True)
    for photo in sorted((data / "people/image").iterdir()):
        mask = read_grey(data / "people/mask" / f"{photo.stem}.png")
        soft = cv2.GaussianBlur(np.where(mask > 0, 255, 0).astype(np.uint8), (0, 0), 0.8)
        cv2.imwrite(str(mattes / f"people/{photo.stem}.png"), soft)
        entries.append({"photo": f"people/image/{photo.name}", "matte": f"people/{photo.stem}.png", "exactness": 0.4})
        counts["people", "mask", "kept"] += 1
    scenes = [
        f"{folder}/{photo.name}"
        for folder in ("backgrounds/wallpapers", "backgrounds/grocery")
        for photo in sorted((data / folder).iterdir())
        if is_scene(read_grey(arguments.labels / "u2netp" / folder / f"{photo.stem}.png"))
    ]
    (mattes / "backgrounds.json").write_text(json.dumps(scenes, indent=0))
    counts["backgrounds", "one", "kept"] += len(scenes)
    partial = mattes / "manifest.part"
    partial.write_text(json.dumps(entries, indent=0))
    partial.rename(mattes / "manifest.json")
    for key, number in sorted(counts.items()):
        print(*key, number)


if __name__ == "__main__":
    main()

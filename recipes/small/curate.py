"""Turn masks of people and the teachers' labels into mattes to train on, and say how far to trust each.

    python curate.py DATA LABELS MATTES

``verdicts.tsv`` has photos of which somebody looked at both teachers' cut-outs, and which was found right; a photo that
nobody looked at is left out. The matte is the second teacher's where there is a choice, as it knows edges and thin
parts better; where the two agree on the subject, pixels on which they differ are hardly trusted. Closed form draws the
transition of what is trained on by the photo's colours; what is held out stays as the teacher, or the hand that drew
the mask, has it.

``MATTES/manifest.json`` lists what was kept, ``MATTES/backgrounds.json`` the backgrounds in which the first teacher is
not sure of a subject.
"""

import argparse
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from label import BACKGROUNDS, TEACHERS, is_used, photo_folders
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


def reason_to_leave_out(name: str, verdict: str | None, missing: bool) -> str | None:
    """Why a photo is left out; None if it is kept."""
    if any(word in Path(name).name for word in DRAWINGS):
        return "a drawing"
    if verdict is None:
        return "nobody looked at it"
    if verdict == "neither":
        return "neither label is right"
    return "a label is missing" if missing else None


def judge(
    image: np.ndarray, first: np.ndarray, second: np.ndarray | None, is_held_out: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Matte, trusted pixels and exactness by the second teacher, if there is one. What is held out is not sharpened."""
    if second is None:
        whose, mask, doubted, trust = "u2netp", first, (first > 25) & (first < 230), 96
    else:
        differ = cv2.blur(np.abs(first.astype(np.float32) - second), (7, 7)) > 128
        whose, mask, doubted, trust = "isnet", solid(second), differ & do_agree(first, second), 64
    matte = mask if is_held_out else sharpened(image, mask, whose)
    return matte, np.where(doubted, trust, 255).astype(np.uint8), EXACTNESS[whose]


def do_agree(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether both teachers agree on a subject."""
    return bool(0.02 < (second > 128).mean() < 0.9 and overlap(first > 128, second > 128) >= 0.8)


def is_scene(first: np.ndarray) -> bool:
    """Whether a picture may be a background: the teacher, who always marks something, is hardly sure of anything."""
    sure, unsure = (first > 230).mean(), ((first > 25) & (first <= 230)).mean()
    return bool(sure < max(0.02, 0.6 * unsure))


def curate_photo(name: str, verdict: str | None, data: Path, labels: Path, mattes: Path) -> dict | str:
    """Write what is kept of a photo, and return its entry in the manifest, or why it is left out."""
    paths = [
        labels / teacher / Path(name).with_suffix(".png") for teacher in TEACHERS if is_used(teacher, name, verdict)
    ]
    reason = reason_to_leave_out(name, verdict, not all(path.exists() for path in paths))
    if reason is not None:
        return reason
    image = read_rgb(data / name)
    first, second = [*(read_label(path, image) for path in paths), None][:2]
    matte, trusted, exactness = judge(image, first, second, held_out(data / name))
    stem = Path(name).with_suffix("")
    files = {"matte": f"{stem}.matte.png", "trusted": f"{stem}.trusted.png"}
    for file, pixels in zip(files.values(), (matte, trusted), strict=True):
        cv2.imwrite(str(mattes / file), pixels)
    return {"photo": name, **files, "exactness": exactness, "is_truth": verdict == "isnet"}


def curate_person(photo: Path, data: Path, mattes: Path) -> dict:
    """Write the matte of a photo of ``people``, and return its entry in the manifest."""
    image = read_rgb(photo)
    mask = read_label(data / "people/mask" / f"{photo.stem}.png", image)
    matte = f"people/{photo.stem}.png"
    cv2.imwrite(str(mattes / matte), drawn_by_hand(image, mask, held_out(photo)))
    return {"photo": f"people/image/{photo.name}", "matte": matte, "exactness": EXACTNESS["hand"], "is_truth": True}


def main() -> None:
    """Judge every photo and write the mattes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("mattes", type=Path)
    arguments = parser.parse_args()
    data, labels, mattes = arguments.data, arguments.labels, arguments.mattes

    verdicts, folders = read_verdicts(), photo_folders(data)
    for folder in (*folders, "people"):
        (mattes / folder).mkdir(parents=True, exist_ok=True)
    names = [f"{folder}/{photo.name}" for folder in folders for photo in listed(data / folder)]
    with ThreadPoolExecutor() as threads:
        judged = list(
            threads.map(partial(curate_photo, data=data, labels=labels, mattes=mattes), names, map(verdicts.get, names))
        )
        people = list(threads.map(partial(curate_person, data=data, mattes=mattes), listed(data / "people/image")))
    entries = [entry for entry in judged if isinstance(entry, dict)] + people
    counts = Counter(
        (Path(name).parent.as_posix(), entry if isinstance(entry, str) else "kept")
        for name, entry in zip(names, judged, strict=True)
    )
    counts["people", "kept"] = len(people)
    scenes = [
        f"{folder}/{photo.name}"
        for folder in BACKGROUNDS
        for photo in listed(data / folder)
        if is_scene(read_grey(labels / "u2netp" / folder / f"{photo.stem}.png"))
    ]
    (mattes / "backgrounds.json").write_text(json.dumps(scenes, indent=0))
    counts["backgrounds", "kept"] = len(scenes)
    unfinished = mattes / "manifest.part"
    unfinished.write_text(json.dumps(entries, indent=0))
    unfinished.rename(mattes / "manifest.json")
    for key, number in sorted(counts.items()):
        print(*key, number)
    print("verdicts without a photo", len(verdicts.keys() - set(names)))


if __name__ == "__main__":
    main()

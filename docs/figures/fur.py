"""The small weights' fur beside the teachers': ``python docs/figures/fur.py U2NETP ISNET``.

Writes the picture docs/_static/fur.jpg, and fur.json, the scores in the transition, from which pages.py makes a table.
``U2NETP`` and ``ISNET`` are ONNX files; IS-Net's may be the npm package, as in recipes/small.
"""

import json
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from mattekit import trimap
from mattekit.export.metadata import hash_of
from mattekit.inference import predict, refine_alpha
from mattekit.metrics import evaluate
from mattekit.models import pp_matting
from mattekit.photos import read_image, read_matte

HERE = Path(__file__).parent
ASSETS = files("mattekit") / "assets"
WINDOW = np.s_[65:185, 195:315]
SIDE, GAP = 240, 6
ABOVE_THE_PAWS = np.s_[:330]  # below them is a log, which one network takes for a part of the subject and another not
SURE, AROUND = 0.05, 2  # what is this close to 0 or 1 is no transition; pixels by which that is widened


def ours() -> dict[str, np.ndarray]:
    """The mattes of the small weights, plain and refined."""
    photo = read_image(ASSETS / "lemur.jpg")
    plain = predict(pp_matting(weights="small"), photo)
    return {"small": in_bytes(plain), "refined": in_bytes(refine_alpha(plain, photo))}


def theirs(u2netp: Path, isnet: Path) -> dict[str, np.ndarray]:
    """The teachers' mattes."""
    sys.path.insert(0, str(HERE.parent.parent / "recipes/small"))
    from label import TEACHERS, label, session_of  # pyright: ignore[reportMissingImports]

    paths = {"u2netp": u2netp, "isnet": isnet}
    return {
        who: np.asarray(label(session_of(path, 1), TEACHERS[who], Path(str(ASSETS / "lemur.jpg"))))
        for who, path in paths.items()
    }


def in_bytes(alpha: np.ndarray) -> np.ndarray:
    return np.rint(alpha * 255).astype(np.uint8)


def scores(mattes: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Every metric in the transition of the true matte, and around it."""
    truth = read_matte(ASSETS / "lemur_alpha.png")[ABOVE_THE_PAWS]
    rounded = np.where(truth <= 255 * SURE, 0, np.where(truth >= 255 * (1 - SURE), 255, truth)).astype(np.uint8)
    unknown = trimap.from_alpha(rounded, width=AROUND)
    found = {who: evaluate(matte[ABOVE_THE_PAWS], truth, unknown) for who, matte in mattes.items()}
    return {who: {name: round(float(value), 5) for name, value in of._asdict().items()} for who, of in found.items()}


def main(u2netp: str, isnet: str) -> None:
    mattes = ours() | theirs(Path(u2netp), Path(isnet))
    panels = [read_image(ASSETS / "lemur.jpg"), *mattes.values()]
    paper = Image.new("RGB", (len(panels) * (SIDE + GAP) - GAP, SIDE), "white")
    for number, panel in enumerate(panels):
        closer = Image.fromarray(panel[WINDOW]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        paper.paste(closer, (number * (SIDE + GAP), 0))
    paper.save(HERE.parent / "_static/fur.jpg", quality=88, optimize=True)
    document = {"weights": hash_of(pp_matting(weights="small")), "scores": scores(mattes)}
    (HERE / "fur.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

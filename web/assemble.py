"""Put the page together: ``python web/assemble.py FOLDER``, after ``npm install --prefix web``; ``make web`` does both.

The page and the three files of onnxruntime-web that it needs go into the folder. The network is to follow as
``matte.onnx``.
"""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGE = ("index.html", "matte.css", "matte.js")
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def assemble(folder: Path) -> None:
    """Copy the page and its runtime into a folder."""
    runtime = HERE / "node_modules" / "onnxruntime-web" / "dist"
    if not runtime.is_dir():
        raise FileNotFoundError(f"there is no {runtime}: run npm install --prefix web")
    (folder / "ort").mkdir(parents=True, exist_ok=True)
    for name in PAGE:
        shutil.copy(HERE / name, folder / name)
    for name in RUNTIME:
        shutil.copy(runtime / name, folder / "ort" / name)


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))

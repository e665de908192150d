"""The golden cases of the metrics; tests/data/metrics/README.md says where they come from."""

import json
from functools import cache
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent.parent / "data" / "metrics"
EXPECTED = {name: case for name, case in json.loads((FOLDER / "golden.json").read_text()).items() if name != "_meta"}
NAMES = sorted(EXPECTED)

# Values beyond 0..255, which the public functions refuse: only the arithmetic below their check sees this one.
OUT_OF_RANGE = "float64_out_of_range"
IN_RANGE = [name for name in NAMES if name != OUT_OF_RANGE]

# The reference sums in single precision; its own rounding was measured at up to 3.9e-6 of the result (SPEC, section 5).
TOLERANCE = {"rel": 1e-5, "abs": 1e-6, "nan_ok": True}


@cache
def load(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prediction, ground truth and trimap; floats brought to [0, 1]."""
    case = np.load(FOLDER / f"{name}.npz")
    pred, alpha = (x if x.dtype == np.uint8 else x / 255 for x in (case["pred"], case["gt"]))
    for array in (pred, alpha, trimap := case["trimap"]):
        array.setflags(write=False)  # whoever writes into an argument fails
    return pred, alpha, trimap


def value(name: str, metric: str) -> float:
    """What the reference returned."""
    return float(EXPECTED[name][metric])


def exact(name: str, metric: str) -> float | None:
    """The integer arithmetic's value, for 8-bit cases."""
    found = EXPECTED[name].get("exact", {}).get(metric)
    return None if found is None else float(found)

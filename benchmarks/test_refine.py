"""Hair drawn by the photo's colours, against PyMatting's closed form, which people run after a network.

Both get the same unknown region, of `small`'s matte of the demo's lemur, and draw what is in it. They do not draw the
same: ours stays close to the network's matte, by which its system is solved in fewer steps.
"""

from functools import partial
from importlib.resources import files

import cv2
import numpy as np
import pytest

from mattekit import trimap
from mattekit.inference import predict, refine_alpha
from mattekit.models import pp_matting
from mattekit.photos import read_image


@pytest.mark.parametrize("device", ["cpu"])
@pytest.mark.parametrize("scale", [1, 2])
def test_refine_a_matte(device, scale, compare):
    pymatting = pytest.importorskip("pymatting")  # which compiles for a minute where it has never run
    photo = read_image(files("mattekit") / "assets/lemur.jpg")
    photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    alpha = predict(pp_matting(weights="small"), photo)
    hint = trimap.from_alpha(alpha.round(), width=8 * scale)
    height, width = alpha.shape
    sides = {
        "PyMatting's closed form": partial(pymatting.estimate_alpha_cf, photo / 255, np.round(hint / 255, 1)),
        "refine_alpha": partial(refine_alpha, alpha, photo, trimap=hint),
    }
    compare(f"a matte of {width}×{height} refined", sides)

"""A source that tells of the process it is called in; a module of its own, as spawned workers have to import it."""

import cv2
import numpy as np
from PIL import Image

from mattekit.data import Sample


class Telling:
    def __len__(self):
        return 1

    def __call__(self, index, rng):
        name = f"{Image.MAX_IMAGE_PIXELS} pixels, {cv2.getNumThreads()} thread"
        return Sample(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.float32), name=name)

"""From a photo to its matte, and networks made ready to do that fast."""

from mattekit.inference.closed_form import refine_alpha
from mattekit.inference.guided import guided_upsample
from mattekit.inference.predict import Augmentation, Prediction, predict, predict_windowed
from mattekit.inference.prepare import PreparedMatting, prepare

__all__ = [
    "Augmentation", "Prediction", "PreparedMatting", "guided_upsample", "predict", "predict_windowed", "prepare",
    "refine_alpha",
]  # fmt: skip

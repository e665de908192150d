"""From a photo to its matte, and networks made ready to do that fast."""

from mattekit.inference.predict import Augmentation, Prediction, predict, predict_windowed
from mattekit.inference.prepare import PreparedMatting, prepare

__all__ = ["Augmentation", "Prediction", "PreparedMatting", "predict", "predict_windowed", "prepare"]

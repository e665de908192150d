"""Training: the paper's recipe, on any data, and on any network by another step.

A `Step` is a model with its losses; `train` is the loop, which knows neither; `Settings` are what it is told, the
paper's by default. A run can be killed at any moment and resumed.
"""

from mattekit.training.checkpoint import TrainingError
from mattekit.training.faults import reproduce
from mattekit.training.fingerprint import fingerprint
from mattekit.training.loop import train
from mattekit.training.settings import Settings, rate_factor
from mattekit.training.step import PPMattingStep, Step, StepResult, pp_matting_step, share_of_all
from mattekit.training.validation import validate

__all__ = [
    "PPMattingStep",
    "Settings",
    "Step",
    "StepResult",
    "TrainingError",
    "fingerprint",
    "pp_matting_step",
    "rate_factor",
    "reproduce",
    "share_of_all",
    "train",
    "validate",
]

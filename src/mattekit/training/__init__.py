"""Training: the paper's recipe, on any data, and on any network by another step.

A `Step` is a model with its losses; `train` is the loop, which knows neither; `Settings` say how it runs, by
default as in the paper. A run can be killed at any moment and resumed.

Importing the package imports no torch; what needs it is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mattekit.training.settings import Settings, rate_factor

if TYPE_CHECKING:
    from mattekit.training.ablation import AblationResult, ablate
    from mattekit.training.checkpoint import ResumeError, TrainingError
    from mattekit.training.faults import reproduce
    from mattekit.training.figure import figure5
    from mattekit.training.fingerprints import fingerprint
    from mattekit.training.holdout import hold_out
    from mattekit.training.loop import train
    from mattekit.training.memory import keep_freed_memory
    from mattekit.training.step import PPMattingStep, Step, StepResult, pp_matting_step, share_of_all
    from mattekit.training.validation import validate

__all__ = [
    "AblationResult",
    "PPMattingStep",
    "ResumeError",
    "Settings",
    "Step",
    "StepResult",
    "TrainingError",
    "ablate",
    "figure5",
    "fingerprint",
    "hold_out",
    "keep_freed_memory",
    "pp_matting_step",
    "rate_factor",
    "reproduce",
    "share_of_all",
    "train",
    "validate",
]

_FILES = {
    "ablation": ("AblationResult", "ablate"),
    "checkpoint": ("ResumeError", "TrainingError"),
    "faults": ("reproduce",),
    "figure": ("figure5",),
    "fingerprints": ("fingerprint",),
    "holdout": ("hold_out",),
    "loop": ("train",),
    "memory": ("keep_freed_memory",),
    "step": ("PPMattingStep", "Step", "StepResult", "pp_matting_step", "share_of_all"),
    "validation": ("validate",),
}


def __getattr__(name: str):
    for file, names in _FILES.items():
        if name in names:
            return getattr(import_module(f"mattekit.training.{file}"), name)
    raise AttributeError(f"module 'mattekit.training' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

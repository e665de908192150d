"""Whole networks."""

from mattekit.models.description import build, describe
from mattekit.models.factory import pp_matting
from mattekit.models.pp_matting import PPMatting, PPMattingOutput
from mattekit.models.preprocessing import Preprocessing

__all__ = ["PPMatting", "PPMattingOutput", "Preprocessing", "build", "describe", "pp_matting"]

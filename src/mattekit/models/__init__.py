"""Whole networks."""

from mattekit.models.factory import pp_matting
from mattekit.models.pp_matting import PPMatting, PPMattingOutput

__all__ = ["PPMatting", "PPMattingOutput", "pp_matting"]

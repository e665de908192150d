"""Networks in pieces: what modules say of themselves, and features that are computed only where they are asked for.

A module that says how far it sees can be run on a part of a photo, with as many pixels around it as it sees, and gives
there what it gives on the whole. One that says nothing runs on the whole.
"""

from mattekit.windows.calling import levels_of, wholes
from mattekit.windows.declarations import chain, declared, halo, has_hooks, in_sequence, own_methods, parallel
from mattekit.windows.levels import Level, compute_levels, in_order, size_of, through
from mattekit.windows.resizing import resize_bilinear
from mattekit.windows.spans import Window
from mattekit.windows.tiling import tiled

__all__ = [
    "Level",
    "Window",
    "chain",
    "compute_levels",
    "declared",
    "halo",
    "has_hooks",
    "in_order",
    "in_sequence",
    "levels_of",
    "own_methods",
    "parallel",
    "resize_bilinear",
    "size_of",
    "through",
    "tiled",
    "wholes",
]

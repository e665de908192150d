"""Folders of mattes against ground truth: matched by name, checked before anything is computed, scored in parallel.

:func:`evaluate_folders` is what ``mattekit evaluate`` runs. :data:`PROTOCOLS` holds what the common benchmarks count.
The arithmetic is that of `mattekit.metrics`.

Importing the package imports no torch.

>>> from mattekit.evaluation import PROTOCOLS
>>> PROTOCOLS["composition-1k"].regions
('unknown',)
"""

from mattekit.evaluation.folders import FolderScores, evaluate_folders
from mattekit.evaluation.matching import FolderError
from mattekit.evaluation.protocols import PROTOCOLS, BenchmarkProtocol

__all__ = ["PROTOCOLS", "BenchmarkProtocol", "FolderError", "FolderScores", "evaluate_folders"]

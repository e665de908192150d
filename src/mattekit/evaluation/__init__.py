"""Folders of mattes against ground truth: matched by name, checked before anything is computed, scored in parallel.

:func:`evaluate_folders` is what ``mattekit evaluate`` runs; :func:`compare_folders`, what ``mattekit compare`` runs,
sets several methods side by side. :data:`PROTOCOLS` holds what the common benchmarks count.
The arithmetic is that of `mattekit.metrics`.

Importing the package imports no torch.

>>> from mattekit.evaluation import PROTOCOLS
>>> PROTOCOLS["composition-1k"].regions
('unknown',)
"""

from mattekit.evaluation.bootstrap import PairedBootstrap, paired_bootstrap
from mattekit.evaluation.classical import estimate_mattes
from mattekit.evaluation.comparing import Comparison, compare_folders
from mattekit.evaluation.folders import FolderScores, evaluate_folders
from mattekit.evaluation.matching import FolderError
from mattekit.evaluation.protocols import PROTOCOLS, BenchmarkProtocol
from mattekit.evaluation.readings import Reading, consistent_readings

__all__ = [
    "PROTOCOLS",
    "BenchmarkProtocol",
    "Comparison",
    "FolderError",
    "FolderScores",
    "PairedBootstrap",
    "Reading",
    "compare_folders",
    "consistent_readings",
    "estimate_mattes",
    "evaluate_folders",
    "paired_bootstrap",
]

"""Data for training and validation: where samples come from, how they are changed, how they reach the network.

A **source** gives samples by index: `PairFolder`, `CompositeFolders`, `SyntheticMattes`, a `Mix` of them, or anything
with ``len(source)`` and ``source(index, rng)``. A **transform** changes a `Sample`: geometry moves all of its fields
together, colour touches its pictures only. A `Loader` takes both and yields a `Batch` after the other.
"""

from mattekit.data.batch import Batch, Position, collate
from mattekit.data.benchmarks import benchmark
from mattekit.data.camera import RandomBlur, RandomDownscale, RandomJpeg, RandomNoise
from mattekit.data.checking import check_folder
from mattekit.data.colour import RandomDistort
from mattekit.data.composites import CompositeFolders, compose
from mattekit.data.fixed import FixedComposites, Pair, list_file, pair_up
from mattekit.data.geometry import Pad, RandomAffine, RandomCrop, RandomFlip, Resize
from mattekit.data.layouts import open_folder
from mattekit.data.loader import Loader, SampleError, epoch_order, sample_generator
from mattekit.data.merging import MergeForegrounds
from mattekit.data.pairs import PairFolder
from mattekit.data.rssn import RSSN
from mattekit.data.sample import Sample
from mattekit.data.sources import DataError, Mix, Source
from mattekit.data.synthetic import SyntheticMattes
from mattekit.data.transforms import Compose, RandomApply, Transform, paper_transform
from mattekit.data.writing import write_samples

__all__ = [
    "RSSN",
    "Batch",
    "Compose",
    "CompositeFolders",
    "DataError",
    "FixedComposites",
    "Loader",
    "MergeForegrounds",
    "Mix",
    "Pad",
    "Pair",
    "PairFolder",
    "Position",
    "RandomAffine",
    "RandomApply",
    "RandomBlur",
    "RandomCrop",
    "RandomDistort",
    "RandomDownscale",
    "RandomFlip",
    "RandomJpeg",
    "RandomNoise",
    "Resize",
    "Sample",
    "SampleError",
    "Source",
    "SyntheticMattes",
    "Transform",
    "benchmark",
    "check_folder",
    "collate",
    "compose",
    "epoch_order",
    "list_file",
    "open_folder",
    "pair_up",
    "paper_transform",
    "sample_generator",
    "write_samples",
]

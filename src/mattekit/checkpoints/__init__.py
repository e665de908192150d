"""Checkpoints: reading, loading and saving weights, and the weights that the authors published."""

from mattekit.checkpoints.loading import LoadReport, load, save
from mattekit.checkpoints.pdparams import read_pdparams
from mattekit.checkpoints.published import PublishedWeights, published

__all__ = ["LoadReport", "PublishedWeights", "load", "published", "read_pdparams", "save"]

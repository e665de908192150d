"""Checkpoints: reading, loading and saving weights, and the weights that the authors published."""

from mattekit.checkpoints.loading import LoadReport, load, save
from mattekit.checkpoints.paddleseg import PublishedWeights, published
from mattekit.checkpoints.pdparams import read_pdparams

__all__ = ["LoadReport", "PublishedWeights", "load", "published", "read_pdparams", "save"]

"""Foreground colours: what a pixel of a matte's edge shows of the subject, without the old background.

>>> import torch
>>> from mattekit.foreground import estimate_foreground
>>> photo, matte = torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 8)
>>> estimate_foreground(photo, matte).shape
torch.Size([1, 3, 8, 8])
"""

from mattekit.foreground.estimate import estimate_foreground

__all__ = ["estimate_foreground"]

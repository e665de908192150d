"""Photos and mattes on disk, in 8 and 16 bits, and the resizing that prediction, validation and data share.

>>> import tempfile
>>> from pathlib import Path
>>> import numpy as np
>>> from mattekit import photos
>>> path = Path(tempfile.mkdtemp()) / "matte.png"
>>> photos.write_image(path, np.full((4, 6), 128, np.uint8))
>>> photos.read_matte(path).shape
(4, 6)
"""

from mattekit.photos.atomic import write_atomically
from mattekit.photos.folders import list_images
from mattekit.photos.reading import Photo, read_image, read_matte, read_photo
from mattekit.photos.resizing import limit_short_side, resize, to_multiple_of
from mattekit.photos.writing import write_image

__all__ = [
    "Photo",
    "limit_short_side",
    "list_images",
    "read_image",
    "read_matte",
    "read_photo",
    "resize",
    "to_multiple_of",
    "write_atomically",
    "write_image",
]

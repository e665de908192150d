"""Programs of torch.export."""

import io
import json
import os
import warnings
from pathlib import Path

import numpy as np
import torch

from mattekit._checks import check_positive
from mattekit.export.checking import Exported, check_against
from mattekit.export.metadata import metadata_of
from mattekit.export.network import EXAMPLE, MAPS, folded, reference_of
from mattekit.models import PPMatting
from mattekit.photos import write_atomically

METADATA = "mattekit.json"
"""The file within the program's archive that holds the metadata."""


def program(model: PPMatting, path: str | os.PathLike[str], *, tolerance: float = 1e-4) -> Exported:
    """Export a network as a program of torch.export, which runs without this package.

    ``torch.export.load(path).module()`` takes an image, (N, 3, H, W) RGB in [0, 1] with sides from 33 up, and returns
    alpha, detail map and semantic logits. It is folded, checked and written as `onnx` does it; the metadata are the
    archive's ``mattekit.json``, which ``torch.export.load(path, extra_files=files)`` puts into a dictionary that has
    the key.

    A side of 32 leaves features of one pixel, and torch.export would take that size for fixed.

    Args:
        model: As in `onnx`.
        path: The file, ending in ``.pt2``. It is written whole or not at all.
        tolerance: As in `onnx`.

    Returns:
        What was exported, with the largest difference that was found.

    Raises:
        TypeError: As `onnx`.
        ValueError: As `onnx`; the suffix is ``.pt2``.
        RuntimeError: If the program's numbers are not the network's. Nothing is written then.

    Example:
        >>> import tempfile
        >>> from mattekit import export
        >>> from mattekit.models import pp_matting
        >>> model = pp_matting("hrnet_w18_small_v1").eval()
        >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
        ...     export.program(model, f"{folder}/matting.pt2").outputs
        ('alpha', 'detail', 'semantic_logits')
    """
    if Path(path).suffix != ".pt2":
        raise ValueError(f"path must end in .pt2, got {os.fspath(path)!r}")
    check_positive("tolerance", tolerance)
    reference = reference_of(model)
    batch = torch.export.Dim("batch", min=1)
    height, width = (torch.export.Dim(name, min=33) for name in ("height", "width"))
    metadata = metadata_of(model, torch=torch.__version__)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own use of what it deprecates
        exported = torch.export.export(
            folded(reference),
            (torch.rand(EXAMPLE),),
            dynamic_shapes=({0: batch, 2: height, 3: width},),
            strict=False,
        )
        torch.export.save(exported, buffer, extra_files={METADATA: json.dumps(metadata)})
        loaded = torch.export.load(io.BytesIO(buffer.getvalue())).module()

    def run(image: np.ndarray) -> list[np.ndarray]:
        return [x.numpy() for x in loaded(torch.from_numpy(image))]

    difference = check_against(reference, run, MAPS, tolerance)
    data = buffer.getvalue()
    write_atomically(path, lambda stream: stream.write(data))
    return Exported(Path(path), MAPS, difference, metadata, len(data))

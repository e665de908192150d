"""Single functions of PyMatting, each from its file alone, since all of PyMatting compiles for a minute."""

import importlib.util
import tempfile
from functools import cache
from pathlib import Path


@cache
def pymatting_function(folder, name):
    """The function that a file of PyMatting is called by."""
    import numba

    package = importlib.util.find_spec("pymatting")
    path = Path(package.submodule_search_locations[0]) / folder / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"pymatting_{name}", path)
    module = importlib.util.module_from_spec(spec)
    with tempfile.TemporaryDirectory() as cache_dir:  # what a file loaded so leaves in a cache cannot be read again
        numba.config.CACHE_DIR = cache_dir
        spec.loader.exec_module(module)
    return getattr(module, name)

"""What the C library does with the memory that a step frees."""

import ctypes
import sys

# of glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Have this process keep what tensors free for those that come next, and return whether that could be asked for.

    A training step frees gigabytes that the next step needs again. glibc gives large blocks back to the system, and a
    block that is asked for anew costs page faults: on a CPU a quarter of a step's time and more. The price is that the
    process stays as large as it once was. ``mattekit train`` calls this, and a script of yours may. It does what
    ``MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1`` in front of a command does, and nothing where the C library is
    another than glibc, or where another allocator was loaded.

    Source:
        mallopt(3).

    Example:
        >>> from mattekit.training import keep_freed_memory
        >>> keep_freed_memory()  # doctest: +SKIP
        True
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*option) == 1 for option in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1)))

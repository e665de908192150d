"""Progress bars, which a caller or the user may do without."""

import os


def hidden(progress: bool = True) -> bool:
    """Whether a bar is left out: nobody asked for it, or ``TQDM_DISABLE`` is set.

    tqdm itself reads that once, as it is imported, and does not heed it where ``disable`` is given.
    """
    return not progress or bool(os.environ.get("TQDM_DISABLE"))

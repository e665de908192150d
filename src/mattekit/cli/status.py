"""Exit statuses, and how many cores there are."""

import os


def status_of(done: int, failed: int) -> int:
    """0 if all was done, 1 if a part, 2 if nothing."""
    return 0 if not failed else 1 if done else 2


def cores() -> int:
    """The cores that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

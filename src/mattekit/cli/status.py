"""Exit statuses."""


def status_of(done: int, failed: int) -> int:
    """0 if all was done, 1 if a part, 2 if nothing."""
    return 0 if not failed else 1 if done else 2

"""Print what ``make check`` looks at: ``python .ci/changed.py types``, or ``tests``.

Changed is what differs from main, committed or not, and what git does not know yet. A module is held by the test file
of its name, or by its room's; its docstring's examples are tests too. The plan of the house is always among the tests.
"""

import subprocess
import sys
from pathlib import Path


def changed() -> list[Path]:
    """The files that changed and are there."""

    def git(*arguments: str) -> list[str]:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.splitlines()

    on_main = subprocess.run(["git", "merge-base", "HEAD", "main"], capture_output=True, text=True).stdout.strip()
    names = git("diff", "--name-only", on_main or "HEAD") + git("ls-files", "--others", "--exclude-standard")
    return [path for path in map(Path, sorted(set(names))) if path.exists()]


def tests_of(path: Path) -> list[Path]:
    """What holds a file."""
    if path.suffix == ".md" and path.parts[0] != "tests":
        return [Path("tests/docs/test_pages.py")]
    if path.suffix != ".py":
        return []
    if path.parts[0] == "tests":
        return [path] if path.name.startswith("test_") else []
    if path.parts[:2] != ("src", "mattekit") or len(path.parts) < 3:
        return []
    room = path.parts[2].removesuffix(".py").lstrip("_")
    one, all_of_them = Path("tests", room, f"test_{path.stem}.py"), Path("tests", room)
    alone = Path("tests", f"test_{room}.py")
    return [path, *[found for found in (one, all_of_them, alone) if found.exists()][:1]]


if __name__ == "__main__":
    if sys.argv[1] == "types":
        found = [path for path in changed() if path.suffix == ".py" and path.parts[0] == "src"]
    else:
        found = sorted({test for path in changed() for test in tests_of(path)} | {Path("tests/test_house.py")})
    print(*found)

"""Change the library a little, at random, and ask its tests: ``python .ci/mutants.py windows export --count 30``.

The changes are mutmut's, within functions, one at a time. Each is tried in a process of its own, which imports the
changed text in the file's place: nothing on disk is touched. The module's doctests run first, then the test file of its
name, its room's others and those that name the room, until one fails or the seconds are over. A test that takes five
minutes hangs, which notices the change as well. Survivors are printed as differences, shares at the end.
"""

import argparse
import contextlib
import difflib
import importlib
import os
import random
import signal
import time
from collections import Counter
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import NamedTuple

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

# what is imported before the fork is imported once
import cv2  # noqa: F401
import pytest
import torch  # noqa: F401
from libcst import Module
from mutmut.mutation.file_mutation import Mutation, create_mutations

SOURCE = Path("src/mattekit").resolve()
TESTS = Path("tests")
# what compiles, needs a GPU or starts another Python says nothing of a change in this process
LEFT_OUT = "not compile and not cuda and not processes and not killed and not pay_for_no_torch and not signal"
HANGS = 300  # seconds
PASSED = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class Change(NamedTuple):
    """A module with one of its mutations."""

    path: Path
    module: Module
    mutation: Mutation | None

    def text(self) -> str:
        """Return the module's text after the change."""
        if self.mutation is None:
            return self.module.code
        return self.module.deep_replace(self.mutation.original_node, self.mutation.mutated_node).code  # pyright: ignore

    def difference(self) -> str:
        """Return what is changed, with the lines around it."""
        before, after = self.module.code.splitlines(), self.text().splitlines()
        return "\n".join([*difflib.unified_diff(before, after, n=2, lineterm="")][2:])


def room_of(path: Path) -> str:
    """The folder of `mattekit` that holds a module, or the module itself."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def changes(path: Path) -> list[Change]:
    """All the changes of a module that lie within a function."""
    module, mutations, *_ = create_mutations(str(path), path.read_text())
    return [Change(path, module, mutation) for mutation in mutations if mutation.contained_by_top_level_function]


def tests_of(path: Path) -> tuple[list[Path], list[Path]]:
    """A module with its doctests and the test files of its room, the one of its name first; others that name it."""
    room, every = room_of(path), sorted(TESTS.rglob("test_*.py"))
    homes = (TESTS / room.lstrip("_"), TESTS / f"{room}_room", TESTS / f"test_{room.lstrip('_')}.py")
    own = [test for test in every if test in homes or test.parent in homes]
    named = [test for test in every if test not in own and f"mattekit.{room}" in test.read_text()]
    return [path, *sorted(own, key=lambda test: test.stem != f"test_{path.stem}")], named


class Clock:
    """A plugin that ends a run which has had its seconds, and a test that hangs."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def pytest_runtest_logstart(self) -> None:
        """Look at the clock before each test: the processor's, for others may be at work too."""
        if time.process_time() > self.seconds:
            os._exit(0)
        signal.alarm(HANGS)


def ask(change: Change, seconds: float) -> bool:
    """Whether the tests of a module fail with a change in its place, in this process."""
    get_code, text, clock = SourceFileLoader.get_code, change.text(), Clock(time.process_time() + seconds)

    def changed(self: SourceFileLoader, fullname: str) -> object:
        return (
            compile(text, self.path, "exec") if Path(self.path).resolve() == change.path else get_code(self, fullname)
        )

    SourceFileLoader.get_code = changed  # pyright: ignore[reportAttributeAccessIssue]
    # before pytest looks for doctests: it would import a second copy of the module
    importlib.import_module(
        ".".join(change.path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    )
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-k", LEFT_OUT]
    return any(
        pytest.main([*arguments, *map(str, tests)], plugins=[clock]) not in PASSED
        for tests in tests_of(change.path)
        if tests
    )


def start(change: Change, seconds: float) -> int:
    """Start `ask` in a process of its own, without a word, and return the process."""
    if process := os.fork():
        return process
    with open(os.devnull, "w") as nowhere, contextlib.suppress(BaseException):
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        os._exit(ask(change, seconds))
    os._exit(1)


def main() -> None:
    """Draw, ask and print."""
    parser = argparse.ArgumentParser(description="change the library at random and ask its tests")
    parser.add_argument("rooms", nargs="*", help="folders or modules of src/mattekit (default: each)")
    parser.add_argument("--count", type=int, default=30, help="how many changes of each room (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="another number draws other changes (default: 0)")
    parser.add_argument("--seconds", type=float, default=60, help="what tests a change has to survive (default: 60)")
    parser.add_argument("--workers", type=int, default=2, help="how many processes ask at once (default: 2)")
    args = parser.parse_args()
    there: dict[str, list[Path]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        there.setdefault(room_of(path), []).append(path)
    if unknown := set(args.rooms) - set(there):
        parser.error(f"no room is called {', '.join(sorted(unknown))}; there are {', '.join(there)}")
    asked, noticed = Counter[str](), Counter[str]()
    running: dict[int, Change] = {}
    for room in args.rooms or there:
        possible = [change for path in there[room] for change in changes(path)]
        if not possible:
            continue
        start(possible[0]._replace(mutation=None), args.seconds)
        if os.wait()[1]:
            raise SystemExit(f"the tests of {room} fail with nothing changed")
        drawn = random.Random(f"{room} {args.seed}").sample(possible, min(args.count, len(possible)))
        while drawn or running:
            while drawn and len(running) < args.workers:
                change = drawn.pop()
                running[start(change, args.seconds)] = change
            process, status = os.wait()
            change = running.pop(process)
            asked[room] += 1
            noticed[room] += status != 0
            if status == 0:
                print(f"\nsurvived: {change.path.relative_to(SOURCE)}\n{change.difference()}", flush=True)
    print("\n" + "\n".join(f"{room}: {noticed[room]} of {asked[room]} noticed" for room in asked))


if __name__ == "__main__":
    main()

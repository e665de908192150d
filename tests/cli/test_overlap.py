"""Three steps at the same time: what comes out is what came of each task, in order, and little is kept at once."""

import threading

import pytest

from mattekit.cli.overlap import AHEAD, BEHIND, overlapped


def same(x):
    return x


def test_everything_goes_through_all_three_steps_in_order():
    written = []
    found = list(overlapped(range(20), lambda n: n + 1, lambda n: n * 2, written.append))
    assert found == [(n, None) for n in range(20)]
    assert written == [2 * (n + 1) for n in range(20)]


@pytest.mark.parametrize("step", range(3))
def test_what_fails_costs_no_other(step):
    def fail(n):
        if n == 3:
            raise OSError("gone")
        return n

    steps = [same, same, same]
    steps[step] = fail
    found = dict(overlapped(range(6), *steps))
    assert str(found.pop(3)) == "gone"
    assert found == dict.fromkeys([0, 1, 2, 4, 5])


def test_the_next_is_read_and_the_last_written_while_one_is_worked_on():
    """Each step of a task waits for a step of another that only runs if they overlap."""
    read_second, worked_on_second = threading.Event(), threading.Event()

    def read(n):
        if n == 1:
            read_second.set()
        return n

    def work(n):
        if n == 0:
            assert read_second.wait(60)
        if n == 1:
            worked_on_second.set()
        return n

    def write(n):
        if n == 0:
            assert worked_on_second.wait(60)

    assert list(overlapped(range(3), read, work, write)) == [(n, None) for n in range(3)]


def test_memory_does_not_grow_with_the_number_of_tasks():
    """Counts what was read and is not yet written, with a writer that is the slowest."""
    alive, most, lock = 0, 0, threading.Lock()

    def read(n):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return n

    def write(n):
        nonlocal alive
        threading.Event().wait(0.002)
        with lock:
            alive -= 1

    assert len(list(overlapped(range(60), read, same, write))) == 60
    assert most <= AHEAD + 1 + BEHIND + 1  # one in work, and one that was written but not yet told


def test_what_is_in_work_is_finished_when_it_is_stopped():
    worked, written = [], []
    found = list(
        overlapped(
            range(10), same, lambda n: worked.append(n) or n, written.append, is_stopped=lambda: len(worked) == 4
        )
    )
    assert [task for task, _ in found] == worked == written == [0, 1, 2, 3]


def test_nothing_to_do():
    assert list(overlapped([], same, same, same)) == []

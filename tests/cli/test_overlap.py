"""Three steps at the same time: what comes out is what came of each task, in order, and little is kept at once."""

import threading

import pytest

from mattekit.cli.overlap import AHEAD, BEHIND, overlapped


def same(x):
    return x


at_once = pytest.mark.parametrize("at_once", [1, 3])


@at_once
def test_everything_goes_through_all_three_steps_in_order(at_once):
    written = []
    found = list(overlapped(range(20), lambda n: n + 1, lambda n: n * 2, written.append, at_once=at_once))
    assert found == [(n, None) for n in range(20)]
    assert (written if at_once == 1 else sorted(written)) == [2 * (n + 1) for n in range(20)]


@at_once
@pytest.mark.parametrize("step", range(3))
def test_what_fails_costs_no_other(step, at_once):
    def fail(n):
        if n == 3:
            raise OSError("gone")
        return n

    steps = [same, same, same]
    steps[step] = fail
    found = dict(overlapped(range(6), *steps, at_once=at_once))
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


@at_once
def test_memory_does_not_grow_with_the_number_of_tasks(at_once):
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

    assert len(list(overlapped(range(60), read, same, write, at_once=at_once))) == 60
    assert most <= AHEAD + at_once + BEHIND + 1  # those in work, and one that was written but not yet told


@at_once
def test_what_is_in_work_is_finished_when_it_is_stopped(at_once):
    worked, written = [], []
    found = list(
        overlapped(
            range(20),
            same,
            lambda n: worked.append(n) or n,
            written.append,
            at_once=at_once,
            is_stopped=lambda: len(worked) >= 4,
        )
    )
    assert [task for task, _ in found] == sorted(worked) == sorted(written) == list(range(len(found)))
    assert 4 <= len(found) < 4 + BEHIND + at_once


def test_several_are_worked_on_at_once_each_in_a_thread_that_was_initialised():
    together, initialised, worked_in = threading.Barrier(3), {}, set()

    def work(n):
        together.wait(60)  # for two others
        worked_in.add(threading.current_thread())
        return n

    def initialise(count):
        initialised[threading.current_thread()] = count

    found = list(overlapped(range(6), same, work, same, at_once=3, initialise=initialise))
    assert found == [(n, None) for n in range(6)]
    assert initialised == dict.fromkeys(worked_in, 3)
    assert len(worked_in) == 3
    initialised.clear()
    assert len(list(overlapped(range(6), same, same, same, initialise=initialise))) == 6
    assert list(initialised.values()) == [1]  # the one that writes


def test_one_that_may_not_share_is_worked_on_alone_and_here():
    busy, most, lock = set(), {}, threading.Lock()

    def work(n):
        with lock:
            busy.add(n)
        threading.Event().wait(0.01)
        with lock:
            most[n] = set(busy)
            busy.remove(n)
        assert (threading.current_thread() is threading.main_thread()) == (n % 4 == 3)
        return n

    found = list(overlapped(range(12), same, work, same, at_once=3, may_share=lambda n: n % 4 != 3))
    assert found == [(n, None) for n in range(12)]
    assert all(most[n] == {n} for n in range(3, 12, 4))
    assert any(len(others) > 1 for others in most.values())


def test_those_not_yet_begun_are_left_where_the_caller_leaves():
    """As when a second signal raises in the main thread."""
    begun, go, asked = [], threading.Event(), []
    both = threading.Barrier(3)  # two workers and this thread

    def work(n):
        begun.append(n)
        both.wait(60)
        assert go.wait(60)
        return n

    def is_stopped():
        asked.append(None)
        if len(asked) == 4:  # three are given to two workers
            both.wait(60)
            threading.Timer(0.05, go.set).start()
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        list(overlapped(range(9), same, work, same, at_once=2, is_stopped=is_stopped))
    assert sorted(begun) == [0, 1]


def test_nothing_to_do():
    assert list(overlapped([], same, same, same)) == []

"""The fixture `compare`, the table at the end, and which cases run where."""

import gc
import os
import platform
import time
from pathlib import Path

import measure
import pytest
import torch

from mattekit.training import keep_freed_memory

ROWS = pytest.StashKey[list[measure.Row]]()
MACHINES = pytest.StashKey[dict[str, measure.Machine]]()


def pytest_addoption(parser):
    parser.addoption("--record", metavar="FILE", help="keep what was measured in this file of results, case by case")
    parser.addoption("--fresh-memory", action="store_true", help="leave it to malloc to give back what is freed")


def pytest_configure(config):
    config.stash[ROWS] = []
    config.stash[MACHINES] = {}
    if not config.getoption("--fresh-memory"):
        # asking anew, at 28 ms of page faults for 67 MB, would make times depend on the order of the cases
        keep_freed_memory()


def pytest_collection_modifyitems(items):
    """Each item answers to -k cpu or -k cuda."""
    for item in items:
        on_gpu = "cuda" in item.name or item.get_closest_marker("cuda")
        item.extra_keyword_matches.add("cuda" if on_gpu else "cpu")


def pytest_runtest_setup(item):
    if ("cuda" in item.name or item.get_closest_marker("cuda")) and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    return request.param


@pytest.fixture(autouse=True)
def _afresh():
    torch.manual_seed(0)
    yield
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@pytest.fixture
def clock(device, request):
    """The device's. ``--benchmark-timer=time.process_time``, the plugin's option for the last side, holds for all."""
    chosen = {"time.process_time": time.process_time}
    return measure.Clock(device, chosen.get(request.config.getoption("benchmark_timer"), time.perf_counter))


@pytest.fixture
def machine(clock, request):
    """The device's measured peaks."""
    machines = request.config.stash[MACHINES]
    if clock.device not in machines:
        machines[clock.device] = measure.Machine.measured(clock)
    return machines[clock.device]


@pytest.fixture
def compare(device, clock, machine, benchmark, request):
    """Time functions that do the same thing in different ways, taking turns, and put them into the table.

    The first is what the others are compared with; pytest-benchmark's own figures are the last one's. ``precision``
    maps a side to the precision whose peak it is held against, where that is not float32.
    """

    fresh = ", fresh memory" if request.config.getoption("--fresh-memory") else ""

    def run(case, sides, *, rounds=9, warm_up=2, flops=None, precision=None, notes=None):
        times, turn = measure.take_turns(sides, clock, rounds, warm_up)
        name, last = list(sides.items())[-1]

        def synchronised():
            last()
            clock.synchronise()

        benchmark.pedantic(synchronised, setup=turn, rounds=rounds, iterations=1)
        times[name] = list(benchmark.stats.stats.data)
        medians = {side: measure.median(values) for side, values in times.items()}
        first = next(iter(medians.values()))
        for side, seconds in medians.items():
            peak = machine.flops.get((precision or {}).get(side, "float32"))
            row = measure.Row(
                f"{device} {case}{fresh}",
                side,
                1000 * seconds,
                first / seconds,
                clock.peak_megabytes(sides[side]),
                None if flops is None else flops / 1e9,
                None if flops is None or peak is None else flops / seconds / peak,
                (notes or {}).get(side, ""),
            )
            request.config.stash[ROWS].append(row)
            benchmark.extra_info[side] = row.as_dict()
        return medians

    return run


def pytest_terminal_summary(terminalreporter, config):
    rows, machines = config.stash[ROWS], config.stash[MACHINES]
    if not rows:
        return
    terminalreporter.section("medians; the sides took turns")
    for machine in machines.values():
        terminalreporter.write_line(str(machine))
    terminalreporter.write_line(f"Python {platform.python_version()}, torch {torch.__version__}; {_load()}")
    for line in table(rows):
        terminalreporter.write_line(line)
    if config.getoption("--record"):
        for device, machine in machines.items():
            of_device = [row for row in rows if row.case.split()[0] == device]
            measure.record(Path(config.getoption("--record")), of_device, machine.name, machine.peaks)


def table(rows):
    """Lines of Markdown."""
    lines = ["", "| case | side | ms | times faster | peak MB | share of peak | |", "|---|---|--:|--:|--:|--:|---|"]
    for before, row in zip([None, *rows], rows, strict=False):
        case = "" if before is not None and before.case == row.case else row.case
        memory = "" if row.megabytes is None else f"{row.megabytes:,.0f}"
        share = "" if row.peak_share is None else f"{row.peak_share:.0%}"
        ratio, time = f"{row.ratio:.2f}", f"{row.milliseconds:,.2f}"
        lines.append(f"| {case} | {row.side} | {time} | {ratio} | {memory} | {share} | {row.note} |")
    return lines


def _load():
    """How busy the machine was: figures taken beside other work are worth less."""
    try:
        return f"load over the last 15 minutes {os.getloadavg()[2]:.1f}"
    except OSError:
        return "load unknown"

"""How everything here is measured: sides that take turns, medians, peak memory, operations, and the machine's peaks."""

import ctypes
import datetime
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

REST = 0.1
"""Seconds before a side's turn: onnxruntime's threads go on turning for 50 ms after a run, and a network that came at
once after it took a sixth longer."""


@dataclass(frozen=True)
class Row:
    """One side of one case, as the table at the end shows it."""

    case: str
    side: str
    milliseconds: float
    ratio: float
    """The first side's median time over this one's: how many times faster this is."""
    megabytes: float | None = None
    """Peak memory beyond what was there before the call."""
    gflops: float | None = None
    """Floating-point operations of the case, in 10⁹: those of the first side, so that doing fewer is no handicap."""
    peak_share: float | None = None
    """Operations a second over those of a large matrix product in the side's precision."""
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """To four digits: more were never measured."""
        return {name: float(f"{x:.4g}") if isinstance(x, float) else x for name, x in asdict(self).items()}


class Clock:
    """Times calls on a device: by synchronised clocks, since a call returns before a GPU is done.

    On a machine that is shared, ``time.process_time`` for a timer leaves out what the others take, and what this
    process waits for, its workers among it.
    """

    def __init__(self, device: str, timer: Callable[[], float] = time.perf_counter) -> None:
        self.device = device
        self.timer = timer

    def synchronise(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, function: Callable[[], object]) -> float:
        self.synchronise()
        start = self.timer()
        function()
        self.synchronise()
        return self.timer() - start

    def best(self, function: Callable[[], object], rounds: int = 7) -> float:
        """The least of a few: for the peaks, which are what the machine can do."""
        for _ in range(2):
            function()
        return min(self.seconds(function) for _ in range(rounds))

    def peak_megabytes(self, function: Callable[[], object]) -> float | None:
        """Peak memory of a call beyond what was there before it; None where the system does not tell."""
        gc.collect()
        if self.device == "cuda":
            torch.cuda.synchronize()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            function()
            torch.cuda.synchronize()
            return (torch.cuda.max_memory_allocated() - before) / 1e6
        _give_back_freed_memory()
        before = status_bytes("VmRSS")
        if before is None or not _reset_high_water():
            return None
        function()
        peak = status_bytes("VmHWM")
        return None if peak is None else (peak - before) / 1e6


@dataclass(frozen=True)
class Machine:
    """What a device does at best, measured: the ceilings that shares refer to."""

    name: str
    flops: Mapping[str, float]
    """Operations a second of a large matrix product, by precision."""
    bytes_per_second: float
    """Of a large copy, bytes read plus bytes written."""

    @classmethod
    def measured(cls, clock: Clock) -> "Machine":
        device = clock.device
        flops = {}
        for name, dtype in (("float32", torch.float32), ("tf32", torch.float32), ("bfloat16", torch.bfloat16)):
            if name == "tf32" and device == "cpu":
                continue
            with tf32(name == "tf32"):
                flops[name] = _flops(clock, dtype)
        source = torch.randn(2**28 if device == "cuda" else 2**26, device=device)
        target = torch.empty_like(source)
        seconds = clock.best(lambda: target.copy_(source))
        return cls(machine_name(device), flops, 2 * source.nbytes / seconds)

    @property
    def peaks(self) -> str:
        products = ", ".join(f"{name} {flops / 1e9:,.0f}" for name, flops in self.flops.items())
        return f"matrix product in GFLOP/s: {products}; copy {self.bytes_per_second / 1e9:,.0f} GB/s"

    def __str__(self) -> str:
        return f"{self.name}: {self.peaks}"


def record(path: Path, rows: Iterable[Row], machine: str, peaks: str = "") -> None:
    """Keep rows in a file of results, in place of what the same machine wrote for the same cases before."""
    cases: dict[str, list[Row]] = {}
    for row in rows:
        cases.setdefault(row.case, []).append(row)
    kept = json.loads(path.read_text()) if path.exists() else []
    kept = [entry for entry in kept if entry["machine"] != machine or entry["case"] not in cases]
    about = {"machine": machine, "peaks": peaks, "date": f"{datetime.date.today()}", "torch": torch.__version__}
    for case, sides in cases.items():
        kept.append({"case": case, **about, "rows": [row.as_dict() for row in sides]})
    kept.sort(key=lambda entry: (entry["machine"], entry["case"]))
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def _flops(clock: Clock, dtype: torch.dtype) -> float:
    """Of a matrix product as large as the device is given; of a smaller one where that takes long.

    A CPU without instructions for bfloat16 takes minutes for what it does in a tenth of a second in float32.
    """
    side = 8192 if clock.device == "cuda" else 2048
    whole = torch.randn(side, side, device=clock.device).to(dtype)
    part = whole[:256, :256]
    torch.mm(part, part)  # the first product takes as long as its library takes to start
    while len(part) < side and clock.seconds(partial(torch.mm, part, part)) < 0.1:
        part = whole[: 2 * len(part), : 2 * len(part)]
    return 2 * len(part) ** 3 / clock.best(partial(torch.mm, part, part))


class tf32:
    """Let float32 products and convolutions on a GPU use TF32, or not, within the block."""

    def __init__(self, allowed: bool) -> None:
        self.allowed = allowed

    def __enter__(self) -> None:
        self.before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.allowed

    def __exit__(self, *_: object) -> None:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self.before


def take_turns(
    sides: Mapping[str, Callable[[], object]], clock: Clock, rounds: int, warm_up: int
) -> tuple[dict[str, list[float]], Callable[[], None]]:
    """Times of all sides but the last, filled by the function returned, which is to run before the last one's turn.

    So pytest-benchmark times the last side, and every other side has its turn between two of its rounds: what else
    runs on the machine hits all alike. Before each turn comes a rest.
    """
    *others, _ = sides
    times: dict[str, list[float]] = {name: [] for name in others}
    for function in sides.values():
        for _ in range(warm_up):
            function()
    clock.synchronise()

    def turn() -> None:
        for name in others:
            time.sleep(REST)
            times[name].append(clock.seconds(sides[name]))
        time.sleep(REST)

    assert rounds > 0
    return times, turn


def median(times: list[float]) -> float:
    return statistics.median(times)


def no_grad(
    model: Callable[[torch.Tensor], object], image: torch.Tensor, *, fast: bool = False
) -> Callable[[], object]:
    """A run of a network without gradients; ``fast`` allows a GPU TF32."""

    def run() -> object:
        with torch.inference_mode(), tf32(fast):
            return model(image)

    return run


def count_flops(function: Callable[[], object]) -> float:
    """Floating-point operations of convolutions and products in a call, backward included."""
    with FlopCounterMode(display=False) as counter:
        function()
    return float(counter.get_total_flops())


def machine_name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = "CPU"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{model}, {torch.get_num_threads()} threads, {capability}"


def status_bytes(field: str) -> int | None:
    """A size of this process that Linux keeps, such as VmRSS, what it holds, or VmHWM, its peak; None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(field)), None)


def _give_back_freed_memory() -> None:
    """Of what earlier calls freed, the C library keeps some, which the next call would take without a trace."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # not glibc
        return


def _reset_high_water() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True

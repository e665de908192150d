import subprocess
import sys

import pytest

from mattekit.cli import main
from mattekit.training import keep_freed_memory

FAULTS = """
import resource, torch
from mattekit.training import keep_freed_memory

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(100_000_000, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(4), keep_freed_memory(), faults(12), faults(4))  # the heap grows until an aligned block fits
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc's malloc is asked")
def test_freed_memory_is_kept_for_the_tensors_that_come_next():
    """Counted in page faults, of which a page of 4 kB fresh from the system costs one."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    left_alone, asked, _, kept = done.stdout.split()
    if asked == "False":
        pytest.skip("the C library is not glibc")
    assert int(kept) < 100 < 50_000 < int(left_alone)


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


@pytest.mark.parametrize("command", ["train", "ablate"])
def test_commands_that_train_ask_for_it(command, monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr("mattekit.training.keep_freed_memory", lambda: asked.append(command), raising=False)
    assert main([command, str(tmp_path / "nowhere"), "--out", str(tmp_path / "run")]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert asked == [command]

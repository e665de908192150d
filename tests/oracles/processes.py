"""Two processes that work together, forked from one that has imported everything."""

import atexit
import os
import subprocess
import sys
from pathlib import Path

import torch
import torch.distributed as dist


def output_of(script, *arguments):
    """Run a script that calls `fork`, and return what both processes print, sorted lines."""
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
    options = {"cwd": Path(__file__).parent.parent, "env": os.environ | {"PYTHONUNBUFFERED": ""}}  # lines stay whole
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


def fork(store):
    """Become two processes with gloo between them, which meet at the file ``store``; this one's rank."""
    child = os.fork()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(not child), world_size=2)
    atexit.register(_end, child)
    return int(not child)


def _end(child):
    dist.destroy_process_group()
    sys.stdout.flush()
    if child and os.waitpid(child, 0)[1]:
        os._exit(1)

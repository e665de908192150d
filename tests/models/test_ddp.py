"""Data-parallel training: two processes on one machine, each with its own images."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from mattekit.losses import pp_matting_loss
from oracles.networks import small

rank, store = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
torch.manual_seed(0)
model = DistributedDataParallel(small())
optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
torch.manual_seed(rank)
for step in range(3):
    image, alpha = torch.rand(2, 3, 32, 32), torch.rand(2, 1, 32, 32)
    trimap = torch.full((2, 1, 32, 32), 128, dtype=torch.uint8)
    trimap[..., :8], trimap[..., 24:] = 0, 255
    loss = pp_matting_loss(model(image), alpha, trimap).total
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
total = sum(p.double().abs().sum() for p in model.parameters()).item()
totals = [None, None]
dist.all_gather_object(totals, total)
assert totals[0] == totals[1], totals
dist.destroy_process_group()
print("trained")
"""


def test_two_processes_train(tmp_path):
    """No parameter is left without a gradient, which DDP refuses at the second step; and the copies stay equal."""
    tests = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {tests!r})\n{SCRIPT}"]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "store")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    assert all("trained" in output for output in outputs)

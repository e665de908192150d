"""Data-parallel training: two processes on one machine, each with its own images."""

from oracles.processes import output_of

SCRIPT = """
import sys, torch, torch.distributed as dist
import torch._dynamo  # an optimiser imports it, which takes three seconds: once, before the fork
from torch.nn.parallel import DistributedDataParallel
from mattekit.losses import pp_matting_loss
from oracles.networks import small
from oracles.processes import fork

rank = fork(sys.argv[1])
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
print("trained")
"""


def test_two_processes_train(tmp_path):
    """No parameter is left without a gradient, which DDP refuses at the second step; and the copies stay equal."""
    assert output_of(SCRIPT, tmp_path / "store") == ["trained"] * 2

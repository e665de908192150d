"""What the semantic phase alone has come to, as a whole network.

    python coarse.py RUN/state.pt COARSE/state.pt

The fine half, which that phase does not train, is set to hand on what the coarse heads say: semantic logits at an
eighth of the photo, a matte at a quarter. `export.py` then takes it as it takes a network trained whole.
"""

import argparse
from pathlib import Path

import torch
from network import CoarseHeads, small_network
from torch import nn

from mattekit.models import PPMatting


def silence(module: nn.Module) -> None:
    """Every kernel, weight and bias 0, every batch norm's statistics those of identity."""
    for part in module.modules():
        for name, tensor in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            tensor.fill_(1.0 if name == "running_var" else 0.0)


def hand_on(conv: nn.Conv2d, kernel: torch.Tensor) -> None:
    """Have a silent convolution compute a matrix, (out, in), of its first channels at each pixel."""
    centre = conv.kernel_size[0] // 2
    conv.weight[: len(kernel), : kernel.shape[1], centre, centre] = kernel


def open_norm(norm: nn.BatchNorm2d, channels: int) -> None:
    """Have a silent batch norm hand on its first channels as they are."""
    norm.weight[:channels] = (norm.running_var[:channels] + norm.eps).sqrt()


def set_context(network: PPMatting, head: nn.Conv2d) -> None:
    """Logits of the third block's feature through blocks 4 and 5: a channel each for what is positive and negative."""
    context, both = network.context, 2 * head.out_channels
    fine = [*context.blocks[3], *context.blocks[4], *context.head[:2]]
    for part in (*fine, context.head[2], *context.sides[2:]):
        silence(part)
    skipped = context.sides[2].conv.out_channels  # the pooled feature comes before the block's own
    logits = torch.cat([head.weight[:, :, 0, 0], -head.weight[:, :, 0, 0]])
    hand_on(fine[0].conv, torch.cat([logits.new_zeros(both, skipped), logits], 1))
    fine[0].bn.bias[:both] = torch.cat([head.bias, -head.bias])
    for index, part in enumerate(fine):
        open_norm(part.bn, both)
        if index:
            before = context.sides[3].conv.out_channels if part is context.blocks[4][0] else 0
            hand_on(part.conv, torch.cat([logits.new_zeros(both, before), torch.eye(both)], 1))
    hand_on(context.head[2], torch.cat([torch.eye(both // 2), -torch.eye(both // 2)], 1))


def set_detail(network: PPMatting, head: nn.Conv2d) -> None:
    """Logits of a matte from the second feature, through residual blocks that add nothing and gates that are shut.

    The first block adds its input to what it computes: it must take away the two channels in which the logits go on.
    """
    detail = network.detail
    silence(detail)
    row = torch.cat([torch.zeros(1, detail.in_channels[0]), head.weight[:, :, 0, 0]], 1)
    unit, block = torch.eye(2, row.shape[1]), detail.residuals[0]
    hand_on(block.conv1.conv, torch.cat([row, -row, unit, -unit]))
    block.conv1.bn.bias[:2] = torch.cat([head.bias, -head.bias])
    hand_on(block.conv2, torch.cat([torch.eye(2), -torch.eye(2), torch.eye(2)], 1))
    open_norm(block.conv1.bn, 6)
    open_norm(block.bn2, 2)
    for projection in detail.projections:
        hand_on(projection, torch.eye(2))
    for gate in detail.gates.values():
        gate.gate[-2].bias.fill_(-30.0)  # the sigmoid's 0
        hand_on(gate.weight, torch.eye(2))
    hand_on(detail.head, torch.tensor([[1.0, -1.0]]))


@torch.no_grad()
def main() -> None:
    """Convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    state = torch.load(arguments.state, map_location="cpu", weights_only=True)
    network = small_network()
    heads = CoarseHeads(network)
    both = nn.ModuleDict({"network": network, "heads": heads})
    both.load_state_dict(state["averaged"])
    set_context(network, heads.semantic)
    set_detail(network, heads.matte)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"averaged": both.state_dict(), "step": state["step"], "coarse": True}, arguments.out)


if __name__ == "__main__":
    main()

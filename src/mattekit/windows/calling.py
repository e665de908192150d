"""Modules that are called with levels, and give levels where they can."""

from typing import Any

import torch
from torch import nn

from mattekit.windows.declarations import declared
from mattekit.windows.levels import Level, in_order


def levels_of(module: nn.Module, *args: Any, tile_bytes: int | None = None) -> Any:
    """Call a module, so that of what it returns as little as possible is computed yet.

    Args:
        module: A module. Where it declares ``levels``, that is called, and what it returns may hold levels. Else it is
            called itself, with whole tensors.
        args: What it takes. A `Level` may stand for a tensor, also within a list.
        tile_bytes: As in `compute_levels`.

    Example:
        >>> import torch
        >>> from mattekit.windows import levels_of
        >>> levels_of(torch.nn.ReLU(), torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    if not torch.compiler.is_dynamo_compiling() and declared(module, "levels") is not None:
        return module.levels(*args)  # pyright: ignore[reportCallIssue]
    return module(*wholes(args, tile_bytes))


def wholes(args: Any, tile_bytes: int | None = None) -> Any:
    """Return arguments with whole tensors in place of levels.

    Args:
        args: Anything; levels within lists and tuples count.
        tile_bytes: As in `compute_levels`.

    Returns:
        The same, with tensors.

    Example:
        >>> import torch
        >>> from mattekit.windows import Level, wholes
        >>> [x.shape for x in wholes([Level([torch.rand(1, 1, 2, 2)], (4, 4))])]
        [torch.Size([1, 1, 4, 4])]
    """
    if isinstance(args, Level):
        for level in in_order([args]):
            level.whole(tile_bytes)
        return args.whole()
    if isinstance(args, (list, tuple)) and not isinstance(args, torch.Size):
        return tuple(wholes(x, tile_bytes) for x in args)
    return args

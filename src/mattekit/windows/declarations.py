"""What a module declares of itself, beside its ``forward``, for those who would run it in another way.

- ``halo``: how many pixels it sees beyond a pixel of its result; of a module that keeps height and width, of a
  convolution, or of a module that declares its ``stride``.
- ``stride``: how many pixels of what it takes one of its result spans, along either side.
- ``folds``: names in tuples: a convolution, and the batch norm or activation, or both, that follow it at once. Nothing
  else may read what passes between them.
- ``affine``: that weight and bias are all there is of it, a convolution, so that a batch norm can be folded in.
- ``levels``: what its ``forward`` returns, as instances of `mattekit.windows.Level`.

All are optional. Of a module that declares nothing, nothing is known: it runs on the whole, as it is.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import nn

_POINTWISE = frozenset(
    {nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus}
    | {nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh}
)
_HARMLESS = frozenset({"extra_repr", "train"})
BATCH_NORMS = frozenset({nn.BatchNorm2d, nn.SyncBatchNorm})
_IDLE_IN_EVALUATION = frozenset({nn.Dropout, nn.Dropout2d})


def declared(module: nn.Module, name: str) -> Any:
    """Return what a module's class declares under a name, or None.

    A declaration counts for the ``forward`` it stands beside. Where a subclass overrides that, or another method of the
    class that declares, it must declare anew. So must a module that was given a method of its own. Where hooks observe
    or change what a module is given or gives, nothing is declared.

    Args:
        module: Any module.
        name: One of the names above.

    Example:
        >>> from torch import nn
        >>> from mattekit.windows import declared
        >>> class Blur(nn.Module):
        ...     halo = 1
        ...
        ...     def forward(self, x):
        ...         return nn.functional.avg_pool2d(x, 3, stride=1, padding=1)
        >>> class BlurTwice(Blur):
        ...     def forward(self, x):
        ...         return super().forward(super().forward(x))
        >>> declared(Blur(), "halo"), declared(BlurTwice(), "halo")
        (1, None)
    """
    if has_hooks(module) or own_methods(module):
        return None
    order = type(module).__mro__
    for index, cls in enumerate(order):
        if name in vars(cls):
            return None if any(_overrides(subclass, cls) for subclass in order[:index]) else getattr(module, name)
        if "forward" in vars(cls):
            return None
    return None


def own_methods(module: nn.Module) -> list[str]:
    """Return the names of the methods that a module itself was given in place of its class's.

    Args:
        module: Any module.

    Example:
        >>> from torch import nn
        >>> from mattekit.windows import own_methods
        >>> relu = nn.ReLU()
        >>> relu.forward = lambda x: x
        >>> own_methods(relu), own_methods(nn.ReLU())
        (['forward'], [])
    """
    return [name for name, value in vars(module).items() if callable(value) and hasattr(type(module), name)]


def in_sequence(module: nn.Module) -> list[tuple[str, nn.Module]] | None:
    """Return what an ``nn.Sequential`` runs, by name and in order, shared modules as often as they run.

    None for any other module, and for one that runs its modules in a way of its own.

    Args:
        module: Any module.

    Example:
        >>> from torch import nn
        >>> from mattekit.windows import in_sequence
        >>> relu = nn.ReLU()
        >>> [name for name, _ in in_sequence(nn.Sequential(relu, nn.Sigmoid(), relu))]
        ['0', '1', '2']
    """
    if not isinstance(module, nn.Sequential) or own_methods(module):
        return None
    ways = ("forward", "__call__", "__iter__")
    if any(getattr(type(module), way) is not getattr(nn.Sequential, way) for way in ways):
        return None
    return [(name, child) for name, child in module._modules.items() if child is not None]


def _overrides(subclass: type, cls: type) -> bool:
    return any(
        (callable(value) or isinstance(value, property)) and hasattr(cls, name)
        for name, value in vars(subclass).items()
        if name == "__call__" or not (name.startswith("__") or name in _HARMLESS)
    )


def has_hooks(module: nn.Module) -> bool:
    """Whether hooks observe or change what a module takes or returns, or its gradients.

    Hooks on modules within it do not count.

    Args:
        module: Any module.

    Returns:
        Whether it has hooks on its forward or its backward.

    Example:
        >>> from torch import nn
        >>> from mattekit.windows import has_hooks
        >>> has_hooks(nn.ReLU())
        False
    """
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(hooks)


def halo(module: nn.Module, *, stride: int = 1) -> int | None:
    """Return how many pixels of its input a module sees beyond a pixel of its result; None where that is not known.

    It is what the module declares. Without a declaration it is known for torch's convolutions with zeros around that
    keep height and width, batch norms and dropouts in evaluation mode, activations, and ``nn.Sequential`` of these.

    Args:
        module: Any module. With hooks on it, or anywhere within, nothing is known.
        stride: How many pixels of the input one of the result spans.

    Raises:
        ValueError: If the module declares a halo that is no whole number from 0 up, or a stride that is none from 1 up.

    Example:
        >>> from torch import nn
        >>> from mattekit.windows import halo
        >>> halo(nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1)))
        3
        >>> halo(nn.AdaptiveAvgPool2d(1)) is None
        True
    """
    if any(map(has_hooks, module.modules())):
        return None
    sight = _sight(module)
    return sight.halo if sight is not None and sight.stride == stride else None


class _Sight(NamedTuple):
    halo: int
    stride: int = 1


def _sight(module: nn.Module) -> _Sight | None:
    if own_methods(module):
        return None
    own = declared(module, "halo")
    if own is not None:
        stride = module.stride[0] if isinstance(module, nn.Conv2d) else declared(module, "stride")
        stride = 1 if stride is None else stride
        for name, value, least in (("halo", own, 0), ("stride", stride, 1)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                rule = f"must be a whole number from {least} up"
                raise ValueError(f"{name} of {type(module).__name__} {rule}, got {value!r}")
        return _Sight(own, stride)
    if type(module) is nn.Conv2d:
        return _sight_of_convolution(module)
    if (sequence := in_sequence(module)) is not None:
        return _one_after_another(child for _, child in sequence)
    if type(module) in BATCH_NORMS:
        return None if module.training or module.running_mean is None else _Sight(0)
    if type(module) in _IDLE_IN_EVALUATION:
        return None if module.training else _Sight(0)
    return _Sight(0) if type(module) in _POINTWISE else None


def _one_after_another(modules: Iterable[nn.Module]) -> _Sight | None:
    whole = _Sight(0)
    for module in modules:
        sight = _sight(module)
        if sight is None:
            return None
        whole = _Sight(whole.halo + whole.stride * sight.halo, whole.stride * sight.stride)
    return whole


def chain(*parts: nn.Module | int | None) -> int | None:
    """Return the halo of modules one after another, each given itself or by its halo; None if one is not known.

    Args:
        parts: Modules, or their halos.

    Returns:
        The sum of their halos, in pixels.

    Example:
        >>> from torch import nn
        >>> from mattekit.windows import chain
        >>> chain(nn.Conv2d(1, 1, 3, padding=1), 4)
        5
    """
    halos = _halos(parts)
    return None if halos is None else sum(halos)


def parallel(*parts: nn.Module | int | None) -> int | None:
    """Return the halo of modules side by side, each given itself or by its halo; None if one is not known.

    Args:
        parts: Modules, or their halos.

    Returns:
        The largest of their halos, in pixels.

    Example:
        >>> from torch import nn
        >>> from mattekit.windows import parallel
        >>> parallel(nn.Conv2d(1, 1, 3, padding=1), 4)
        4
    """
    halos = _halos(parts)
    return None if halos is None else max(halos)


def _halos(parts: Iterable[nn.Module | int | None]) -> list[int] | None:
    halos = [halo(part) if isinstance(part, nn.Module) else part for part in parts]
    known = [number for number in halos if number is not None]
    return known if len(known) == len(halos) else None


def _sight_of_convolution(conv: nn.Conv2d) -> _Sight | None:
    reach = [spacing * (side - 1) for spacing, side in zip(conv.dilation, conv.kernel_size, strict=True)]
    around = tuple(pixels // 2 for pixels in reach)
    keeps_size = conv.padding in ("same", around) or (conv.padding == "valid" and max(around) == 0)
    if not keeps_size or conv.padding_mode != "zeros" or any(pixels % 2 for pixels in reach):
        return None
    return _Sight(max(around), conv.stride[0]) if conv.stride[0] == conv.stride[1] else None

"""What a network is, as data: the class and the arguments of each of its parts."""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.overrides import TorchFunctionMode

from mattekit.checkpoints.wording import plain, shown
from mattekit.windows import own_methods

Description = dict[str, Any]

# arguments that say where numbers come from, not what a network is
_NOT_DESCRIBED = frozenset({"pretrained"})
# arguments that leave every feature what it is
_CHOICE_OF_FEATURES = frozenset({"outputs"})
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)  # torch's Module has them
_PLAIN = (bool, int, float, str)
_MOST_CALLS = 20_000  # the largest HRNet makes 13,000
_LONGEST_TEXT, _MOST_ITEMS, _MOST_DEPTH, _LARGEST = 1 << 16, 64, 12, 1 << 20


def describe(module: nn.Module) -> Description:
    """Describe a network, or a part of one, by the classes and arguments of its parts.

    Each part of mattekit keeps the arguments it was made with as attributes of the same names. The description is read
    from those, so it follows a part that was exchanged, and is then checked: a part whose modules, settings or shapes
    are not those that its arguments make counts as made by hand. So does a part of a class that is not mattekit's.
    torch.compile, DataParallel and DistributedDataParallel are looked through. Hooks are not described.

    Args:
        module: A `mattekit.models.PPMatting`, an encoder, or any other module.

    Returns:
        Plain data for JSON, ``{"class": name, "arguments": {...}}``, in which a part is described in the same way;
        for a part made by hand ``{"class": name, "handmade": reason}``. `mattekit.models.build` takes it.

    Example:
        >>> from mattekit.blocks import PyramidPooling
        >>> from mattekit.models import describe
        >>> describe(PyramidPooling(16, 32))
        {'class': 'PyramidPooling', 'arguments': {'in_channels': 16, 'out_channels': 32, 'bins': [1, 3, 5]}}
    """
    return _describe(module, checked=True)


def declared(module: nn.Module) -> Description:
    """What `describe` returns, read from the arguments alone, without the check."""
    return _describe(module, checked=False)


def _describe(module: nn.Module, *, checked: bool) -> Description:
    module = unwrap(module)
    cls = type(module)
    if not cls.__module__.startswith("mattekit.") or cls.__name__.startswith("_"):
        return {"class": f"{cls.__module__}.{cls.__qualname__}", "handmade": "it is no class of mattekit"}
    try:
        described = {name: _to_data(value, checked) for name, value in arguments_of(module).items()}
        whole = checked and not any(map(is_handmade, described.values()))
        reason = _difference(module, _again(module)) if whole else None
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        reason, described = plain(error), {}
    return {"class": cls.__name__, **({"handmade": reason} if reason else {"arguments": described})}


def _to_data(value: object, checked: bool) -> Any:
    if isinstance(value, nn.Module):
        return _describe(value, checked=checked)
    if is_dataclass(value):
        described = {name: _to_data(item, checked) for name, item in arguments_of(value).items()}
        return {"class": type(value).__name__, "arguments": described}
    if isinstance(value, list | tuple):
        return [_to_data(item, checked) for item in value]
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, Integral | Real):  # NumPy's
        return int(value) if isinstance(value, Integral) else float(value)
    raise TypeError(f"it has an argument of type {type(value).__name__}")


def unwrap(module: nn.Module) -> nn.Module:
    """The network within what torch.compile, DataParallel, DistributedDataParallel or AveragedModel made of it."""
    while True:
        if isinstance(module, DataParallel | DistributedDataParallel | AveragedModel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def is_handmade(description: object) -> bool:
    """Whether a description is, or has anywhere, that of a part made by hand."""
    if not isinstance(description, Mapping):
        return False
    return "handmade" in description or any(map(is_handmade, _arguments(description).values()))


def _arguments(description: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = description.get("arguments")
    return arguments if isinstance(arguments, Mapping) else {}


def argument_names(cls: type) -> list[str]:
    """The arguments of a class that a description holds."""
    parameters = inspect.signature(cls).parameters.values()
    return [p.name for p in parameters if p.kind not in _VARIADIC and p.name not in _NOT_DESCRIBED]


def arguments_of(part: object) -> dict[str, Any]:
    """The arguments that a part keeps, each under its name, with ``_`` after it where torch's Module has the name."""
    return {
        name: getattr(part, f"{name}_" if hasattr(nn.Module, name) else name) for name in argument_names(type(part))
    }


def parse(text: str) -> Description:
    """Read a description, or a part of one, from JSON.

    Raises:
        ValueError: If it is too long, no JSON object, nested too deeply, or holds values that no description has.
    """
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"the description must have at most {_LONGEST_TEXT} characters, got {len(text)}")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the description is no JSON: {plain(error)}") from error
    if not isinstance(data, dict):
        raise ValueError(f"the description must be a JSON object, got {shown(data)}")
    check_data(data)
    return data


def from_recipe(metadata: Mapping[str, str]) -> Description | None:
    """What mattekit 0.1.0.dev0 wrote of a network, as a description with some of its arguments; None for nothing.

    Raises:
        ValueError: If it is not what that version wrote.
    """
    recipe, preprocessing = (parse(metadata.get(key, "{}")) for key in ("recipe", "preprocessing"))
    encoder = {"class": "HRNet", "arguments": {"padding": metadata["padding"]}} if "padding" in metadata else None
    if not preprocessing:
        return encoder
    arguments: dict[str, Any] = {"preprocessing": {"class": "Preprocessing", "arguments": preprocessing}}
    if encoder is not None:
        arguments["encoder"] = encoder
    if recipe:
        fusions = {"replace": "ReplaceFusion", "conv": "ConvFusion", "detail": "DetailFusion"}
        if recipe.get("fusion") not in tuple(fusions):
            raise ValueError(
                f"the recipe's fusion must be one of {', '.join(fusions)}, got {shown(recipe.get('fusion'))}"
            )
        arguments["detail"] = {
            "class": "HighResolutionDetailBranch",
            "arguments": {"guidance": recipe.get("guidance")},
        }
        arguments["fusion"] = {"class": fusions[recipe["fusion"]], "arguments": {}}
    return {"class": "PPMatting", "arguments": arguments}


def check_data(value: object, path: str = "", depth: int = 0) -> None:
    """Check that a description holds plain, bounded values alone; the error names the place."""
    where = path or "the description"
    if depth > _MOST_DEPTH:
        raise ValueError(f"{plain(where)} is nested too deeply")
    if isinstance(value, Mapping | list | tuple):
        if len(value) > _MOST_ITEMS:
            raise ValueError(f"{plain(where)} has {len(value)} items, more than any part takes")
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in items:
            check_data(item, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, int | float):
        if not abs(value) <= _LARGEST:  # NaN neither
            raise ValueError(f"{plain(where)} must be within ±{_LARGEST}, got {shown(value)}")
    elif not (value is None or isinstance(value, nn.Module) or (isinstance(value, str) and len(value) <= 2000)):
        raise ValueError(f"{plain(where)} must be a plain value, got {shown(value)}")


def contradictions(known: Mapping[str, Any], description: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Each argument that two descriptions of a network have with different values: its place and both values.

    What one of them lacks, or says was made by hand, contradicts nothing.
    """
    if "handmade" in known or "handmade" in description:
        return
    if (one := known.get("class")) != (other := description.get("class")) and None not in (one, other):
        yield "", one, other
        return
    ours, theirs = _arguments(known), _arguments(description)
    for name in sorted((ours.keys() & theirs.keys()) - _CHOICE_OF_FEATURES):
        if isinstance(ours[name], dict) and isinstance(theirs[name], dict):
            for place, one, other in contradictions(ours[name], theirs[name]):
                yield f"{name}.{place}".rstrip("."), one, other
        elif ours[name] != theirs[name]:
            yield name, ours[name], theirs[name]


class Outline(TorchFunctionMode):
    """A context in which modules are made without memory, without initial values, and not without end.

    Raises:
        ValueError: Where more modules are made than any network has.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0
        self._meta = torch.device("meta")

    def __enter__(self) -> "Outline":
        self._gradients = torch.is_grad_enabled()
        self._meta.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._meta.__exit__(*error)
        torch.set_grad_enabled(self._gradients)  # the error may have come where gradients were to be switched on again

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        self._calls += 1
        if self._calls > _MOST_CALLS:
            raise ValueError("it asks for more modules than any network has")
        kwargs = kwargs or {}
        if func in _INITIALISERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


_INITIALISERS = frozenset(
    [Tensor.copy_, Tensor.fill_, Tensor.normal_, Tensor.uniform_, Tensor.zero_]
    + [function for name, function in vars(nn.init).items() if name.endswith("_") and not name.startswith("_")]
)


def _again(module: nn.Module) -> nn.Module:
    """A part made anew from its own arguments, without memory."""

    def remade(value: Any) -> Any:
        value = unwrap(value) if isinstance(value, nn.Module) else value
        if not isinstance(value, nn.Module):  # a dataclass is frozen
            return value
        return type(value)(**{name: remade(item) for name, item in arguments_of(value).items()})

    with Outline():
        return remade(module)


def _difference(module: nn.Module, again: nn.Module) -> str | None:
    """The first thing in which a part is not what its arguments make; None where it is."""
    own, expected = dict(_walk(module)), dict(_walk(again))
    for name in sorted(own.keys() ^ expected.keys()):
        return f"{name} is {'added' if name in own else 'missing'}"
    for name, there in expected.items():
        here, dot = own[name], f"{name}." if name else ""
        if _kind(here) is not _kind(there):
            return f"{name} is a {type(here).__name__}"
        if replaced := [name for name in own_methods(here) if name != "_compiled_call_impl"]:  # of module.compile()
            return f"{dot}{replaced[0]} is replaced"
        if here._forward_hooks or here._forward_pre_hooks:
            return f"{name or 'it'} has a hook"
        for key, value in vars(there).items():
            if _is_setting(key, value) and vars(here).get(key) != value:
                return f"{dot}{key} is {vars(here).get(key)!r}, not {value!r}"
        if _shapes(here) != _shapes(there):
            return f"{dot or 'its '}parameters have other names or shapes"
    return _changed_buffer(module)


def _changed_buffer(module: nn.Module) -> str | None:
    """Name a buffer that stands for a field of an argument, as PPMatting's mean does, and has other values."""
    for argument, value in arguments_of(module).items():
        for field in fields(value) if is_dataclass(value) else ():
            buffer = module._buffers.get(field.name)
            if buffer is not None and not buffer.is_meta:
                expected = torch.tensor(getattr(value, field.name), device=buffer.device)
                if not torch.allclose(buffer.flatten().float(), expected, rtol=2**-7):  # as far as bfloat16 rounds
                    return f"{field.name} was changed in place: assign {argument} instead"
    return None


def _walk(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Every module within, by name, wrappers looked through."""
    module = unwrap(module)
    yield name, module
    for key, child in module.named_children():
        yield from _walk(child, f"{name}.{key}" if name else key)


def _kind(module: nn.Module) -> type:
    """Its class; SyncBatchNorm, which training on several GPUs puts in, is the batch norm it was made of."""
    return nn.BatchNorm2d if type(module) is nn.SyncBatchNorm else type(module)


def _is_setting(key: str, value: object) -> bool:
    return not key.startswith("_") and key != "training" and (value is None or isinstance(value, (*_PLAIN, tuple)))


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...] | None]:
    """The shapes of a module's own parameters and buffers."""
    own = {**module._parameters, **module._buffers}
    return {name: None if tensor is None else tuple(tensor.shape) for name, tensor in own.items()}

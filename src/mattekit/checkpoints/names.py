"""Whose names a state dict uses, and what mattekit calls the same tensors."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Kind = Literal["mattekit", "HRNet", "PaddleSeg PP-Matting", "PaddleSeg HRNet"]

# Layers behind the features in image classification networks: the official code's and timm's, then PaddleClas's.
_CLASSIFICATION_HEADS = (
    "incre_modules.",
    "downsamp_modules.",
    "final_layer.",
    "classifier.",
    "last_cls.",
    "cls_head_conv_list.",
    "conv_last.",
    "out.",
    "fc.",
)


@dataclass(frozen=True)
class NamedTensors:
    """A state dict under mattekit's names.

    Attributes:
        kind: Whose names the file used.
        tensors: mattekit's name to tensor; of an encoder alone, without a leading ``encoder.``.
        head: Names, as in the file, of a classification head that was left out.
    """

    kind: Kind
    tensors: dict[str, Tensor]
    head: tuple[str, ...]


def to_mattekit(tensors: Mapping[str, Tensor]) -> NamedTensors:
    """Recognise whose names a state dict uses and change them to mattekit's."""
    tensors = _unwrap(tensors)
    kind = _recognise(tensors)
    rename = _RENAME[kind]
    if kind in ("mattekit", "PaddleSeg PP-Matting"):
        head = ()
    else:
        head = tuple(sorted(name for name in tensors if name.startswith(_CLASSIFICATION_HEADS)))
    kept = {rename(name): tensor for name, tensor in tensors.items() if name not in head}
    return NamedTensors(kind, kept, head)


def _unwrap(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop what torch.compile, DataParallel and a Lightning module with the network as ``model`` put before names."""
    names = {name: name.replace("_orig_mod.", "").removeprefix("module.") for name in tensors}
    if all(name.startswith("model.") for name in names.values()):
        names = {name: short.removeprefix("model.") for name, short in names.items()}
    return {names[name]: tensor for name, tensor in tensors.items()}


def _recognise(names: Iterable[str]) -> Kind:
    names = set(names)
    if any(name.startswith(("scb.", "hrdb.", "backbone.")) for name in names):
        return "PaddleSeg PP-Matting"
    if any(name.startswith("conv_layer1_1.") for name in names):
        return "PaddleSeg HRNet"
    if any(name.startswith("stage2.") for name in names):
        return "HRNet"
    return "mattekit"


def _unchanged(name: str) -> str:
    return name


def _from_paddle_pp_matting(name: str) -> str:
    room, _, rest = name.partition(".")
    prefix, rules = {
        "backbone": ("encoder.", _HRNET),
        "scb": ("context.", _CONTEXT),
        "hrdb": ("detail.", _DETAIL),
    }.get(room, ("", []))
    renamed = _apply(rules, rest)
    return name if renamed is None else prefix + renamed


def _from_paddle_hrnet(name: str) -> str:
    return _apply(_HRNET, name) or name


_Rules = list[tuple[str, Callable[[re.Match[str]], str]]]


def _apply(rules: _Rules, name: str) -> str | None:
    """Rename by the first rule that matches the beginning; None, so that the name stays and is listed, if none does.

    A rule answers with the layer's name in mattekit; what follows the match is the parameter's name in that layer.
    """
    for pattern, answer in rules:
        if match := re.match(pattern, name):
            return answer(match) + _PARAMETERS.get(name[match.end() :], name[match.end() :])
    return None


_PARAMETERS = {"._mean": ".running_mean", "._variance": ".running_var"}


def _minus_one(match: re.Match[str], *groups: int) -> list[int]:
    return [int(match[group]) - 1 for group in groups]


def _unit(part: str, conv: str, bn: str) -> str:
    """Choose between a Paddle unit's convolution and its batch norm."""
    return conv if part == "_conv" else bn


_UNIT = r"(_conv|_batch_norm)(?=\.)"


def _stage1(match: re.Match[str]) -> str:
    (block,) = _minus_one(match, 1)
    layer, part = match[2], match[3]
    if layer == "_down":
        return f"layer1.{block}.downsample.{_unit(part, '0', '1')}"
    return f"layer1.{block}.{_unit(part, 'conv', 'bn')}{layer}"


def _transition(match: re.Match[str]) -> str:
    number, branch = int(match[1]), int(match[2]) - 1
    added = "" if branch < number else ".0"  # transition t brings t branches on and adds one
    return f"transition{number}.{branch}{added}.{_unit(match[3], '0', '1')}"


def _branch(match: re.Match[str]) -> str:
    module, branch, block = _minus_one(match, 2, 3, 4)
    return f"stage{match[1]}.{module}.branches.{branch}.{block}.{_unit(match[6], 'conv', 'bn')}{match[5]}"


def _fuse(match: re.Match[str]) -> str:
    module, target, source = _minus_one(match, 2, 3, 4)
    step = "" if match[5] is None else f".{int(match[5]) - 1}"
    return f"stage{match[1]}.{module}.fuse_layers.{target}.{source}{step}.{_unit(match[6], '0', '1')}"


_HRNET: _Rules = [
    (rf"conv_layer1_([12])\.{_UNIT}", lambda m: _unit(m[2], "conv", "bn") + m[1]),
    (rf"la1\.bb_layer2_(\d+)\.conv(\d|_down)\.{_UNIT}", _stage1),
    (rf"tr\d\.transition_tr(\d)_layer_(\d)\.{_UNIT}", _transition),
    (rf"st\d\.stage_st(\d)_(\d+)\.branches_func\.bb_\w+_branch_layer_(\d)_(\d+)\.conv(\d)\.{_UNIT}", _branch),
    (rf"st\d\.stage_st(\d)_(\d+)\.fuse_func\.residual_\w+?_layer_(\d)_(\d)(?:_(\d))?\.{_UNIT}", _fuse),
]

_CONTEXT: _Rules = [
    (rf"psp_module\.stages\.(\d)\.1\.{_UNIT}", lambda m: f"pooling.stages.{m[1]}.{_unit(m[2], 'conv', 'bn')}"),
    (rf"psp_module\.conv_bn_relu2\.{_UNIT}", lambda m: f"pooling.fuse.{_unit(m[1], 'conv', 'bn')}"),
    (rf"psps\.(\d)\.0\.{_UNIT}", lambda m: f"sides.{m[1]}.{_unit(m[2], 'conv', 'bn')}"),
    (rf"scb_stages\.([0-4])\.(\d)\.{_UNIT}", lambda m: f"blocks.{m[1]}.{m[2]}.{_unit(m[3], 'conv', 'bn')}"),
    (rf"scb_stages\.5\.(\d)\.{_UNIT}", lambda m: f"head.{m[1]}.{_unit(m[2], 'conv', 'bn')}"),
    (r"scb_stages\.5\.(\d)(?=\.)", lambda m: f"head.{m[1]}"),
]

_GUIDANCE = (1, 3, 5)  # the context blocks that guide PaddleSeg's three gates, in order

_DETAIL: _Rules = [
    (r"gf_list\.([0-2])(?=\.)", lambda m: f"gates.{_GUIDANCE[int(m[1])]}.project"),
    (r"gates\.([0-2])\._gate_conv\.(\d)(?=\.)", lambda m: f"gates.{_GUIDANCE[int(m[1])]}.gate.{m[2]}"),
    (r"gates\.([0-2])\.conv(?=\.)", lambda m: f"gates.{_GUIDANCE[int(m[1])]}.weight"),
    (rf"res_list\.(\d)\.conv0\.{_UNIT}", lambda m: f"residuals.{m[1]}.conv1.{_unit(m[2], 'conv', 'bn')}"),
    (rf"res_list\.(\d)\.conv1\.{_UNIT}", lambda m: f"residuals.{m[1]}.{_unit(m[2], 'conv2', 'bn2')}"),
    (rf"res_list\.(\d)\.short\.{_UNIT}", lambda m: f"residuals.{m[1]}.shortcut.{_unit(m[2], '0', '1')}"),
    (r"convs\.(\d)(?=\.)", lambda m: f"projections.{m[1]}"),
    (r"detail_conv(?=\.)", lambda m: "head"),
]

_RENAME: dict[Kind, Callable[[str], str]] = {
    "mattekit": _unchanged,
    "HRNet": _unchanged,
    "PaddleSeg PP-Matting": _from_paddle_pp_matting,
    "PaddleSeg HRNet": _from_paddle_hrnet,
}

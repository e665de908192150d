"""Whose names a state dict uses, and what mattekit calls the same tensors."""

import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Kind:
    """A kind of weights, told by its names.

    Attributes:
        name: What reports call it.
        signs: Prefixes of which any tells the kind.
        rename: Its name of an entry to mattekit's.
        head: Prefixes of the layers behind the features in a classification network, which encoders lack.
        description: What is known of every network with such weights: a description with some of its arguments.
    """

    name: str
    signs: tuple[str, ...] = ()
    rename: Callable[[str], str] = str
    head: tuple[str, ...] = ()
    description: Mapping[str, Any] = field(default_factory=dict)


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


def to_mattekit(tensors: Mapping[str, Tensor], own: Set[str] | None = None) -> NamedTensors:
    """Recognise whose names a state dict uses and change them to mattekit's.

    Args:
        tensors: The state dict.
        own: The names that the model has. Where the state dict has them all, within wrappers or not, they stay.
    """
    unchanged = False
    for candidate in _unwrapped(tensors):
        tensors = candidate
        if unchanged := own is not None and own <= tensors.keys():
            break
    kind = next((kind for kind in KINDS if any(name.startswith(kind.signs) for name in tensors)), MATTEKIT)
    head = {name for name in tensors if name.startswith(kind.head) and not (unchanged and name in (own or ()))}
    rename = str if unchanged else kind.rename
    kept = {rename(name): tensor for name, tensor in tensors.items() if name not in head}
    return NamedTensors(kind, kept, tuple(sorted(head)))


_WRAPPERS = re.compile(r"^(module\.)+")


def _unwrapped(tensors: Mapping[str, Tensor]) -> Iterator[Mapping[str, Tensor]]:
    """The tensors as named; without what torch.compile, DataParallel and AveragedModel add; without Lightning's too."""
    yield tensors
    averaged = {name: tensor for name, tensor in tensors.items() if name != "n_averaged"}  # AveragedModel counts
    tensors = {_WRAPPERS.sub("", without_wrappers(name)): tensor for name, tensor in averaged.items()}
    yield tensors
    if all(name.startswith("model.") for name in tensors):  # a Lightning module with the network as ``model``
        yield {name.removeprefix("model."): tensor for name, tensor in tensors.items()}


def without_wrappers(name: str) -> str:
    """An entry's name without what torch.compile put into it."""
    return name.replace("_orig_mod.", "")


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


def _from_lite(name: str) -> str:
    return _apply(_LITE, name) or name


_LITE_LAYERS = {
    "_expand_conv": "expand",
    "_bn0": "expand_bn",
    "_depthwise_conv": "depthwise",
    "_bn1": "depthwise_bn",
    "_project_conv": "project",
    "_bn2": "project_bn",
}

_LITE: _Rules = [
    (r"_conv_stem(?=\.)", lambda m: "stem.0"),
    (r"_bn0(?=\.)", lambda m: "stem.1"),
    (rf"_blocks\.(\d+)\.({'|'.join(_LITE_LAYERS)})(?=\.)", lambda m: f"blocks.{m[1]}.layers.{_LITE_LAYERS[m[2]]}"),
]


def _hrnet(padding: str, upsampling: str) -> dict[str, Any]:
    return {"class": "HRNet", "arguments": {"padding": padding, "upsampling": upsampling}}


_TORCH_HEAD = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.", "fc.")
_PADDLE_HEAD = ("last_cls.", "cls_head_conv_list.", "conv_last.", "out.", "fc.")

MATTEKIT = Kind("mattekit")

# a new kind of weights is one more entry; the first whose sign is found is taken
KINDS = (
    Kind(
        "PaddleSeg PP-Matting",
        signs=("scb.", "hrdb.", "backbone."),
        rename=_from_paddle_pp_matting,
        description={
            "class": "PPMatting",
            "arguments": {
                "encoder": _hrnet("same", "bilinear"),
                "fusion": {"class": "ReplaceFusion", "arguments": {}},
            },
        },
    ),
    Kind(
        "PaddleSeg HRNet",
        signs=("conv_layer1_1.",),
        rename=_from_paddle_hrnet,
        head=_PADDLE_HEAD,
        description=_hrnet("same", "bilinear"),
    ),
    Kind(
        "EfficientNet-Lite",  # of the package efficientnet_lite_pytorch
        signs=("_conv_stem.",),
        rename=_from_lite,
        head=("_conv_head.", "_bn1.", "_fc."),
        description={"class": "EfficientNetLite"},
    ),
    # timm's have the same names, padding and upsampling
    Kind("HRNet", signs=("stage2.",), head=_TORCH_HEAD, description=_hrnet("symmetric", "nearest")),
)

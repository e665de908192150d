"""ONNX files."""

import copy
import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from mattekit._checks import check_choice, check_positive
from mattekit.export.checking import Exported, Run, check_against
from mattekit.export.metadata import metadata_of
from mattekit.export.network import EXAMPLE, INPUT, MAPS, folded, reference_of
from mattekit.models import PPMatting
from mattekit.photos import write_atomically

OPSET = 18
"""The version of ONNX's operations: read by onnxruntime from 1.14 on, of 2023."""

TOO_SMALL = "image_must_have_sides_from_32_up"
"""The node that refuses images that the network does not take; onnxruntime's error names it."""


def onnx(
    model: PPMatting,
    path: str | os.PathLike[str],
    *,
    outputs: Sequence[str] = ("alpha",),
    weights: Literal["float32", "float16"] = "float32",
    tolerance: float = 1e-4,
) -> Exported:
    """Export a network to ONNX: one file, for any batch, height and width.

    It takes ``image``, (N, 3, H, W) RGB in [0, 1], and normalises it itself; sides go from 32 up, whether or not 32
    divides them. Batch norms are folded as `mattekit.inference.prepare` folds them. Before it takes its name, the file
    is run by onnxruntime beside the network, at two sizes that were not traced. Its metadata hold the
    network's ``description``, its ``preprocessing``, the ``opset`` and the SHA-256 of its weights.

    Args:
        model: The network, in evaluation mode, on any device.
        path: The file, ending in ``.onnx``. It is written whole or not at all.
        outputs: What it returns, by the names of `mattekit.models.PPMattingOutput`: ``"alpha"``, ``"detail"``,
            ``"semantic_logits"``.
        weights: How weights are stored. ``"float16"``: rounded to half the bits, for half the file; the file still
            computes in float32, and is checked beside the network with rounded weights.
        tolerance: The largest difference from the network that passes the check: of maps in [0, 1], and of logits
            over the largest of them. Where two classes tie, rounding decides, and alpha does not count.

    Returns:
        What was exported, with the largest difference that was found.

    Raises:
        TypeError: If ``model`` is no `PPMatting`.
        ValueError: If ``model`` is in training mode, ``path`` does not end in ``.onnx``, or an output or ``weights`` is
            none of these.
        ImportError: If onnx or onnxruntime is not installed.
        RuntimeError: If the file's numbers are not the network's; the message has the figure. Nothing is written then.

    Source:
        torch's exporter by tracing. Its exporter of torch.export's graphs gives the same numbers, but of a
        network whose sides are rounded up at every stage it took 65 s of processor time where tracing took 2.7.

    Example:
        >>> import tempfile
        >>> from mattekit import export
        >>> from mattekit.models import pp_matting
        >>> model = pp_matting("hrnet_w18_small_v1").eval()
        >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
        ...     export.onnx(model, f"{folder}/matting.onnx").outputs
        ('alpha',)
    """
    if Path(path).suffix != ".onnx":
        raise ValueError(f"path must end in .onnx, got {os.fspath(path)!r}")
    _check_outputs(outputs)
    check_choice("weights", weights, ("float32", "float16"))
    check_positive("tolerance", tolerance)
    file, runtime = _import("onnx"), _import("onnxruntime")
    reference = reference_of(model)
    network = folded(reference)
    if weights == "float16":
        _round_weights(network)
        reference = network
    graph = file.load_from_string(_traced(copy.deepcopy(network)))  # torch writes over weights where it folds
    if weights == "float16":
        _store_in_half(graph, file)
    _refuse_small_images(graph, file)
    metadata = metadata_of(model, opset=OPSET, weights=weights)
    file.helper.set_model_props(graph, metadata)
    # with all maps first: alpha alone would hide a wrong detail map where the network sees no transition
    difference = check_against(reference, _runner(runtime, graph.SerializeToString()), MAPS, tolerance)
    _keep_outputs(graph, outputs)
    file.checker.check_model(graph)
    data = graph.SerializeToString()
    check_against(reference, _runner(runtime, data), outputs, tolerance)
    write_atomically(path, lambda stream: stream.write(data))
    return Exported(Path(path), tuple(outputs), difference, metadata, len(data))


def _import(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"export.onnx needs {name}: pip install onnx onnxscript onnxruntime ({error})") from error


def _check_outputs(outputs: Sequence[str]) -> None:
    if isinstance(outputs, str) or not outputs or len(set(outputs)) != len(outputs):
        raise ValueError(f"outputs must name maps, each once, such as ('alpha', 'detail'), got {outputs!r}")
    for name in outputs:
        check_choice("outputs", name, MAPS)


def _traced(network: nn.Module) -> bytes:
    """The graph as torch's exporter writes it."""
    names = [INPUT, *MAPS]
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # that tracing is the older way; and that the checks of shapes, all passed, are left out of the graph
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.rand(EXAMPLE),),
            buffer,  # pyright: ignore[reportArgumentType] (torch's types lack it)
            dynamo=False,
            opset_version=OPSET,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "batch", 2: "height", 3: "width"} for name in names},
        )
    return buffer.getvalue()


def _round_weights(network: nn.Module) -> None:
    """Round the weights of convolutions to float16; biases, which take no room, stay."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.half().float()


def _store_in_half(graph: Any, file: Any) -> None:
    """Store as float16 the weights that are exactly that, with a cast, which runtimes compute once, on loading."""
    casts = []
    for tensor in graph.graph.initializer:
        values = file.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.ndim != 4:
            continue
        half = values.astype(np.float16)
        if np.array_equal(half.astype(np.float32), values):
            name = tensor.name
            tensor.CopyFrom(file.numpy_helper.from_array(half, f"{name}.half"))
            casts.append(file.helper.make_node("Cast", [tensor.name], [name], to=file.TensorProto.FLOAT))
    _put_first(graph, casts)


def _refuse_small_images(graph: Any, file: Any) -> None:
    """Have the graph fail, and say why, where a side is below 32: what it looks up is not there then."""
    constants = {"least_side": np.array(32, np.int64), "nothing": np.zeros(1, np.float32)}
    for node in graph.graph.node:
        for index, name in enumerate(node.input):
            if name == INPUT:
                node.input[index] = "image_of_good_size"
    node = file.helper.make_node
    _put_first(
        graph,
        [
            node("Shape", [INPUT], ["sides"], start=2),
            node("ReduceMin", ["sides"], ["smaller_side"], keepdims=0),
            node("Less", ["smaller_side", "least_side"], ["is_too_small"]),
            node("Cast", ["is_too_small"], ["which"], to=file.TensorProto.INT64),
            node("Gather", ["nothing", "which"], ["zero"], name=TOO_SMALL),
            node("Add", [INPUT, "zero"], ["image_of_good_size"]),
        ],
    )
    graph.graph.initializer.extend(file.numpy_helper.from_array(value, name) for name, value in constants.items())


def _keep_outputs(graph: Any, outputs: Sequence[str]) -> None:
    """Return these maps alone, in this order, and compute nothing that they do not need."""
    by_name = {output.name: output for output in graph.graph.output}
    kept = [by_name[name] for name in outputs]
    del graph.graph.output[:]
    graph.graph.output.extend(kept)
    wanted, nodes = set(outputs), []
    for node in reversed(graph.graph.node):
        if not wanted.isdisjoint(node.output):
            wanted.update(node.input)
            nodes.append(node)
    initializers = [tensor for tensor in graph.graph.initializer if tensor.name in wanted]
    for field, items in ((graph.graph.node, nodes[::-1]), (graph.graph.initializer, initializers)):
        del field[:]
        field.extend(items)


def _put_first(graph: Any, nodes: Sequence[Any]) -> None:
    others = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend([*nodes, *others])


def _runner(runtime: Any, data: bytes) -> Run:
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {INPUT: image})

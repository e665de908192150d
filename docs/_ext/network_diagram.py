"""``{network-diagram} hrnet_w48 512x512``: PP-Matting drawn from its own modules.

The network is made of fake tensors, with which a forward pass costs nothing, and hooks read each module's output shape,
class and parameters. Only the arrangement of the boxes is written here.
"""

from dataclasses import dataclass, field
from html import escape

import torch
from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from torch._subclasses.fake_tensor import FakeTensorMode

WIDTH, LEFT, RIGHT, BOX, ROW, TOP = 760, 16, 424, 320, 92, 8


@dataclass
class Trace:
    """What the hooks saw: a module's path to its class, its parameters and the shapes it put out."""

    modules: dict[str, torch.nn.Module] = field(default_factory=dict)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple] = field(default_factory=dict)

    def shape(self, path: str, *index: int) -> str:
        found = self.outputs[path]
        for i in index:
            found = found[i]
        return by(found)

    def parameters(self, path: str) -> str:
        return f"{sum(p.numel() for p in self.modules[path].parameters()) / 1e6:.2f} M"

    def name(self, path: str) -> str:
        return type(self.modules[path]).__name__


def by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape[1:]))


def shapes_of(value):
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    return value if isinstance(value, int) else tuple(map(shapes_of, value))


def trace(encoder: str, height: int, width: int) -> Trace:
    from mattekit.models import pp_matting

    seen = Trace()

    def hook(path):
        def keep(module, inputs, output):
            seen.modules[path] = module
            seen.inputs[path] = shapes_of(inputs)
            seen.outputs[path] = shapes_of(output)

        return keep

    with FakeTensorMode(), torch.no_grad():
        model = pp_matting(encoder).eval()
        for path, module in model.named_modules():
            module.register_forward_hook(hook(path))
        model(torch.rand(1, 3, height, width))
    return seen


class Drawing:
    """An SVG in the page's own colours."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.bottom = 0

    def box(self, x: int, y: int, width: int, lines: list[str], kind: str) -> None:
        height = 20 + 19 * len(lines)
        self.bottom = max(self.bottom, y + height)
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" class="{kind}"/>')
        for i, line in enumerate(lines):
            style = "title" if i == 0 else "shape"
            self.parts.append(f'<text x="{x + 12}" y="{y + 24 + 19 * i}" class="{style}">{escape(line)}</text>')

    def arrow(self, path: str, label: str = "", at: tuple[int, int] = (0, 0), kind: str = "arrow") -> None:
        self.parts.append(f'<path d="{path}" class="{kind}" marker-end="url(#head)"/>')
        if label:
            self.parts.append(f'<text x="{at[0]}" y="{at[1]}" class="label">{escape(label)}</text>')

    def svg(self, label: str) -> str:
        head = (
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0L8 4L0 8z" class="tip"/></marker></defs>'
        )
        return (
            f'<div class="network"><svg role="img" aria-label="{escape(label, quote=True)}" '
            f'viewBox="0 0 {WIDTH} {self.bottom + 8}" xmlns="http://www.w3.org/2000/svg">{head}'
            f"{''.join(self.parts)}</svg></div>"
        )


def draw(seen: Trace, encoder: str) -> str:
    drawing = Drawing()
    y = [TOP + ROW * i for i in range(11)]
    full = RIGHT + BOX - LEFT
    drawing.box(LEFT, y[0], full, ["image", by(seen.inputs[""][0])], "data")
    features = "   ".join(seen.shape("encoder", i) for i in range(len(seen.outputs["encoder"])))
    title = f"encoder: {seen.name('encoder')} ({encoder}), {seen.parameters('encoder')} parameters"
    drawing.box(LEFT, y[1], full, [title, features], "module")
    drawing.arrow(f"M{WIDTH // 2} {y[0] + 58}V{y[1] - 2}")

    pooling = "context.pooling"
    drawing.box(LEFT, y[2], BOX, [f"{pooling}: {seen.name(pooling)}", seen.shape(pooling)], "module")
    drawing.arrow(f"M{LEFT + 160} {y[1] + 58}V{y[2] - 2}", "last feature", (LEFT + 168, y[2] - 10))
    joined = seen.inputs["detail.residuals.0"][0]
    drawing.box(RIGHT, y[2], BOX, ["features 0 and 1, resized and joined", by(joined)], "data")
    drawing.arrow(f"M{RIGHT + 160} {y[1] + 58}V{y[2] - 2}", "features 0, 1", (RIGHT + 168, y[2] - 10))

    for i in range(5):
        row = y[3 + i]
        inner = "·".join(seen.shape(f"context.blocks.{i}.{j}").split("×")[0] for j in range(3))
        lines = [f"context.blocks.{i}, upsampled: block {i + 1}", f"{inner} channels → {seen.shape('context', 1, i)}"]
        drawing.box(LEFT, row, BOX, lines, "module")
        drawing.arrow(f"M{LEFT + 160} {y[2 + i] + 58}V{row - 2}")
    for i, gate in enumerate(("1", "3", "5")):
        row = y[2 + int(gate)]
        drawing.box(
            RIGHT,
            row - 10,
            BOX,
            [
                f"residual block {i + 1}, 1×1 convolution, gate",
                f"detail.residuals.{i}  {seen.shape(f'detail.residuals.{i}')}",
                f"detail.gates.{gate}: {seen.name(f'detail.gates.{gate}')}  {seen.shape(f'detail.gates.{gate}')}",
            ],
            "module",
        )
        above = y[2] + 58 if i == 0 else y[int(gate)] + 68
        drawing.arrow(f"M{RIGHT + 160} {above}V{row - 12}")
        drawing.arrow(f"M{LEFT + BOX} {row + 29}H{RIGHT - 2}", f"s{i + 1}", (LEFT + BOX + 30, row + 22), "guidance")
    drawing.box(LEFT, y[8], BOX, ["context.head: semantic logits", seen.shape("context.head")], "module")
    drawing.arrow(f"M{LEFT + 160} {y[7] + 58}V{y[8] - 2}")
    drawing.box(RIGHT, y[8], BOX, ["detail.head, sigmoid: detail map", seen.shape("detail.head")], "module")
    drawing.arrow(f"M{RIGHT + 160} {y[7] + 68}V{y[8] - 2}")
    drawing.box(LEFT, y[9], full, [f"fusion: {seen.name('fusion')}: alpha", seen.shape("fusion")], "module")
    drawing.arrow(f"M{LEFT + 160} {y[8] + 58}V{y[9] - 2}")
    drawing.arrow(f"M{RIGHT + 160} {y[8] + 58}V{y[9] - 2}")
    label = (
        f"The network with {encoder}: the encoder's last feature goes through pyramid pooling and five context blocks "
        "to the semantic logits, its first two features through three residual blocks to the detail map; the first, "
        "third and fifth context blocks guide the residual blocks' gates; fusion makes alpha of both maps."
    )
    return drawing.svg(label)


class NetworkDiagram(SphinxDirective):
    """See the module's docstring."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        encoder, size = self.arguments
        height, width = map(int, size.split("x"))
        return [nodes.raw("", draw(trace(encoder, height, width), encoder), format="html")]


def setup(app):
    app.add_directive("network-diagram", NetworkDiagram)
    return {"version": "1", "parallel_read_safe": True}

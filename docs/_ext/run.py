"""Code blocks that run while the pages are built, so that what a page shows is what happened.

``{run}`` runs Python in a namespace of the page's own and shows what it prints and what its last expression is worth,
as an interpreter would. Options: ``:plot: alt text`` shows matplotlib's current figure below; ``:raises: ValueError``
demands that exception and shows its message. ``{run} console`` runs the lines that start with ``$``.

``{panels}`` shows pictures of values, a line each: ``expression | caption | alt text``.

An error, a warning or a non-zero exit status fails the build. Each page runs in an empty folder of its own.
"""

import ast
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
from docutils import nodes
from docutils.parsers.rst import directives
from PIL import Image
from pygments.lexers.shell import BashSessionLexer
from sphinx.util.docutils import SphinxDirective

INK = "#7a828c"  # legible on white and on black
WIDEST = 900  # pixels
_pages: dict[str, "Page"] = {}


class Page:
    """The namespace, the folder and the pictures of one page."""

    def __init__(self, srcdir: Path, docname: str) -> None:
        self.namespace: dict = {"__name__": "__main__"}
        self.folder = srcdir / "_run" / "work" / docname
        self.pictures = srcdir / "_run" / "pictures"
        self.name = docname.replace("/", "-")
        self.count = 0
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.pictures.mkdir(exist_ok=True)

    def picture_path(self) -> Path:
        self.count += 1
        return self.pictures / f"{self.name}-{self.count}.webp"


class _Runs(SphinxDirective):
    has_content = True

    @property
    def page(self) -> Page:
        if self.env.docname not in _pages:
            _pages[self.env.docname] = Page(Path(self.env.srcdir), self.env.docname)
        return _pages[self.env.docname]

    def picture(self, path: Path, alt: str) -> nodes.image:
        image = nodes.image(uri=f"/_run/pictures/{path.name}", alt=alt)
        image["candidates"] = {}
        return image


class Run(_Runs):
    """See the module's docstring."""

    optional_arguments = 1
    option_spec: ClassVar = {"plot": directives.unchanged_required, "raises": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        code = "\n".join(self.content)
        if self.arguments == ["console"]:
            return [self._block(self._run_shell(code), "console")]
        output = self._run_python(code)
        shown: list[nodes.Node] = [self._block(code, "python")]
        if output:
            block = self._block(output.rstrip("\n"), "none")
            block["classes"].append("run-output")
            if max(map(len, output.splitlines())) > 100:  # a message; tables keep their lines
                block["classes"].append("wrap")
            shown.append(block)
        if "plot" in self.options:
            shown.append(self._plot(self.options["plot"]))
        return shown

    def _block(self, text: str, language: str) -> nodes.literal_block:
        block = nodes.literal_block(text, text, language=language)
        self.set_source_info(block)
        return block

    def _run_python(self, code: str) -> str:
        tree = ast.parse(code)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        out, err = io.StringIO(), io.StringIO()
        expected = self.options.get("raises")
        try:
            with (
                contextlib.chdir(self.page.folder),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("error")
                exec(compile(tree, self.env.docname, "exec"), self.page.namespace)
                if last is not None:
                    value = eval(compile(ast.Expression(last.value), self.env.docname, "eval"), self.page.namespace)
                    if value is not None and "plot" not in self.options:
                        print(repr(value), file=out)
        except Exception as error:
            if type(error).__name__ == expected:
                return f"{out.getvalue()}{expected}: {error}"
            raise self.error(f"the block failed:\n{traceback.format_exc()}\n{err.getvalue()}") from error
        if expected:
            raise self.error(f"the block should have raised {expected}")
        return out.getvalue()

    def _run_shell(self, text: str) -> str:
        shown = []
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        environment = {**os.environ, "PATH": path, "COLUMNS": "88"}
        for line in text.splitlines():
            shown.append(line)
            if line.startswith("$ "):
                done = subprocess.run(
                    line[2:], shell=True, cwd=self.page.folder, env=environment, text=True, capture_output=True
                )
                if done.returncode:
                    raise self.error(f"{line} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
                shown += done.stdout.rstrip("\n").splitlines()
        return "\n".join(shown)

    def _plot(self, alt: str) -> nodes.image:
        import matplotlib.pyplot as plt

        path = self.page.picture_path()
        memory = io.BytesIO()
        plt.gcf().savefig(memory, format="png", dpi=144, transparent=True, bbox_inches="tight")
        plt.close("all")
        Image.open(memory).save(path, quality=90, method=6)
        return self.picture(path, alt)


class Panels(_Runs):
    """See the module's docstring."""

    def run(self) -> list[nodes.Node]:
        row = nodes.container(classes=["panels"])
        for line in self.content:
            parts = [part.strip() for part in line.split("|")]
            if len(parts) != 3 or not all(parts):
                raise self.error(f"a panel is `expression | caption | alt text`, got {line!r}")
            expression, caption, alt = parts
            path = self.page.picture_path()
            try:
                picture = _to_picture(eval(expression, self.page.namespace))
            except Exception as error:
                raise self.error(f"no picture of {expression}: {type(error).__name__}: {error}") from error
            few = picture.mode == "L" and len(picture.getcolors()) <= 8
            picture.save(path, quality=80, method=6, lossless=few)
            row += nodes.figure("", self.picture(path, alt), nodes.caption(caption, caption))
        return [row]


def _to_picture(value) -> Image.Image:
    """A picture of a photo, a matte, a mask or a trimap, of NumPy or torch, in any of the library's shapes."""
    pixels = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    while pixels.ndim > 2 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim == 3 and pixels.shape[0] == 3:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype != np.uint8:
        pixels = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((WIDEST, WIDEST))
    return picture


class _Console(BashSessionLexer):
    """Commands follow `$`; a line that begins with `#` is output, not root's prompt."""

    _ps1rgx = re.compile(r"^(\$ )(.*\n?)")


def _forget(app, docname, source) -> None:
    _pages.pop(docname, None)


def _style() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update(
        {
            **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
            **{"axes.spines.top": False, "axes.spines.right": False, "font.size": 11, "figure.figsize": (7, 3.2)},
            **{"legend.frameon": False, "axes.grid": True, "grid.alpha": 0.25},
        }
    )


def setup(app):
    _style()
    app.add_directive("run", Run)
    app.add_directive("panels", Panels)
    app.add_lexer("console", _Console)
    app.connect("source-read", _forget)
    return {"version": "1", "parallel_read_safe": False}

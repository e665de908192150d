"""How the pages are built: ``make docs``. Nothing here needs the network."""

import re
import sys
from pathlib import Path

from sphinx.builders.html import StandaloneHTMLBuilder

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import mattekit

project = "mattekit"
author = "The mattekit developers"
copyright = author
version = release = mattekit.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "run",  # {run}, {panels}: code that runs while the pages are built, and pictures of its results
    "network_diagram",  # {network-diagram}: the network, drawn from its modules
    "docstrings",  # what the house's docstrings need beyond napoleon
]
exclude_patterns = ["_build", "_run", "figures"]
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!mattekit\b).*")]  # names of torch, NumPy and arguments are no links
nitpick_ignore = [  # type variables, and a value that is passed on unread: no page of their own
    ("py:class", "mattekit.trimap._forms.Array"),
    ("py:class", "mattekit.compositing.Array"),
    ("py:class", "mattekit.metrics.evaluate.Value"),
    ("py:class", "mattekit.models.pp_matting.Encoded"),
    ("py:class", "mattekit.training.holdout.Part"),
]
default_role = "py:obj"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Source"]
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "mattekit"
html_static_path = ["_static"]
html_css_files = ["mattekit.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1d5fa8", "color-brand-content": "#1d5fa8"},
    "dark_css_variables": {"color-brand-primary": "#7db4f0", "color-brand-content": "#7db4f0"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
StandaloneHTMLBuilder.supported_image_types = [*StandaloneHTMLBuilder.supported_image_types, "image/webp"]


def _mark_options(app, page, template, context, doctree):
    """Mark options in the text, so that no line ends after their dashes."""
    if "body" in context:
        context["body"] = re.sub(r'class="pre">(--[\w-]{1,24})<', r'class="pre option">\1<', context["body"])


def setup(app):
    app.connect("html-page-context", _mark_options)

"""What the house's classes and functions need beyond autodoc and napoleon."""

import re

from sphinx.pycode.parser import VariableCommentPicker


def _skip(app, what, name, obj, skip, options):
    """Named tuples' fields carry a docstring that only says which number they have; the class tells them."""
    if type(obj).__name__ == "_tuplegetter":
        return True
    return None


def _signature(app, what, name, obj, options, signature, returns):
    """A module without an ``__init__`` of its own shows torch's ``*args, **kwargs``, but takes nothing."""
    if what == "class" and signature == "(*args, **kwargs)":
        return "()", returns
    return None


def _fields(app, what, name, obj, options, lines):
    """A module's arguments, which its functions share, are shown as they are written: by their names alone."""
    if what == "module":
        lines[:] = [re.sub(r"^:param (\w+):", r":\1:", line) for line in lines]


def setup(app):
    # overloads tell type checkers what comes back; a reader is better served by the one signature with all options
    VariableCommentPicker.is_overload = lambda self, decorators: False
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _fields, priority=900)  # after napoleon
    return {"version": "1", "parallel_read_safe": True}

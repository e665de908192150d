"""What the house's classes need beyond autodoc and napoleon."""


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


def setup(app):
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-signature", _signature)
    return {"version": "1", "parallel_read_safe": True}

"""What the house's docstrings need beyond napoleon: fields of named tuples and dataclasses are told once."""


def _skip(app, what, name, obj, skip, options):
    """Named tuples' fields carry a docstring that only says which number they have; the class tells them."""
    if type(obj).__name__ == "_tuplegetter":
        return True
    return None


def setup(app):
    app.connect("autodoc-skip-member", _skip)
    return {"version": "1", "parallel_read_safe": True}

"""Every public name is documented, and its documentation says what its signature says."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mattekit import encoders

ROOT = Path(__file__).parent.parent.parent
PUBLIC = json.loads((ROOT / "tests" / "data" / "public_names.json").read_text())
REFERENCE = ROOT / "docs" / "reference"


def public_objects():
    for package, names in PUBLIC.items():
        if package == "mattekit":
            continue
        module = importlib.import_module(package)
        for name in names:
            yield pytest.param(package, name, getattr(module, name), id=f"{package}.{name}")


OBJECTS = list(public_objects())


def documented(text):
    """The names under ``Args:`` of a docstring, in order; None where there is no such section."""
    match = re.search(r"^ *Args:\n(.*?)(?=^\S|^ *\w+:\n|\Z)", inspect.cleandoc(text), re.MULTILINE | re.DOTALL)
    return None if match is None else re.findall(r"^    (\w+):", match[1], re.MULTILINE)


def parameters(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


@pytest.mark.parametrize(("package", "name", "found"), OBJECTS)
def test_no_public_name_is_undocumented(package, name, found):
    page = (REFERENCE / f"{package.removeprefix('mattekit.')}.md").read_text()
    if inspect.ismodule(found):
        assert f".. module:: {package}.{name}" in page
    elif inspect.isclass(found) or inspect.isfunction(found):
        assert found.__doc__
        assert f".. automodule:: {package}\n   :members:" in page
    else:
        assert re.search(rf"^```\{{py:data\}} {name}$", page, re.MULTILINE)


@pytest.mark.parametrize(("package", "name", "found"), OBJECTS)
def test_documented_parameters_are_those_of_the_signature(package, name, found):
    if inspect.isfunction(found):
        if name.startswith("hrnet_"):  # the family's options are those of HRNet, which tells them once
            assert set(parameters(found)) <= set(documented(encoders.HRNet.__doc__))
        else:
            # what the functions of a package share, the package tells once
            shared = documented(importlib.import_module(package).__doc__) or []
            told = documented(found.__doc__) or []
            assert not set(told) & set(shared)
            assert [name for name in parameters(found) if name in told or name not in shared] == told
    elif inspect.isclass(found) and not issubclass(found, tuple):
        args = documented(found.__doc__)
        assert args is None or args == parameters(found)


@pytest.mark.parametrize(("package", "name", "found"), OBJECTS)
def test_methods_too(package, name, found):
    """A method that documents arguments documents its own, and each public one says what it does."""
    if not inspect.isclass(found):
        return
    for attribute, method in vars(found).items():
        if attribute.startswith("_") or not inspect.isfunction(method):
            continue
        assert method.__doc__, attribute
        args = documented(method.__doc__)
        assert args is None or args == parameters(method)


@pytest.mark.parametrize("package", [package for package in PUBLIC if package != "mattekit"])
def test_every_package_has_a_page(package):
    assert (REFERENCE / f"{package.removeprefix('mattekit.')}.md").exists()


@pytest.mark.parametrize(("package", "name", "found"), OBJECTS)
def test_every_function_has_an_example(package, name, found):
    if inspect.isfunction(found) and not name.startswith(("hrnet_", "efficientnet_")):
        assert ">>> " in found.__doc__


def test_examples_leave_no_files_behind(tmp_path):
    files = tmp_path / "temporary"
    files.mkdir()
    environment = os.environ | {"TMPDIR": str(files), "PYTEST_DEBUG_TEMPROOT": str(tmp_path)}
    example = ROOT / "src" / "mattekit" / "photos" / "folders.py"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(example)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert list(files.iterdir()) == []

"""The plan of the house: who may import whom, which names are public, and what `import mattekit` costs."""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "mattekit"

# Lower rooms never import higher ones, and rooms on one floor do not import each other.
FLOORS = [
    {"_checks", "_init", "_progress"},
    {"photos", "windows"},
    {"foreground"},
    {"trimap", "compositing"},
    {"encoders", "blocks", "losses", "metrics"},
    {"checkpoints"},
    {"models"},
    {"inference", "evaluation", "data", "testing"},
    {"training", "export"},
    {"_demo"},
    {"cli"},
    {"__main__"},
]

PUBLIC = json.loads((Path(__file__).parent / "data" / "public_names.json").read_text())


def room_of(module: str) -> str:
    return module.split(".")[1]


def imports():
    """Every (importing room, imported room, where) within the package, imports inside functions included."""
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts == ("__init__",):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                modules = (
                    [f"{node.module}.{alias.name}" for alias in node.names]
                    if node.module == "mattekit"
                    else [node.module]
                )
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                continue
            for module in modules:
                if module and module.startswith("mattekit."):
                    yield parts[0], room_of(module), f"{path.name}:{node.lineno}"


def test_imports_go_down():
    floor = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
    for importer, imported, where in imports():
        if imported in (importer, "__version__"):
            continue
        assert floor[imported] < floor[importer], f"{where}: {importer} must not import {imported}"


def test_the_drawing_is_the_house():
    """The table in CONTRIBUTING.md, from the top down, against the floors."""
    text = (SOURCE.parent.parent / "CONTRIBUTING.md").read_text()
    rows = [
        line.split("|")[1]
        for line in text.partition("## The house")[2].partition("\n## ")[0].splitlines()
        if "|" in line
    ]
    drawn = [{name.removesuffix("/").removesuffix(".py") for name in re.findall(r"`(\S+)`", row)} for row in rows]
    assert [floor for floor in drawn if floor] == FLOORS[::-1]


def test_every_room_has_a_floor():
    rooms = {path.relative_to(SOURCE).with_suffix("").parts[0] for path in SOURCE.rglob("*.py")} - {"__init__"}
    assert rooms <= set().union(*FLOORS)


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names(package):
    module = importlib.import_module(package)
    for name in PUBLIC[package]:
        assert getattr(module, name) is not None
    unstarred = {"testing"} if package == "mattekit" else set()  # it needs hypothesis
    assert set(PUBLIC[package]) == set(module.__all__) | unstarred


def test_a_star_needs_no_extra():
    extras = ["accelerate", "hypothesis", "onnx", "onnxruntime", "onnxscript", "pymatting", "timm", "torchvision"]
    extras += ["tensorboard"]
    script = f"import sys; sys.modules.update(dict.fromkeys({extras})); from mattekit import *; print(trimap.UNKNOWN)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "128\n"


# of OpenCV's highgui, which opencv-python-headless leaves out
WINDOWS = {"imshow", "waitKey", "waitKeyEx", "pollKey", "namedWindow", "resizeWindow", "moveWindow", "destroyWindow"}
WINDOWS |= {"destroyAllWindows", "setWindowTitle", "setWindowProperty", "getWindowProperty", "getWindowImageRect"}
WINDOWS |= {"startWindowThread", "createTrackbar", "getTrackbarPos", "setTrackbarPos", "setTrackbarMax"}
WINDOWS |= {"setTrackbarMin", "setMouseCallback", "selectROI", "selectROIs", "displayOverlay", "displayStatusBar"}


def test_opencv_needs_no_screen():
    """Servers have opencv-python-headless, which is the same module without windows."""
    used = {
        node.attr
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cv2"
    }
    assert "resize" in used  # they were found
    assert not used & WINDOWS


def test_the_sdist_has_what_the_makefile_runs():
    root = SOURCE.parent.parent
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    run = set(re.findall(r"\s([\w.]+)/[\w./]+\.py\b", (root / "Makefile").read_text()))
    assert {".ci", "web"} <= run <= set(settings["targets"]["sdist"]["include"])


@pytest.mark.skipif(shutil.which("make") is None or os.name != "posix", reason="there is no make")
def test_an_environment_that_could_not_be_made_is_no_environment(tmp_path):
    """As without Debian's python3-venv: the next make found a Python without pip, and went on with that."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nmkdir -p .venv/bin\ntouch .venv/bin/python\nexit 1\n")
    python.chmod(0o755)
    command = ["make", "-f", SOURCE.parent.parent / "Makefile", "PYTHON=./python", ".venv/bin/python"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode != 0
    assert not (tmp_path / ".venv" / "bin" / "python").exists()


def test_the_package_links_to_its_repository(monkeypatch):
    """PyPI shows the README without the files beside it: links are whole once a build knows where the repository is."""
    metadata = pytest.importorskip("hatchling.metadata.core")
    plugins = pytest.importorskip("hatchling.plugin.manager").PluginManager()
    root, repository = SOURCE.parent.parent, "https://github.com/somebody/mattekit"

    def made():
        return metadata.ProjectMetadata(str(root), plugins).core

    monkeypatch.delenv("MATTEKIT_REPOSITORY", raising=False)
    assert made().readme == (root / "README.md").read_text()
    assert list(made().urls) == ["Paper"]
    monkeypatch.setenv("MATTEKIT_REPOSITORY", repository + "/")
    core = made()
    assert core.urls["Repository"] == repository
    within = re.findall(rf"\]\({repository}/(raw|blob)/v{re.escape(core.version)}/([^)#]+)[^)]*\)", core.readme)
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", (root / "README.md").read_text())
    assert [path for _, path in within] == links
    assert len(links) > 10
    assert all((root / path).exists() and (kind == "raw") == (Path(path).suffix == ".jpg") for kind, path in within)
    assert not re.findall(r"\]\((?!https://)", core.readme)
    monkeypatch.setenv("MATTEKIT_REPOSITORY", "github.com/somebody/mattekit")
    with pytest.raises(ValueError, match=r"must be an address that begins with https://, got github\.com"):
        made()


def test_import_is_light():
    """What `import mattekit` loads beyond torch is its own and the standard library's."""
    script = (
        "import sys, torch; before = set(sys.modules); import mattekit\n"
        "print(*{module.partition('.')[0] for module in set(sys.modules) - before})"
    )
    loaded = set(subprocess.check_output([sys.executable, "-c", script], text=True).split())
    assert "mattekit" in loaded
    assert not loaded - {"mattekit"} - set(sys.stdlib_module_names)

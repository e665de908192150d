"""The build's own tools: blocks that run, and the look at the built pages. The whole build is `make docs`, in CI."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"

PAGE = """# A page

```{run}
total = 40
print("printed")
total + 2
```

```{run}
:raises: ValueError

int("no number")
```

```{run} console
$ echo from the shell; echo '# no prompt'
```

```{panels}
[[0.0, 1.0]] | a caption | an alternative
```
"""


def build(folder, **pages):
    """Build pages with the run extension; the status, and what was said."""
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_parser")
    (folder / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(DOCS / '_ext')!r})\n"
        "from sphinx.builders.html import StandaloneHTMLBuilder as H\n"
        "H.supported_image_types = [*H.supported_image_types, 'image/webp']\n"
        "extensions = ['myst_parser', 'run']\n"
        "html_theme = 'basic'\n"
    )
    for name, page in pages.items():
        (folder / f"{name}.md").write_text(page)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(folder), folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr


def test_a_page_shows_what_happened(tmp_path):
    status, message = build(tmp_path, index=PAGE)
    assert status == 0, message
    html = (tmp_path / "out" / "index.html").read_text()
    for shown in ("printed\n42", "ValueError: invalid literal", "from the shell", "a caption", 'alt="an alternative"'):
        assert shown in html
    assert '<span class="gp">$ </span>' in html
    assert '<span class="go"># no prompt' in html


WRONG = {
    "error": ("```{run}\n1 / 0\n```", "ZeroDivisionError"),
    "warning": ("```{run}\nimport warnings\nwarnings.warn('beware')\n```", "UserWarning: beware"),
    "raises": ("```{run}\n:raises: ValueError\n\n1\n```", "should have raised ValueError"),
    "shell": ("```{run} console\n$ exit 3\n```", "ended with status 3"),
    "name": ("```{panels}\nundefined | a caption | an alternative\n```", "NameError"),
    "parts": ("```{panels}\n[[0.0]] | a caption\n```", "expression | caption | alt text"),
}


def test_what_goes_wrong_fails_the_build(tmp_path):
    pages = {name: f"# A page\n\n{block}\n" for name, (block, _) in WRONG.items()}
    contents = "\n".join(["# Index", "", "```{toctree}", *pages, "```", ""])
    status, message = build(tmp_path, index=contents, **pages)
    assert status != 0
    said = re.split(r"^(?=.*/\w+\.md:\d+: )", message, flags=re.MULTILINE)
    for name, (_, reason) in WRONG.items():
        assert any(f"/{name}.md:3: " in part and reason in part for part in said), name


def module(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def check():
    pytest.importorskip("sphinx")
    return module("check")


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<img src="picture.webp" alt="a picture">', None),
        ('<a href="#here" id="here">', None),
        ('<a href="https://example.org">', None),
        ('<img src="picture.webp" alt=" ">', "without alternative text"),
        ('<img src="missing.webp" alt="a picture">', "not there"),
        ('<script src="https://example.org/x.js"></script>', "fetches https://example.org/x.js"),
        ('<a href="gone.html">', "links to gone.html"),
        ('<a href="#gone">', "no such place"),
        ("x" * 1_500_001, "weighs 1.5 MB"),
        ('<svg role="img"></svg>', "without a label"),
    ],
)
def test_the_look_at_the_pages(tmp_path, check, html, problem):
    (tmp_path / "picture.webp").write_bytes(b"picture")
    path = tmp_path / "index.html"
    path.write_text(html)
    page = check.Page(path)
    found = check.problems_of(path, page, {path: page})
    assert len(found) == (problem is not None)
    assert problem is None or problem in found[0]


def test_what_is_cut_off_is_found(tmp_path):
    overflow = module("overflow")
    if overflow.CHROMIUM is None:
        pytest.skip("there is no Chromium")
    (tmp_path / "page.html").write_text(
        """<!doctype html><style>div, pre { width: 300px; overflow-x: auto } td { width: 400px; display: block }</style>
        <article><pre>within its box</pre><pre>{long}</pre><div><table id="scrolls"><td></table></div>
        <div style="overflow: hidden"><table id="hidden"><td></table></div>
        <pre style="overflow: visible" id="beyond">{long}</pre></article>""".replace("{long}", "long" * 100)
    )
    beyond, *cut = overflow.problems([tmp_path / "page.html"], 390)
    assert beyond.startswith(f"{tmp_path.name}/page.html at 390: the page is ")
    assert [line.split('id="')[1].split('"')[0] for line in cut] == ["hidden", "beyond"]

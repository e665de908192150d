"""The pages' sources: what they name exists, their code is code, their pictures can be heard, and they lead on."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not {"_build", "_run"} & set(path.relative_to(DOCS).parts))
READ_TOO = [path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if path.exists()]
BLOCK = re.compile(r"^```(\{run\}(?! console)|python|py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(path):
    """Every Python block of a page, without its options."""
    for kind, body in BLOCK.findall(path.read_text()):
        code = re.sub(r"\A(:\w+:.*\n)+\n", "", body)
        yield kind, code


@pytest.mark.parametrize("path", PAGES + READ_TOO, ids=name_of)
def test_code_parses_and_names_what_exists(path):
    for _, code in blocks(path):
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mattekit"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
            elif isinstance(node, ast.Attribute) and (dotted := dotted_name(node)) and dotted.startswith("mattekit."):
                resolve(dotted)


def dotted_name(node):
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def resolve(dotted):
    package, *names = dotted.split(".")
    found = importlib.import_module(package)
    for name in names:
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_code_fits_the_page(path):
    """88 characters fit a desk's column without scrolling."""
    wide = [line for kind, code in blocks(path) if kind == "{run}" for line in code.splitlines() if len(line) > 88]
    assert not wide


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_page_leads_on(path):
    assert "**Next:**" in path.read_text()


@pytest.mark.parametrize("path", PAGES + READ_TOO, ids=name_of)
def test_every_picture_has_alt_text(path):
    text = path.read_text()
    assert all(alt.strip() for alt in re.findall(r"!\[(.*?)\]\(", text))
    for body in re.findall(r"^:::\{figure\} .*?\n(.*?)^:::", text, re.MULTILINE | re.DOTALL):
        assert re.search(r"^:alt: \S", body, re.MULTILINE)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_files_and_tests_that_are_named_exist(path):
    text = path.read_text()
    for file, test in re.findall(r"`((?:src|tests|docs|benchmarks)/[\w/.]+?)(?:::(\w+))?`", text):
        assert (ROOT / file).exists(), file
        if test:
            assert f"def {test}(" in (ROOT / file).read_text(), f"{file}::{test}"


@pytest.mark.parametrize("path", READ_TOO, ids=name_of)
def test_links_to_files_lead_somewhere(path):
    """Those of the built pages are looked up by docs/check.py."""
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text())
    assert all(target.startswith("https:") or (path.parent / target).exists() for target in targets)


def test_the_map_covers_the_paper():
    """Every equation, figure and table of the paper has its line."""
    text = (DOCS / "paper.md").read_text()
    for number in (*range(1, 10), "10, 11", 12):
        assert f"\n({number}) " in text, f"equation {number}"
    figures, tables = (text.split(f"\n## {title}\n")[1].split("\n## ")[0] for title in ("Figures", "Tables"))
    assert re.findall(r"^\| (\d) \|", figures, re.MULTILINE) == list("123456")
    assert re.findall(r"^\| (\d) \|", tables, re.MULTILINE) == list("1234")


def test_every_page_is_reached():
    """A page that no table of contents names would be found by nobody."""
    named = set()
    for path in PAGES:
        for body in re.findall(r"^```\{toctree\}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
            entries = [line for line in body.splitlines() if line and not line.startswith(":")]
            named |= {(path.parent / entry).with_suffix(".md").resolve() for entry in entries}
    assert {path.resolve() for path in PAGES} - named == {(DOCS / "index.md").resolve()}


def test_the_comparison_is_what_its_script_wrote():
    record = json.loads((DOCS / "figures" / "compare_synthetic.json").read_text())
    text = (DOCS / "guides" / "evaluate.md").read_text()
    for region in ("unknown", "whole"):
        assert "\n".join(record[region]) in text


def test_the_speeds_that_pages_quote_were_measured_once():
    """Those of the network stand in the notes, and those of the metrics on their page."""
    notes = (ROOT / "benchmarks" / "NOTES.md").read_text().split("\n## Results\n")[1].split("\n### Data\n")[0]
    kept, fresh, case = {}, {}, ""
    for table, text in zip((kept, fresh), notes.split("\nWith `--fresh-memory`"), strict=True):
        for line in text.splitlines():
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) == 9:
                case = cells[1] or case
                table[case, cells[2]] = cells[4]
    picture = (DOCS / "_static" / "benchmarks.svg").read_text()
    drawn = {sides: faster for sides, faster in kept.items() if f"<!-- {sides[0]} -->" in picture}
    assert len(drawn) > 8
    assert all(f"<!--  {faster}×, " in picture for faster in drawn.values())
    w18, w48 = "cpu forward hrnet_w18 1×512²", "cpu forward hrnet_w48 1×512²"
    full, half = (
        tuple(f"{float(t[w18, f'prepared {bits}']):.1f}" for t in (kept, fresh)) for bits in ("float32", "bfloat16")
    )
    readme, page, metrics = (
        (ROOT / name).read_text() for name in ("README.md", "docs/benchmarks.md", "docs/metrics.md")
    )
    assert f"| {full[0]}; in a fresh process {full[1]} |" in readme
    assert f"| {half[0]}; {half[1]} |" in readme
    assert f"W48, float32 | the eager network | {float(kept[w48, 'prepared float32']):.1f} |" in readme
    page = " ".join(page.split())
    assert f"{full[1]} times for HRNet-W18 at 512² in float32, {half[1]} times in bfloat16" in page
    rows = re.findall(r"^\| (?:Conn at|Grad at|`mattekit evaluate`, 50).*\| (.*?) \| [^|]* \|$", readme, re.MULTILINE)
    quoted = re.findall(r"\d\.\d", " ".join(rows))
    assert len(quoted) == 5
    assert all(number in metrics.split("\n## Speed\n")[1] for number in quoted)

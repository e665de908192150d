"""The pages' sources: what they name exists, their code is code, their pictures can be heard, and they lead on."""

import ast
import importlib.util
import json
import re
from pathlib import Path

import pytest

from mattekit.export.metadata import hash_of
from mattekit.models import pp_matting

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


@pytest.mark.parametrize("record", ["compare_synthetic.json", "fur.json", "small_weights.json"])
def test_figures_are_of_the_weights_that_ship(record):
    assert json.loads((DOCS / "figures" / record).read_text())["weights"] == hash_of(pp_matting(weights="small"))


def script(name):
    """A script of docs/figures."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "figures" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_fur_is_drawn_as_the_page_says():
    """The mattes come out anew with the recorded scores, and ahead of both teachers' by every metric."""
    fur, recorded = script("fur"), json.loads((DOCS / "figures/fur.json").read_text())["scores"]
    for who, scores in fur.scores(fur.ours()).items():
        assert scores == pytest.approx(recorded[who], rel=0.01)  # an edge's bytes differ by 1 from machine to machine
        for teacher in ("u2netp", "isnet"):
            assert all(scores[metric] < value for metric, value in recorded[teacher].items())


@pytest.fixture(scope="module")
def figures():
    """The script that writes figures into pages."""
    return script("pages")


def test_pages_quote_what_was_measured(figures):
    names = []
    for page in figures.PAGES:
        text = page.read_text()
        assert figures.filled(text) == text, f"run python docs/figures/pages.py: {page.name} has other figures"
        names += [name for _, name, _ in figures.BLOCK.findall(text)]
    assert sorted(names) == sorted(figures.TABLES)


def test_where_the_small_weights_are_behind_is_said(figures):
    behind = {}
    for kind, of in figures.SMALL["sources"].items():
        for metric, value in of["small"].items():
            if value > of["u2netp"][metric]:
                behind[kind, metric] = round(100 * (value / of["u2netp"][metric] - 1))
    grad = {kind: percent for (kind, metric), percent in behind.items() if metric == "gradient_error"}
    others = {kind: percent for kind, percent in behind.items() if kind[1] != "gradient_error"}
    assert set(grad) == {"animals", "portraits", "things"}
    assert set(others) == {("things", "sad"), ("things", "connectivity_error")}
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"is {min(grad.values())} to {max(grad.values())} % worse than U²-Net-P's on three of these six" in readme
    assert f"on things SAD and Conn are {min(others.values())} to {max(others.values())} % worse" in readme


def test_what_leaving_the_people_out_costs_is_said(figures):
    page = " ".join((DOCS / "small-weights.md").read_text().split())
    runs = [figures.PEOPLE["whole"], *figures.PEOPLE["coarse"]]
    changes = {source: sorted(figures.change(run, source) for run in runs) for source in figures.PEOPLE["photos"]}
    says = {
        "people": "such people are matted worse, by {0} to {2} %",
        "portraits": "Portraits lose {0} to {2} %",
        "flora": "branches {0} to {2} %",
    }
    for source, sentence in says.items():
        assert sentence.format(*changes.pop(source)) in page
    record = figures.PEOPLE
    assert f"of the {record['photos']['people']} photos {record['people_worse']} are" in page
    most, _, least = changes.pop("things")
    assert f"Things gain {-least} to {-most} %" in page
    assert changes.keys() == {"tux", "animals"}
    assert all(values[0] < 0 < values[-1] for values in changes.values())


def test_what_refining_changes_is_said(figures):
    def change(kind, metric):
        before, after = (figures.SMALL["sources"][kind][who][metric] for who in ("small", "refined"))
        return round(100 * (1 - after / before))

    page = " ".join((DOCS / "small-weights.md").read_text().split())
    mad, grad = ([change(kind, metric) for kind in ("tux", "flora")] for metric in ("mad", "gradient_error"))
    assert f"MAD by {mad[0]} and {mad[1]} %, Grad by {grad[0]} and {grad[1]} %" in page
    others = ["animals", "portraits", "things"]
    changes = [abs(change(kind, metric)) for kind in ["people", *others] for metric in ("mse", "gradient_error")]
    rises = [-change(kind, "mad") for kind in others]
    assert f"MSE and Grad change by {max(changes)} % at most" in page
    on_others = f"by {min(rises)} to {max(rises)} % on the others"
    assert f"MAD rises: by {-change('people', 'mad')} % on people, {on_others}" in page


def test_in_how_many_folders_small_is_behind_is_said(figures):
    shown = [of for of in figures.SMALL["folders"].values() if of["photos"] >= figures.FEWEST]
    behind = sum(of["small"]["mad"] > of["u2netp"]["mad"] for of in shown)
    assert f"behind U²-Net-P in {behind} of these {len(shown)} folders" in (DOCS / "small-weights.md").read_text()


def test_the_days_are_those_of_the_table(figures, monkeypatch):
    """A day on which that kind of processor measured something else is none of them."""
    days = {"cpu a": "2026-11-23", "cpu b": "2026-11-25", "cpu another": "2026-11-30"}
    results = [{"case": case, "machine": "AMD EPYC, 2 threads, AVX512", "date": day} for case, day in days.items()]
    monkeypatch.setattr(figures, "RESULTS", results)
    assert figures.when("AVX512", ["cpu a", "cpu nowhere"]) == "2026-11-23"
    assert figures.when("AVX512", ["cpu a", "cpu b"]) == "2026-11-23 to 2026-11-25"


def test_the_picture_shows_what_was_measured(figures):
    picture = (DOCS / "_static" / "benchmarks.svg").read_text()
    shown = [entry for entry in figures.RESULTS if " forward " in entry["case"] and "fresh" not in entry["case"]]
    assert len(shown) > 3
    bars = [f"<!--  {row['ratio']:.2f}×, {row['milliseconds']:,.0f} ms -->" for entry in shown for row in entry["rows"]]
    assert re.findall(r"<!--  [\d.]+×, [\d,]+ ms -->", picture) == bars

"""Look at the built pages as a browser would: ``python docs/check.py docs/_build/html``, as ``make docs`` does.

Every page must weigh less than 1.5 MB with its pictures, every picture must have alternative text, every link within
the pages must lead somewhere, nothing may be fetched from elsewhere, every page must lead on, and the search index and
the list of objects must hold every public name.
"""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.util.inventory import InventoryFile

HEAVIEST = 1_500_000
GENERATED = {"genindex.html", "py-modindex.html", "search.html"}
PUBLIC = Path(__file__).parent.parent / "tests" / "data" / "public_names.json"


class Page(HTMLParser):
    """The anchors, links, fetched files and pictures of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.problems: list[str] = []
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if given.get("id"):
            self.anchors.add(str(given["id"]))
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag in ("img", "script", "source", "iframe") and given.get("src"):
            self.fetched.append(str(given["src"]))
        if tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon"):
            self.fetched.append(str(given["href"]))
        if tag == "img" and not (given.get("alt") or "").strip():
            self.problems.append(f"a picture without alternative text: {given.get('src')}")
        if tag == "svg" and given.get("role") == "img" and not given.get("aria-label"):
            self.problems.append("a drawing without a label")


def problems_of(path: Path, page: Page, pages: dict[Path, Page]) -> list[str]:
    found = list(page.problems)
    weight = len(page.text.encode())
    for address in set(page.fetched):
        if urlsplit(address).netloc:
            found.append(f"fetches {address}")
            continue
        file = (path.parent / unquote(urlsplit(address).path)).resolve()
        if not file.exists():
            found.append(f"fetches {address}, which is not there")
        elif "_static/styles" not in str(file) and file.suffix != ".js":  # shared by all pages, and kept by browsers
            weight += file.stat().st_size
    if weight > HEAVIEST:
        found.append(f"weighs {weight / 1e6:.1f} MB")
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.suffix == ".html" and target not in pages:
            found.append(f"links to {link}, which is not there")
        elif "_modules" in path.parts:
            continue  # viewcode's way back names a class by another of its modules
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            found.append(f"links to {link}, which has no such place")
    return found


def main(folder: str) -> int:
    root = Path(folder).resolve()
    pages = {path: Page(path) for path in sorted(root.rglob("*.html"))}
    problems = [
        f"{path.relative_to(root)}: {p}" for path, page in pages.items() for p in problems_of(path, page, pages)
    ]
    for path, page in pages.items():
        name = path.relative_to(root)
        if name.name not in GENERATED and name.parts[0] != "_modules" and "Next:" not in page.text:
            problems.append(f"{name}: leads nowhere")
    if "<svg role=" not in pages[root / "paper.html"].text:
        problems.append("paper.html: the drawing of the network is gone")
    with (root / "objects.inv").open("rb") as file:
        objects = {name for kind in InventoryFile.load(file, "", str.__add__).values() for name in kind}
    searched = (root / "searchindex.js").read_text()
    for package, names in json.loads(PUBLIC.read_text()).items():
        for name in names if package != "mattekit" else ():
            if f"{package}.{name}" not in objects:
                problems.append(f"no page documents {package}.{name}")
            elif f'"{name}"' not in searched and name not in searched:
                problems.append(f"the search does not find {package}.{name}")
    print(*problems or [f"{len(pages)} pages: pictures, links, weight, search and reference are in order"], sep="\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

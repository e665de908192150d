"""Measure in a browser what is cut off: ``python docs/overflow.py docs/_build/html``, as ``make docs`` does.

Chromium lays out every page in a frame as wide as a phone and in one as wide as a desk. No page may scroll sideways.
Code, tables and pictures must lie within the page, or in a box that scrolls and lies within it. Without Chromium
nothing is measured, and a line says so.
"""

import html
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WIDTHS = (390, 1400)
BATCH = 8  # pages at a time: a hundred frames in one browser take minutes
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

MEASURE = """<!doctype html><meta charset="utf-8">%s<pre id="found"></pre>
<script>
// Follows the right edge of an element up to the page: a box that scrolls keeps it reachable, one that hides does not.
function isCut(element, width) {
  const left = element.getBoundingClientRect().left;
  let right = left + Math.max(element.getBoundingClientRect().width, element.scrollWidth || 0);
  for (let box = element; box; box = box.parentElement) {
    const kind = getComputedStyle(box).overflowX, edge = box.getBoundingClientRect().right;
    if (kind === "auto" || kind === "scroll") right = Math.min(right, edge);
    else if (kind !== "visible" && right > edge + 1) return true;
  }
  return right > width + 1;
}
onload = () => {
  const lines = [];
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, width = frame.clientWidth;
    const say = (text) => lines.push(`${frame.title}: ${text}`);
    if (page.documentElement.scrollWidth > width) say(`the page is ${page.documentElement.scrollWidth} pixels wide`);
    for (const element of page.querySelectorAll("article :is(pre, table, img, svg)"))
      if (isCut(element, width)) say(`cut off: ${element.outerHTML.slice(0, 120).replace(/\\s+/g, " ")}`);
  }
  found.textContent = `measured\\n${lines.join("\\n")}`;
};
</script>
"""


def problems(pages: list[Path], width: int) -> list[str]:
    """What is cut off on these pages at this width in pixels, a line each."""
    frames = "".join(
        f'<iframe src="{page.resolve().as_uri()}" title="{"/".join(page.parts[-2:])} at {width}" '
        f'width="{width}" height="900" style="border: 0"></iframe>'
        for page in pages
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "measure.html").write_text(MEASURE % frames)
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
        command = [CHROMIUM, *options, f"--user-data-dir={folder}/profile", Path(folder, "measure.html").as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    found = re.search(r'<pre id="found">measured\n(.*?)</pre>', done.stdout, re.DOTALL)
    if found is None:
        raise RuntimeError(f"{CHROMIUM} measured nothing:\n{done.stderr}")
    return html.unescape(found[1]).split("\n") if found[1] else []


def main(folder: str) -> int:
    if CHROMIUM is None:
        print("overflow is not measured: there is no Chromium")
        return 0
    pages = [path for path in sorted(Path(folder).rglob("*.html")) if "_modules" not in path.parts]
    batches = [pages[start : start + BATCH] for start in range(0, len(pages), BATCH)]
    found = [line for width in WIDTHS for batch in batches for line in problems(batch, width)]
    print(*found or [f"{len(pages)} pages: nothing is cut off at {' or '.join(map(str, WIDTHS))} pixels"], sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Write figures and data of the small weights into the pages that quote them.

    python card.py ../../docs/figures/small_weights.json ../../docs/small-weights.md ../../README.md

The JSON is what evaluate.py wrote; benchmarks/test_small.py's times stand in it where ``--table`` names its table. In
each page what lies between ``<!-- figures -->`` and ``<!-- end of figures -->`` is replaced, and what lies between the
marks of ``data`` by sources.json.
"""

import argparse
import json
from pathlib import Path

SOURCES = {
    "people": "people in the street; masks drawn by hand",
    "tux": "photographed cut-outs on backgrounds; exact alpha",
    "flora": "branches, grass, feathers on backgrounds; exact alpha",
    "photos": "portraits, clothes, objects; mattes by IS-Net where U²-Net-P agrees on the subject",
}
METRICS = {
    "mad": ("MAD", 4), "mse": ("MSE", 4), "sad": ("SAD", 2), "gradient_error": ("Grad", 2),
    "connectivity_error": ("Conn", 2),
}  # fmt: skip


def whole_table(document: dict) -> list[str]:
    """Every metric, a line a source and network."""
    names = [name for name, _ in METRICS.values()]
    lines = [f"| photos kept aside | | {' | '.join(names)} |", f"| --- | --- |{' --: |' * len(names)}"]
    for source, figures in document["sources"].items():
        for key, who in (("small", "small"), ("u2netp", "U²\N{NON-BREAKING HYPHEN}Net\N{NON-BREAKING HYPHEN}P")):
            first = f"{figures['photos']} × {SOURCES[source]}" if key == "small" else ""
            values = (f"{figures[key][metric]:.{digits}f}" for metric, (_, digits) in METRICS.items())
            lines.append(f"| {first} | {who} | {' | '.join(values)} |")
    return lines


def short_table(document: dict) -> list[str]:
    """MAD and time, a column a network."""
    lines = ["| | `small` | U²-Net-P | `human-512` and others |", "| --- | --: | --: | --- |"]
    lines += ["| size of the file | 9 MB, in the package | 4.6 MB | 100 to 350 MB, downloaded on first use |"]
    lines += ["| for | any photo with a subject | the same | people; or any photo with a trimap's help |"]
    lines += ["| licence of the weights | Apache-2.0 | Apache-2.0 | none stated |"]
    for source, figures in document["sources"].items():
        small, other = (f"{figures[who]['mad']:.3f}" for who in ("small", "u2netp"))
        lines.append(f"| MAD, {figures['photos']} × {SOURCES[source]} | {small} | {other} | not measured |")
    if times := document.get("milliseconds"):
        small, other = times["small at 512²"], times["U²-Net-P at 320², onnxruntime"]
        lines.append(f"| time, two cores | {small:.0f} ms at 512² | {other:.0f} ms at 320² | not measured |")
    return lines


def data_table() -> list[str]:
    """Sources, labels and licences."""
    lines = ["| source | files | label | licence, as its publisher states it |", "| --- | --: | --- | --- |"]
    for source, entry in json.loads((Path(__file__).parent / "sources.json").read_text()).items():
        lines.append(f"| {source} | {entry['files']} | {entry['label']} | {entry['licence']} |")
    return lines


def replace(path: Path, mark: str, lines: list[str]) -> None:
    """Put other lines between a page's marks."""
    text, begin, end = path.read_text(), f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{path} must have one {begin} and one {end}")
    before, after = text.split(begin)[0], text.split(end)[1]
    path.write_text("\n".join([before + begin, "", *lines, "", end + after]))


def main() -> None:
    """Fill the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path)
    parser.add_argument("page", type=Path, help="gets every figure")
    parser.add_argument("readme", type=Path, help="gets the short table")
    parser.add_argument("--table", type=Path, help="what pytest benchmarks/test_small.py --table wrote")
    arguments = parser.parse_args()
    document = json.loads(arguments.json.read_text())
    if arguments.table:
        rows = json.loads(arguments.table.read_text())["rows"]
        document["milliseconds"] = {row["side"]: round(row["milliseconds"], 1) for row in rows}
        arguments.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    replace(arguments.page, "figures", whole_table(document))
    replace(arguments.page, "data", data_table())
    replace(arguments.readme, "figures", short_table(document))


if __name__ == "__main__":
    main()

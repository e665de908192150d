"""Draw the table that ``pytest benchmarks --table FILE`` wrote: python benchmarks/plot.py TABLE.json PICTURE.svg."""

import json
import sys
from itertools import groupby
from pathlib import Path

import matplotlib.pyplot as plt


def main(source: Path, target: Path) -> None:
    content = json.loads(source.read_text())
    rows = [row for row in content["rows"] if " forward " in row["case"] or "training step" in row["case"]]
    cases = [(case, list(group)) for case, group in groupby(rows, key=lambda row: row["case"])]
    lines = sum(len(group) + 1 for _, group in cases)
    figure, axes = plt.subplots(figsize=(9, 1 + 0.3 * lines), layout="constrained")
    y, ticks = 0, []
    for case, group in cases:
        axes.text(0, y, case, fontweight="bold", va="center")
        for index, row in enumerate(group):
            y += 1
            axes.barh(y, row["ratio"], color="tab:gray" if index == 0 else "tab:blue")
            axes.text(row["ratio"], y, f" {row['ratio']:.2f}×, {row['milliseconds']:,.0f} ms", va="center")
            ticks.append((y, row["side"]))
        y += 1.4
    axes.set_yticks(*zip(*ticks, strict=True))
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as eager float32")
    axes.margins(x=0.25)
    axes.set_xlim(left=0)
    axes.spines[["top", "right"]].set_visible(False)
    about = "\n".join(content["machines"].values())
    axes.set_title(f"{about}\ntorch {content['torch']}", fontsize="small")
    figure.savefig(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

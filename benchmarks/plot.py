"""Draw what results.json holds of whole networks, a panel a machine: python benchmarks/plot.py."""

import json
from itertools import groupby
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

ROOT = Path(__file__).parent.parent


def main() -> None:
    entries = json.loads((ROOT / "benchmarks/results.json").read_text())
    shown = [entry for entry in entries if " forward " in entry["case"] and "fresh" not in entry["case"]]
    machines = [(machine, list(group)) for machine, group in groupby(shown, key=lambda entry: entry["machine"])]
    lines = [sum(len(entry["rows"]) + 1.4 for entry in group) for _, group in machines]
    figure, panels = plt.subplots(
        len(machines), 1, figsize=(9, 1.5 + 0.3 * sum(lines)), height_ratios=lines, sharex=True, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for axes, (machine, group) in zip(panels[:, 0], machines, strict=True):
        draw(axes, group)
        axes.set_title(
            f"{machine}, torch {group[0]['torch']}, {group[0]['date']}", fontsize="medium", loc="left", pad=12
        )
    panels[-1, 0].set_xlabel("times as fast as eager float32")
    panels[-1, 0].set_xlim(0, 1.3 * max(row["ratio"] for entry in shown for row in entry["rows"]))
    figure.savefig(ROOT / "docs/_static/benchmarks.svg", metadata={"Date": None})


def draw(axes: Axes, group: list[dict]) -> None:
    """Bars of one machine."""
    y, ticks = 0.0, []
    for entry in group:
        axes.text(0, y, entry["case"], fontweight="bold", va="center")
        for index, row in enumerate(entry["rows"]):
            y += 1
            axes.barh(y, row["ratio"], color="tab:gray" if index == 0 else "tab:blue")
            axes.text(row["ratio"], y, f" {row['ratio']:.2f}×, {row['milliseconds']:,.0f} ms", va="center")
            ticks.append((y, row["side"]))
        y += 1.4
    axes.set_yticks(*zip(*ticks, strict=True))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()

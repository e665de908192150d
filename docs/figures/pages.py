"""Write every measured figure into the pages that quote it.

    python docs/figures/pages.py

Speeds stand in benchmarks/results.json, which ``pytest benchmarks --record`` writes; the small weights' accuracy in
small_weights.json, which recipes/small/evaluate.py writes, and of one photo's fur in fur.json, which fur.py writes;
what they were trained on in recipes/small/sources.json, and what leaving the people out costs in without_people.json.
A page says ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``, and what lies between is replaced by the table
of that name below. A test holds that the pages are as this script leaves them.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
RESULTS = json.loads((ROOT / "benchmarks/results.json").read_text())
SMALL = json.loads((ROOT / "docs/figures/small_weights.json").read_text())
FUR = json.loads((ROOT / "docs/figures/fur.json").read_text())
PEOPLE = json.loads((ROOT / "docs/figures/without_people.json").read_text())
SOURCES = json.loads((ROOT / "recipes/small/sources.json").read_text())
PAGES = [ROOT / "README.md", ROOT / "benchmarks/NOTES.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "docs/guides").glob("*.md"))
BLOCK = re.compile(r"(<!-- figures: ([\w ]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)

HERE = "AVX2"  # where a page shows one machine alone
MACHINES = {HERE: "AVX2 alone", "AVX512": "AVX-512 and bfloat16"}
U2NETP = "U²\N{NON-BREAKING HYPHEN}Net\N{NON-BREAKING HYPHEN}P"
U2NETP_SIDE = "U²-Net-P at 320², onnxruntime"
HELD_OUT = {
    "people": "people in the street; masks drawn by hand",
    "tux": "photographed cut-outs on backgrounds; exact alpha",
    "flora": "branches, grass, feathers on backgrounds; exact alpha",
    "animals": "animals; mattes by IS-Net that were found right",
    "portraits": "portraits and people posing; the same",
    "things": "things, and what else there is; the same",
}
NETWORKS = {
    "small": "small",
    "refined": "small, `refine=True`",
    "u2netp": U2NETP,
    "isnet": "IS\N{NON-BREAKING HYPHEN}Net",
}
FEWEST = 10  # held-out photos of a folder that gets a line of its own
METRICS = {
    "mad": ("MAD", 4), "mse": ("MSE", 4), "sad": ("SAD", 2), "gradient_error": ("Grad", 2),
    "connectivity_error": ("Conn", 2),
}  # fmt: skip
KINDS = {"hair-like": "hair", "lacy": "lace", "blobby": "blobs", "perforated": "made to fall apart at every level"}
SMALL_NETWORKS = "cpu a matte by small networks"
W18, W48 = "cpu forward hrnet_w18 1×512²", "cpu forward hrnet_w48 1×512²"


# ---- what was measured


def entries(case: str) -> dict[str, dict]:
    """What each machine measured of a case, by what its processor has."""
    return {entry["machine"].split()[-1]: entry for entry in RESULTS if entry["case"] == case}


def milliseconds(case: str, machine: str = HERE) -> dict[str, float]:
    """The median of each side of a case on a machine; nothing where it was not measured there."""
    entry = entries(case).get(machine)
    return {row["side"]: row["milliseconds"] for row in entry["rows"]} if entry else {}


def faster(case: str, side: str, machine: str) -> float | None:
    """How many times as fast a side is as the first; where it is mattekit, as the fastest other."""
    times = milliseconds(case, machine)
    if side not in times:
        return None
    others = [time for name, time in times.items() if name != side]
    plain = min(others) if side.startswith("mattekit") else next(iter(times.values()))
    return plain / times[side]


def between(ratios: list[float | None]) -> str:
    """``1.6``, or ``1.6 to 2.4`` for several."""
    known = sorted(ratio for ratio in ratios if ratio is not None)
    if not known:
        return "—"
    least, most = f"{known[0]:.1f}", f"{known[-1]:.1f}"
    return least if least == most else f"{least} to {most}"


def when(machine: str, cases: Iterable[str]) -> str:
    """The days on which a machine measured some cases."""
    days = sorted({entries(case)[machine]["date"] for case in cases if machine in entries(case)})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


# ---- tables


def speeds() -> Iterator[str]:
    """The README's: what is faster than what, on every machine."""
    sizes = [f"{kind} 2048²" for kind in ("hair-like", "lacy", "blobby")]
    prepared, command = "`inference.prepare`, W18, one image of 512²", "`pytest benchmarks/test_network.py`"
    lines = [
        (f"{prepared}, float32", "the eager network", [W18], "prepared float32", command),
        ("the same in a fresh process", "the same", [f"{W18}, fresh memory"], "prepared float32", "`--fresh-memory`"),
        ("the same in bfloat16", "the eager network in float32", [W18], "prepared bfloat16", command),
        ("`inference.prepare`, W48, float32", "the eager network", [W48], "prepared float32", command),
        ("Conn at 2048², mattes of hair, lace, blobs", "the fastest of OpenCV's, scikit-image's and SciPy's labelling",
         [f"cpu Conn {size}" for size in sizes], "mattekit", "`pytest benchmarks/test_metrics.py`"),
        ("Grad, the same mattes", "`cv2.filter2D` in float64",
         [f"cpu Grad {size}" for size in sizes], "mattekit", "the same"),
        ("`mattekit evaluate`, 50 mattes of 1920×1080", "a loop over the plain ways",
         ["cpu folder of 50 mattes of 1920×1080"], "mattekit evaluate", "the same"),
    ]  # fmt: skip
    yield f"| what | against | {' | '.join(MACHINES.values())} | measured by |"
    yield f"| --- | --- |{' --: |' * len(MACHINES)} --- |"
    for what, against, cases, side, measured_by in lines:
        ratios = [between([faster(case, side, machine) for case in cases]) for machine in MACHINES]
        yield f"| {what} | {against} | {' | '.join(ratios)} | {measured_by} |"
    measured = [case for _, _, cases, _, _ in lines for case in cases]
    yield f"| *measured on* | | {' | '.join(when(machine, measured) for machine in MACHINES)} | |"


def prepare() -> Iterator[str]:
    """What preparing gains, by network and size."""
    yield f"| times as fast as the eager float32 network | {' | '.join(MACHINES.values())} |"
    yield f"| --- |{' --: |' * len(MACHINES)}"
    measured = []
    for encoder, name in (("hrnet_w18", "HRNet-W18"), ("hrnet_w48", "HRNet-W48")):
        for size in (512, 1024):
            for memory in ("", ", fresh memory"):
                for precision in ("float32", "bfloat16"):
                    case = f"cpu forward {encoder} 1×{size}²{memory}"
                    measured.append(case)
                    ratios = [faster(case, f"prepared {precision}", machine) for machine in MACHINES]
                    if any(ratios):
                        where = ", in a fresh process" if memory else ""
                        cells = " | ".join(between([ratio]) for ratio in ratios)
                        yield f"| {name}, {size}², {precision}{where} | {cells} |"
    yield f"| *measured on* | {' | '.join(when(machine, measured) for machine in MACHINES)} |"


def metrics() -> Iterator[str]:
    """Grad and Conn at 2048², in milliseconds."""
    yield "| at 2048², ms | the fastest plain way | mattekit | times as fast |"
    yield "| --- | --: | --: | --: |"
    for metric in ("Conn", "Grad"):
        for kind, name in KINDS.items():
            case = f"cpu {metric} {kind} 2048²"
            times = milliseconds(case)
            ours = times.pop("mattekit")
            yield f"| {metric}, {name} | {min(times.values()):,.0f} | {ours:,.0f} | {min(times.values()) / ours:.1f} |"
    folder = milliseconds("cpu folder of 50 mattes of 1920×1080")
    plain, ours = folder.values()
    yield f"| all metrics, 50 mattes of 1920×1080 | {plain:,.0f} | {ours:,.0f} | {plain / ours:.1f} |"
    yield ""
    yield about("cpu Conn lacy 2048²")


def runtimes() -> Iterator[str]:
    """What runs an exported file, in milliseconds."""
    sides = ("eager", "prepared", "onnxruntime", "OpenVINO")
    yield "| one image, ms | torch, eager | torch, prepared | onnxruntime | OpenVINO |"
    yield "| --- | --: | --: | --: | --: |"
    for name, words in (("small", "`small`"), ("hrnet_w18", "HRNet-W18")):
        for side in (512, 1024):
            times = milliseconds(f"cpu export {name} 1×{side}²")
            yield f"| {words}, {side}² | {' | '.join(f'{times[way]:,.0f}' for way in sides)} |"
    yield ""
    yield about("cpu export small 1×512²")


def photos() -> Iterator[str]:
    """How many photos of a folder a second."""
    yield "| photos a second (long side 480 pixels) | the network alone, one after another | `mattekit predict` |"
    yield "| --- | --: | --: |"
    for written, words in (("alpha", "mattes"), ("alpha and cutout", "mattes and cut-outs")):
        case = f"cpu photos of 480 pixels, {written}"
        rates = (f"{1000 / time:.1f}" for time in milliseconds(case).values())
        yield f"| {words} | {' | '.join(rates)} |"
    yield ""
    yield about(case)


def results() -> Iterator[str]:
    """Everything that was recorded."""
    for machine in sorted({entry["machine"] for entry in RESULTS}):
        measured = [entry for entry in RESULTS if entry["machine"] == machine]
        yield f"### {machine}"
        yield ""
        for peaks in dict.fromkeys(entry["peaks"] for entry in measured if entry["peaks"]):
            yield f"- {peaks[0].upper()}{peaks[1:]}."
        yield ""
        yield "| case | side | ms | times faster | peak MB | share of peak | | measured on |"
        yield "|---|---|--:|--:|--:|--:|---|---|"
        for entry in measured:
            for index, row in enumerate(entry["rows"]):
                case, day = ("", "") if index else (entry["case"], entry["date"])
                memory = "" if row["megabytes"] is None else f"{row['megabytes']:,.0f}"
                share = "" if row["peak_share"] is None else f"{row['peak_share']:.0%}"
                time = f"{row['milliseconds']:,.2f} | {row['ratio']:.2f}"
                yield f"| {case} | {row['side']} | {time} | {memory} | {share} | {row['note']} | {day} |"
        yield ""


def about(case: str) -> str:
    """A line that says where and when."""
    entry = entries(case)[HERE]
    return f"*{entry['machine']}; torch {entry['torch']}; nothing else running; {entry['date']}.*"


def small_weights() -> Iterator[str]:
    """Every metric, a line a source and network."""
    yield from header("held-out photos |", "--- | ---")
    for source, figures in SMALL["sources"].items():
        for key, who in NETWORKS.items():
            if key in figures:
                first = f"{figures['photos']} × {HELD_OUT[source]}" if key == "small" else ""
                yield f"| {first} | {who} | {' | '.join(cells(figures[key]))} |"


def header(first: str, rules: str) -> Iterator[str]:
    """The lines above a table that ends in every metric."""
    names = [name for name, _ in METRICS.values()]
    yield f"| {first} | {' | '.join(names)} |"
    yield f"| {rules} |{' --: |' * len(names)}"


def cells(scores: dict[str, float]) -> Iterator[str]:
    """Every metric, with as many digits as it is shown with."""
    for metric, (_, digits) in METRICS.items():
        yield f"{scores[metric]:.{digits}f}"


def small_weights_by_folder() -> Iterator[str]:
    """Folders of photos with ten held-out ones at least: every metric of `small`, and U²-Net-P's after it."""
    yield from header("folder | photos", "--- | --:")
    for folder, figures in sorted(SMALL["folders"].items()):
        if figures["photos"] >= FEWEST:
            pairs = zip(cells(figures["small"]), cells(figures["u2netp"]), strict=True)
            yield f"| {folder} | {figures['photos']} | {' | '.join(f'{own} ({other})' for own, other in pairs)} |"


def fur() -> Iterator[str]:
    """Every metric of the fur of one photo, a line a network."""
    yield from header("the fur's transition", "---")
    for who, scores in FUR["scores"].items():
        yield f"| {NETWORKS[who]} | {' | '.join(cells(scores))} |"


def without_people() -> Iterator[str]:
    """MAD of a training with the people's photos and of one without, and how much that of coarse halves changed."""
    yield "| MAD of held-out photos | with the people | without | change | of its coarse half | of another |"
    yield "| --- | --: | --: | --: | --: | --: |"
    for source, number in PEOPLE["photos"].items():
        runs = [PEOPLE["whole"], *PEOPLE["coarse"]]
        changes = " | ".join(f"{change(run, source):+} %" for run in runs)
        own = " | ".join(f"{PEOPLE['whole'][which][source]:.4f}" for which in ("with", "without"))
        yield f"| {number} × {HELD_OUT[source]} | {own} | {changes} |"


def change(run: dict[str, dict[str, float]], source: str) -> int:
    """By how many per cent a source's MAD is larger without the people."""
    return round(100 * (run["without"][source] / run["with"][source] - 1))


def which_weights() -> Iterator[str]:
    """The README's: MAD and time, a column a network."""
    yield "| | `small` | U²-Net-P | `human-512` and others |"
    yield "| --- | --: | --: | --- |"
    yield "| size of the file | 9 MB, in the package | 4.6 MB | 100 to 350 MB, downloaded on first use |"
    yield "| for | any photo with a subject | the same | people; or any photo with a trimap's help |"
    yield "| licence of the weights | Apache-2.0 | Apache-2.0 | none stated |"
    for source, figures in SMALL["sources"].items():
        small, other = (f"{figures[who]['mad']:.3f}" for who in ("small", "u2netp"))
        yield f"| MAD, {figures['photos']} × {HELD_OUT[source]} | {small} | {other} | not measured |"
    for machine, has in MACHINES.items():
        times = milliseconds(SMALL_NETWORKS, machine)
        for side, of in (("at 512²", "an image of 512²"), ("a photo of 512²", "a photo of 512², shrunk to 384² first")):
            ours = {
                name.removeprefix("small").removesuffix(side).strip(", "): f"{time:.0f} ms"
                for name, time in times.items()
                if name.startswith("small") and name.endswith(side)
            }
            if ours:
                shown = ", ".join(f"{how} {time}".strip() for how, time in ours.items())
                other = f"{times[U2NETP_SIDE]:.0f} ms at 320²"
                name, _, _ = entries(SMALL_NETWORKS)[machine]["machine"].partition(",")
                processor = name.replace("(R)", "").removesuffix(" Processor")
                yield f"| time of {of}, two cores of an {processor} with {has} | {shown} | {other} | not measured |"


def training_data() -> Iterator[str]:
    """Sources, labels and licences."""
    yield "| source | files | label | licence, as its publisher states it |"
    yield "| --- | --: | --- | --- |"
    for source, entry in SOURCES.items():
        yield f"| {source} | {entry['files']} | {entry['label']} | {entry['licence']} |"


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "speeds": speeds,
    "prepare": prepare,
    "metrics": metrics,
    "runtimes": runtimes,
    "photos": photos,
    "results": results,
    "small weights": small_weights,
    "small weights by folder": small_weights_by_folder,
    "fur": fur,
    "without people": without_people,
    "which weights": which_weights,
    "training data": training_data,
}


def filled(text: str) -> str:
    """A page with every figure as it was measured."""
    return BLOCK.sub(lambda found: "\n".join([found[1], *TABLES[found[2]](), "", found[3]]), text)


def main() -> None:
    """Fill every page."""
    for page in PAGES:
        page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()

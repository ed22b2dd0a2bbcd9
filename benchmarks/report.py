"""The results of a run as tables, as a plot, and as README's block between its two marks.

.venv/bin/python -m benchmarks.report           # writes README's block and docs/growth.svg from results.json anew
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import ROOT, compare, growth, target
from benchmarks.table import table, told

RESULTS = ROOT / "benchmarks" / "results.json"
README = ROOT / "README.md"
PLOT = ROOT / "docs" / "growth.svg"

BEGIN, END = "<!-- benchmarks: written by make bench FULL=1 -->\n", "<!-- /benchmarks -->\n"

Results = Mapping[str, Any]
"""`host`, and what compare, growth, target and latency wrote, and compare of `node`; each may be missing."""


def main() -> None:
    """Write README's block and the plot from the results that are there."""
    results = load()
    README.write_text(replaced(README.read_text(), block(results)))
    plot(growth_of(results), PLOT)


def load(path: Path = RESULTS) -> Results:
    """Read the results of a run."""
    results: Results = json.loads(path.read_text())
    return results


def compared(results: Results, name: str = "compare") -> list[compare.Result]:
    """Return the contenders' results, those of `gather = node` by the name `node`."""
    return [compare.Result(**result) for result in results.get(name, ())]


def growth_of(results: Results) -> list[growth.Row]:
    """Return the rows of the fleet's sizes."""
    return [growth.Row(**row) for row in results.get("growth", ())]


def costs(results: Results) -> list[target.Cost]:
    """Return the costs on the target."""
    return [target.Cost(**cost) for cost in results.get("target", ())]


def tables(results: Results) -> Iterator[str]:
    """Yield all that a run says, for a terminal."""
    yield results["host"]
    if found := compared(results):
        yield compare.show(found)
    if found := compared(results, "node"):
        yield f"gather = node:\n{compare.show(found)}"
    if rows := growth_of(results):
        yield growth.show(rows)
    if asked := costs(results):
        yield target.show(asked)
    if "latency" in results:
        yield told(results["latency"])


def block(results: Results) -> str:
    """Return what README says of the results, between its marks."""
    ours = next(result for result in compared(results) if result.name == compare.OURS)
    peers = table(
        ("the collector's side, per poll", "times ours", "CPU ms"),
        [(result.label, result.ratio, result.own_ms["median"]) for result in compared(results)],
    )
    node = table(
        ("`gather = node`, 200 machines every 5 s, per poll", "times ours", "CPU ms", "bytes received"),
        [
            (result.label, result.ratio, result.own_ms["median"], f"{result.received:,.0f}")
            for result in compared(results, "node")
        ],
    )
    fleet = table(
        ("machines, every 15 s", "of one core", "memory", "poll p50", "p99", "missed", "page, gzip"),
        [
            (
                f"{row.machines:,}", f"{100 * row.share:.1f} %", f"{row.rss_mb:.0f} MB", f"{row.latency_p50_ms:.1f} ms",
                f"{row.latency_p99_ms:.0f} ms", int(row.missed), f"{row.gzip_ms:.0f} ms",
            )
            for row in growth_of(results)
        ],
    )  # fmt: skip
    asked = table(
        ("on the machine that is asked, per poll", "times the probe's", "CPU ms", "memory"),
        [(cost.label, cost.ratio, cost.ms["median"], f"{cost.mb:.1f} MB") for cost in costs(results)],
    )
    return f"""\
On {results["host"]}. In the first table all had their turns in one run, on the same
machines and for the same data; the {ours.polls:,} polls of ours were parsed, rendered and scraped, the others' not even
parsed.

{peers}

The same for what node_exporter gives by default: the polls of ours were scraped as often, and parallel-ssh
fetched the same files and `df`. The first polls, and what is asked for every ten minutes, are not in it.

{node}

{fleet}

![How the cost grows with the fleet](docs/growth.svg)

{asked}
"""


def replaced(readme: str, text: str) -> str:
    """Return README with another block. Raises ValueError when it has no marks."""
    start, stop = readme.index(BEGIN) + len(BEGIN), readme.index(END)
    return f"{readme[:start]}{text}{readme[stop:]}"


def plot(rows: list[growth.Row], path: Path) -> None:
    """Draw how the costs grow, each with the straight line that fits it best."""
    import matplotlib as mpl  # noqa: PLC0415 (an extra, which only drawing needs)
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "collector", "font.size": 9}
    figure = Figure(figsize=(8, 5), layout="constrained")
    drawn = (
        ("share", 100.0, "processor, % of a core"),
        ("rss_mb", 1.0, "memory, MB"),
        ("gzip_ms", 1.0, "a scrape (gzip), ms"),
        ("latency_p99_ms", 1.0, "poll p99, ms"),
    )
    machines = [row.machines for row in rows]
    for axes, (name, scale, title) in zip(figure.subplots(2, 2).flat, drawn, strict=True):
        values = [scale * getattr(row, name) for row in rows]
        axes.plot(machines, values, "o", color="#1f77b4")
        if len(rows) > 2 and name != "latency_p99_ms":
            start, slope, _ = growth.bend(list(zip(machines, values, strict=True)))
            axes.plot([0, machines[-1]], [start, start + slope * machines[-1]], "--", color="#999999", linewidth=1)
        axes.set(title=title, xlim=(0, None), ylim=(0, None))
        axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.supxlabel("machines")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()

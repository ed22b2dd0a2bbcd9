"""A soak as a picture: what it used over time, and when faults were on."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.soak.summary import Results


def plot(results: Results, path: Path) -> None:
    """Draw memory, what is held, lag and pages, the processor, and the faults."""
    import matplotlib as mpl  # noqa: PLC0415 (an extra, which only drawing needs)
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "collector", "font.size": 9}
    figure = Figure(figsize=(9, 9), layout="constrained")
    memory, held, late, cost, ill = figure.subplots(5, 1, sharex=True, height_ratios=[3, 2, 2, 1.5, 2.5])
    _memory(memory, results)
    _held(held, results)
    samples = results["samples"]
    at = [one["at"] / 60 for one in samples]
    late.plot(at, [1000 * one["page"] for one in samples], color="#ff7f0e", linewidth=0.7, label="slowest page")
    late.plot(at, [1000 * one["lag"] for one in samples], color="#1f77b4", linewidth=0.7, label="hub lag p99")
    late.set(ylabel="ms", yscale="log")
    late.legend(loc="upper right", ncols=2)
    spent = [100 * (new["used"] - old["used"]) / (new["at"] - old["at"]) for old, new in pairwise(samples)]
    cost.plot(at[1:], spent, color="#1f77b4", linewidth=0.7)
    cost.set(ylabel="% of a core", ylim=(0, None))
    _ill(ill, results)
    for violation in results["violations"]:
        memory.axvline(violation["at"] / 60, color="#d62728", linewidth=0.7)
    figure.savefig(path, metadata={"Date": None})


def _memory(axes: Any, results: Results) -> None:
    """Draw the memory, and the line whose slope is told."""
    samples, rests = results["samples"], results["rests"]
    axes.plot([one["at"] / 60 for one in samples], [one["memory"] / 1024 for one in samples], linewidth=1)
    axes.plot([rest["at"] / 60 for rest in rests], [rest["memory"] / 2**20 for rest in rests], "o", label="all well")
    for name, line in results["slopes"].items():
        if line and name.startswith("after"):
            ends = [results["memory_from"] / 60, samples[-1]["at"] / 60]
            ys = [(line["start"] + line["slope"] * end / 60) / 1024 for end in ends]
            axes.plot(ends, ys, "--", color="#999999", label=f"{line['slope']:+.0f} ± {line['error']:.0f} kB an hour")
    axes.set_ylabel("memory, MB")
    axes.legend(loc="lower right")


def _held(axes: Any, results: Results) -> None:
    """Draw descriptors, sessions and greenlets."""
    samples, rests = results["samples"], results["rests"]
    for name in ("descriptors", "sessions"):
        axes.plot([one["at"] / 60 for one in samples], [one[name] for one in samples], linewidth=1, label=name)
    greenlets = [sum(count for what, count in rest.items() if what.startswith("greenlets")) for rest in rests]
    axes.plot([rest["at"] / 60 for rest in rests], greenlets, "o", label="greenlets, all well")
    axes.set(ylabel="held", ylim=(0, None))
    axes.legend(loc="lower right", ncols=3)


def _ill(axes: Any, results: Results) -> None:
    """Draw a line for each fault, from when it struck to when it was healed."""
    for color, label, is_seen in (("#d62728", "polls failed", True), ("#2ca02c", "stayed up", False)):
        struck = [one for one in results["strikes"] if one["made"] and bool(one["failures"]) == is_seen]
        axes.hlines(
            [one["strike"]["patient"] for one in struck],
            [one["at"] / 60 for one in struck],
            [(one["at"] + one["seconds"]) / 60 for one in struck],
            color=color,
            label=label,
            linewidth=2,
        )
    axes.set(ylabel="faults on patients", xlabel="minutes")
    axes.legend(loc="upper right", ncols=2)

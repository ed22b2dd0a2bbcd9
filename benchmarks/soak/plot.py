"""A soak as a picture: what it used over time, and when faults were on."""

from itertools import pairwise
from pathlib import Path

from benchmarks.soak.summary import Results


def plot(results: Results, path: Path) -> None:
    """Draw memory, descriptors and greenlets, lag and pages, and the faults."""
    import matplotlib as mpl  # noqa: PLC0415 (an extra, which only drawing needs)
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "collector", "font.size": 9}
    samples, rests = results["samples"], results["rests"]
    at = [one["at"] / 60 for one in samples]
    at_rest = [rest["at"] / 60 for rest in rests]
    figure = Figure(figsize=(9, 9), layout="constrained")
    memory, held, late, cost, ill = figure.subplots(5, 1, sharex=True, height_ratios=[3, 2, 2, 2, 1.5])
    memory.plot(at, [one["memory"] / 1024 for one in samples], color="#1f77b4", linewidth=1)
    memory.plot(at_rest, [rest["memory"] / 2**20 for rest in rests], "o", color="#d62728", label="all well")
    for name, line in results["slopes"].items():
        if line and name.startswith("after"):
            ends = [results["memory_from"] / 60, at[-1]]
            ys = [(line["start"] + line["slope"] * end / 60) / 1024 for end in ends]
            memory.plot(ends, ys, "--", color="#999999", label=f"{line['slope']:+.0f} ± {line['error']:.0f} kB an hour")
    memory.set_ylabel("memory, MB")
    memory.legend(loc="lower right")
    held.plot(at, [one["descriptors"] for one in samples], color="#1f77b4", linewidth=1, label="descriptors")
    held.plot(at, [one["sessions"] for one in samples], color="#2ca02c", linewidth=1, label="sessions")
    greenlets = [sum(count for what, count in rest.items() if what.startswith("greenlets")) for rest in rests]
    held.plot(at_rest, greenlets, "o", color="#9467bd", label="greenlets, all well")
    held.set(ylabel="held", ylim=(0, None))
    held.legend(loc="lower right", ncols=3)
    late.plot(at, [1000 * one["page"] for one in samples], color="#ff7f0e", linewidth=1, label="slowest page")
    late.plot(at, [1000 * one["lag"] for one in samples], color="#1f77b4", linewidth=1, label="hub lag p99")
    late.set(ylabel="ms", yscale="log")
    late.legend(loc="upper right", ncols=2)
    pairs = list(pairwise(samples))
    spent = [100 * (new["used"] - old["used"]) / (new["at"] - old["at"]) for old, new in pairs]
    cost.plot(at[1:], spent, color="#1f77b4", linewidth=1)
    cost.set(ylabel="processor,\n% of a core", ylim=(0, None))
    struck = [outcome for outcome in results["strikes"] if outcome["made"]]
    ill.hlines(
        [outcome["strike"]["patient"] for outcome in struck],
        [outcome["at"] / 60 for outcome in struck],
        [(outcome["at"] + outcome["seconds"]) / 60 for outcome in struck],
        color=["#d62728" if outcome["failures"] else "#2ca02c" for outcome in struck],
        linewidth=1.5,
    )
    ill.set(ylabel="faults on\npatients", xlabel="minutes")
    for violation in results["violations"]:
        memory.axvline(violation["at"] / 60, color="#d62728", linewidth=0.7)
    figure.savefig(path, metadata={"Date": None})

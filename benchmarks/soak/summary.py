"""What is told at the end of a soak: Markdown for people, JSON for programs."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from faults.fault import Fault

from benchmarks.soak.invariants import HOLDS
from benchmarks.soak.slope import fit
from benchmarks.soak.strikes import Outcome
from benchmarks.table import quantile, table

Results = Mapping[str, Any]
"""What `results` returns, or the same read from JSON."""

ROWS = 12
"""Lines of the table of what was used over time."""


def seen_of(outcomes: Sequence[Outcome], faults: Mapping[str, Fault]) -> list[dict[str, Any]]:
    """Return what was seen of each fault, in the order of `faults`."""
    rows = []
    for name, one in faults.items():
        made = [outcome for outcome in outcomes if outcome.strike.fault == name and outcome.made]
        failed: Counter[str] = Counter()
        after: Counter[str] = Counter()
        for outcome in made:
            failed.update(outcome.failures)
            after.update(outcome.after)
        rows.append({
            "fault": name,
            "expected": list(one.reasons),
            "struck": len(made),
            "seconds": sum(outcome.seconds for outcome in made),
            "polls": sum(outcome.polls for outcome in made),
            "failed": dict(failed),
            "after": dict(after),
            "longest_up_after": max((outcome.up_after or 0.0 for outcome in made), default=None),
        })  # fmt: skip
    return rows


def show(results: Results) -> str:
    """Return the summary in Markdown."""
    return "\n".join([*_head(results), *_invariants(results), *_resources(results), *_faults(results)])


def _head(results: Results) -> Iterator[str]:
    options, size, totals = results["options"], results["size"], results["totals"]
    lines = table(
        ("in all", "count"),
        [
            ("polls", f"{totals['polls']:,.0f}"),
            ("… that succeeded", f"{totals['succeeded']:,.0f}"),
            ("… that failed", f"{totals['failed']:,.0f}"),
            ("… that failed on a healthy machine", f"{totals['failed_healthy']:,.0f}"),
            ("due moments in a pause after a failure", f"{totals['alone']:,.0f}"),
            ("due moments missed", f"{totals['missed']:,.0f}"),
            ("due moments lost", f"{totals['lost']:,.0f}"),
            ("logins", f"{totals['logins']:,.0f}"),
            ("faults that struck", f"{totals['struck']:,.0f}"),
            ("… drawn, but the machine was still down", f"{totals['unmade']:,.0f}"),
            ("pages fetched", f"{totals['pages']:,.0f}"),
        ],
    )
    yield f"""\
Made by `make soak ARGS="{results["command"]}"` on {results["host"]}, with other work on the machine.

{size["real"]} healthy machines of one real sshd, {size["simulated"]} simulated ones, and {size["patients"]} patients
(a real sshd behind a proxy, until a fault strikes), polled every {size["interval"]:g} s for {results["seconds"]:,.0f}
s. The faults are the rows of [faults.md](faults.md), drawn with the seed {options["seed"]}; each lasts
{options["shortest"]:g} to {options["longest"]:g} s. Pauses after failures are as long as they are in earnest. The page
is fetched every 2 s, and twice a second while a machine is to come back: that is part of the processor told here.

{lines}
"""


def _invariants(results: Results) -> Iterator[str]:
    count = Counter(one["what"] for one in results["violations"])
    yield "## What must hold\n"
    yield table(("invariant", "violations"), [(text, count[what]) for what, text in HOLDS.items()]) + "\n"
    for one in results["violations"]:
        yield f"* at {one['at']:,.0f} s, {one['what']}: {one['detail']}"
    if results["violations"]:
        yield ""


def _resources(results: Results) -> Iterator[str]:
    yield "## What it uses\n\n![Over time](soak.svg)\n"
    for name, line in results["slopes"].items():
        if line:
            low, high = line["slope"] - line["error"], line["slope"] + line["error"]
            yield f"Memory, {name}: **{line['slope']:+.0f} kB an hour**, with 95 % from {low:+.0f} to {high:+.0f}.\n"
    if any(results["slopes"].values()):
        yield "(Least squares through the means of 24 blocks of samples, as single ones are much alike; Student's t.)"
    yield ""
    yield _over_time(results["samples"]) + "\n"
    yield "Whenever all machines were well:\n"
    yield _at_rest(results["rests"]) + "\n"


def _over_time(samples: Sequence[Mapping[str, float]]) -> str:
    head = (
        "until, s", "polls", "failed", "missed", "logins", "CPU ms/poll", "of one core", "waited for one", "memory, kB",
        "fds", "lag p99, ms", "slowest page, ms", "healthy poll p99, ms",
    )  # fmt: skip
    edges = sorted({(len(samples) - 1) * number // ROWS for number in range(ROWS + 1)})
    rows = []
    for first, last in pairwise(edges):
        before, after, within = samples[first], samples[last], samples[first + 1 : last + 1]
        gone = {name: after[name] - before[name] for name in after}
        rows.append((
            f"{after['at']:,.0f}", int(gone["polls"]), int(gone["failed"]), int(gone["missed"]), int(gone["logins"]),
            1000 * gone["used"] / max(1, gone["polls"]), f"{100 * gone['used'] / gone['at']:.1f} %",
            f"{100 * gone['waited'] / gone['at']:.1f} %", f"{after['memory']:,.0f}", int(after["descriptors"]),
            1000 * quantile(sorted(one["lag"] for one in within), 0.5), 1000 * max(one["page"] for one in within),
            1000 * quantile(sorted(one["poll"] for one in within), 0.5),
        ))  # fmt: skip
    return table(head, rows)


def _at_rest(rests: Sequence[Mapping[str, float]]) -> str:
    rows = []
    for rest in rests:
        greenlets = sum(count for what, count in rest.items() if what.startswith("greenlets"))
        counts = [int(rest[what]) for what in ("transports", "threads", "descriptors")]
        rows.append((f"{rest['at']:,.0f}", int(greenlets), *counts, f"{rest['memory'] / 1024:,.0f}"))
    return table(("at, s", "greenlets", "transports", "threads", "descriptors", "memory, kB"), rows)


def _faults(results: Results) -> Iterator[str]:
    rows = [
        (
            row["fault"], row["struck"], int(row["polls"]), _told(row["failed"]), _told(row["after"]),
            f"{row['longest_up_after']:.1f} s" if row["struck"] else "–",
        )
        for row in results["faults"]
    ]  # fmt: skip
    yield f"""\
## What was seen of each fault

"After" are polls that failed once all was well: a login that was under way. A fault after which a machine stays up
fails no poll; one `closed` can be that of a poll that was under way when it struck.

{table(("fault", "struck", "polls meanwhile", "failed", "after", "up again, at the latest"), rows)}
"""


def _told(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{count:.0f} {reason}" for reason, count in counts.items()) or "–"


def slopes(samples: Sequence[Mapping[str, float]], warm: float) -> dict[str, dict[str, float] | None]:
    """Return kB an hour and the error of it: after `warm` seconds, and in the second half of the run."""
    ends = {f"after the first {warm / 60:.0f} minutes": warm, "in the second half": samples[-1]["at"] / 2}
    found: dict[str, dict[str, float] | None] = {}
    for name, begin in ends.items():
        late = [one for one in samples if one["at"] >= begin]
        line = fit([one["at"] / 3600 for one in late], [one["memory"] for one in late])
        found[name] = line._asdict() if line else None
    return found


def strikes_told(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the strikes for JSON, in the order of their times."""
    found: defaultdict[float, list[dict[str, Any]]] = defaultdict(list)
    for outcome in outcomes:
        found[outcome.at].append(asdict(outcome))
    return [one for at in sorted(found) for one in found[at]]

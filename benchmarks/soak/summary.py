"""What is told at the end of a soak: Markdown for people, JSON for programs."""

import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from faults.fault import Fault, Patient

from benchmarks.soak.invariants import HOLDS
from benchmarks.soak.slope import BLOCKS, fit
from benchmarks.soak.strikes import Outcome
from benchmarks.table import quantile, table

Results = Mapping[str, Any]
"""What `results` returns, or the same read from JSON."""

ROWS = 12
"""Lines of the table of what was used over time."""


def seen_of(outcomes: Sequence[Outcome], faults: Mapping[str, Fault[Patient]]) -> list[dict[str, Any]]:
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
    options, size, totals, samples = (results[name] for name in ("options", "size", "totals", "samples"))
    waited = (samples[-1]["waited"] - samples[0]["waited"]) / (samples[-1]["at"] - samples[0]["at"])
    yield f'    make soak ARGS="{results["command"]}"\n'
    yield fill(
        f"That was on {results['host']}. The daemon had to wait for a core for {100 * waited:.1f} % of the time, which "
        "is what else went on there."
    )
    yield fill(
        f"{size['real']} healthy machines of one real sshd, {size['simulated']} simulated ones, and {size['patients']} "
        "patients (a real sshd behind a proxy, until a fault strikes) were polled every "
        f"{size['interval']:g} s for {results['seconds']:,.0f} s. The faults are the rows of [faults.md](faults.md), "
        f"drawn with the seed {options['seed']}; each lasts {options['shortest']:g} to {options['longest']:g} s. "
        "Pauses after failures are as long as they are in earnest. The daemon is as it is, but that it counts its due "
        "moments. Its page is fetched now and then, and twice a second for each machine that is to come back: that is "
        "part of the processor told here."
    )
    counts = {
        "polls": "polls",
        "… that succeeded": "succeeded",
        "… that failed": "failed",
        "… that failed on a healthy machine": "failed_healthy",
        "due moments in a pause after a failure": "alone",
        "due moments missed": "missed",
        "due moments lost": "lost",
        "logins": "logins",
        "faults that struck": "struck",
        "… drawn, but the machine was still down": "unmade",
        "pages looked at": "pages",
    }
    yield table(("in all", "count"), [(text, f"{totals[name]:,.0f}") for text, name in counts.items()]) + "\n"
    yield f"The slowest page took {1000 * totals['slowest_page']:.0f} ms.\n"


def fill(text: str) -> str:
    """Return a paragraph in lines of 120 columns at most."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


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
            yield f"Memory, {name}: **{line['slope']:+.0f} kB an hour** (95 % confidence: {low:+.0f} to {high:+.0f}).\n"
    if any(results["slopes"].values()):
        yield fill(
            f"That is least squares through the means of {BLOCKS} blocks of samples, which know little of each other, "
            "with Student's t: single samples are too much alike."
        )
    yield from _healthy(results["samples"])
    yield _over_time(results["samples"]) + "\n"
    yield "Whenever all machines were well:\n"
    yield _at_rest(results["rests"]) + "\n"


def _healthy(samples: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """Yield how long the healthy machines' polls took with faults and without."""
    with_faults = sorted(one["poll"] for one in samples if one["faults"])
    without = sorted(one["poll"] for one in samples if not one["faults"])
    if with_faults and without:
        yield fill(
            "The 99th percentile of the healthy machines' polls from sample to sample is "
            f"{1000 * quantile(with_faults, 0.5):.1f} ms while there are faults, and "
            f"{1000 * quantile(without, 0.5):.1f} ms while there are none (the medians of {len(with_faults)} and "
            f"{len(without)} samples)."
        )


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

"After" are polls that failed once all was well: a login that was under way. A fault with which a machine stays up fails
no poll. One `closed` may be that of a poll that was under way when the fault struck.

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

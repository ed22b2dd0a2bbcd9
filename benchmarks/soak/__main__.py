"""A soak: a fleet that faults befall at random, for as long as asked; whether polls get lost, and anything grows.

    make soak ARGS="--seconds 7200 --seed 7 --out build/soak"

Writes soak.md, soak.json, the daemon's log and, where there is matplotlib, soak.svg to the folder `--out`; ends with 1
if something did not hold. The same seed and options strike the same machines with the same faults at the same moments.
Needs root (the sshd runs in namespaces).
"""

from gevent import monkey

monkey.patch_all()

import argparse
import json
import logging
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
from faults.fault import Fault, Patient

from benchmarks.__main__ import host
from benchmarks.soak import summary
from benchmarks.soak.invariants import Invariants
from benchmarks.soak.page import FAILURES
from benchmarks.soak.plot import plot
from benchmarks.soak.sampling import Sample, Sampler
from benchmarks.soak.schedule import Plan, draw
from benchmarks.soak.strikes import Strikes
from benchmarks.soak.ward import WARDS, Size, Ward, backoff, faults

COLUMNS = {
    "seconds": "at", "polls": "polls", "failed": "failed", "missed": "missed", "logins": "logins", "up": "up",
    "faults": "faults", "rss kB": "memory", "fds": "descriptors", "threads": "threads",
}  # fmt: skip

EXPECTED = re.compile(r'"msg": ?"(up|down|known_hosts: .*|serving .*)"')
"""The lines of the log that a fault may leave."""


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--seconds", type=float, default=600.0, help="how long, from the moment at which all machines are up")
    add("--seed", type=int, default=1)
    add("--out", type=Path, default=Path("build", "soak"))
    add("--again", type=Path, metavar="JSON", help="run nothing: write summary and plot of a soak.json anew")
    add("--machines", type=int, default=40, help="healthy ones, of a real sshd")
    add("--simulated", type=int, default=20, help="healthy ones, of the simulator")
    add("--patients", type=int, default=24)
    add("--interval", type=float, default=5.0, help="seconds between two polls of a machine")
    add("--shortest", type=float, default=20.0, help="seconds that a fault lasts at least")
    add("--longest", type=float, default=60.0, help="and at most")
    add("--quiet", type=float, default=30.0, help="seconds that a machine is left well at most")
    add("--warm", type=float, default=30.0, help="seconds before the first fault")
    add("--round", type=float, default=1200.0, help="seconds after which all machines are well together")
    add("--rest", type=float, default=20.0, help="for so many seconds at least")
    add("--wards", nargs="+", choices=tuple(WARDS), default=list(WARDS), help="the faults")
    add("--sample", type=float, default=10.0, help="seconds from sample to sample")
    add("--every", type=float, default=60.0, help="seconds from line to line")
    return parser.parse_args()


def main() -> int:
    """Run a soak; return 1 when something did not hold."""
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.again:
        return report(json.loads(asked.again.read_text()), asked.out)
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # The servers' complaints are what we provoke.
    with tempfile.TemporaryDirectory() as folder:
        try:
            results = Soak(asked, Path(folder)).run()
        finally:
            with suppress(FileNotFoundError):  # It may not have come to that.
                shutil.copy(Path(folder, "log"), asked.out / "daemon.log")
    (asked.out / "soak.json").write_text(json.dumps(results, indent=1) + "\n")
    return report(results, asked.out)


def report(results: summary.Results, out: Path) -> int:
    """Write the summary and the plot; return 1 when something did not hold."""
    text = summary.show(results)
    (out / "soak.md").write_text(f"# A soak\n\n{text}")
    print(text)
    if find_spec("matplotlib"):
        plot(results, out / "soak.svg")
    return 1 if results["violations"] else 0


class Soak:
    """One run, as it was asked for."""

    def __init__(self, asked: argparse.Namespace, directory: Path) -> None:
        self._asked = asked
        self._size = Size(asked.machines, asked.simulated, asked.patients, asked.interval)
        self._faults: Mapping[str, Fault[Patient]] = faults(asked.wards)
        names = "seed", "seconds", "patients", "warm", "round", "rest", "shortest", "longest", "quiet"
        self._plan = Plan(margin=self._size.margin, **{name: getattr(asked, name) for name in names})
        self._strikes = draw(self._plan, {name: backoff(one) for name, one in self._faults.items()})
        self._ward = Ward(self._size, directory)
        self._told = 0.0

    def run(self) -> dict[str, Any]:
        """Return all that was seen."""
        print(f"{len(self._strikes)} strikes of {len(self._faults)} faults are drawn", flush=True)
        with self._ward as ward:
            gevent.sleep(self._size.interval)  # Until each has been polled again.
            begin = monotonic()
            invariants = Invariants(ward.healthy, ward.machines, self._size, begin)
            invariants.tell = lambda one: print(f"at {one.at:.0f} s, {one.what}: {one.detail}", flush=True)
            strikes = Strikes(ward, self._faults, self._strikes, invariants, begin)
            sampler = Sampler(ward, invariants, strikes, begin=begin, every=self._asked.sample, tell=self._tell)
            print("  ".join(f"{name:>8}" for name in COLUMNS), flush=True)
            under_way = [*strikes.start(), looking := gevent.spawn(sampler.run)]
            for at in [self._plan.warm / 2, *(end - self._plan.rest + 1 for _, end in self._plan.rounds())]:
                gevent.sleep(max(0.0, begin + at - monotonic()))
                sampler.rest()
            gevent.sleep(max(0.0, begin + self._plan.seconds - monotonic()))
            gevent.joinall(under_way[:-1], timeout=60)
            sampler.stop()
            looking.join()
            broken = [repr(one.exception or "not over") for one in under_way if not one.successful()]
            self._look_at_end(invariants, strikes, broken)
            return self._results(invariants, strikes, sampler, monotonic() - begin)

    def _tell(self, sample: Sample) -> None:
        if sample.at >= self._told + self._asked.every - 0.5:
            self._told = sample.at
            print("  ".join(f"{getattr(sample, name):8.6g}" for name in COLUMNS.values()), flush=True)

    def _look_at_end(self, invariants: Invariants, strikes: Strikes, broken: list[str]) -> None:
        """Look at what can be judged only when all is over."""
        page, now = self._ward.page(), monotonic()
        told = sum(sum(one.failures.values()) + sum(one.after.values()) for one in strikes.outcomes)
        if page.total(FAILURES) != told:
            invariants.complain(now, "failures", f"{page.total(FAILURES):g} polls failed, {told:g} by faults")
        for line in self._ward.log.split("\n")[:-1]:  # Not splitlines: what a machine said may have what that cuts at.
            if not EXPECTED.search(line):
                invariants.complain(now, "log", line)
        for problem in broken:
            invariants.complain(now, "failures", f"what strikes, or looks, ended early: {problem}")

    def _results(self, invariants: Invariants, strikes: Strikes, sampler: Sampler, seconds: float) -> dict[str, Any]:
        counts, page = self._ward.counts(), self._ward.page()
        missed = page.total("collector_polls_missed_total")
        samples = [asdict(sample) for sample in sampler.samples]
        memory_from = self._asked.seconds / 6
        return {
            "command": shlex.join(sys.argv[1:]),
            "host": host(),
            "options": {**vars(self._asked), "out": str(self._asked.out)},
            "size": asdict(self._size),
            "seconds": seconds,
            "totals": {
                "polls": page.total("ssh_polls_total"),
                "succeeded": counts["succeeded"],
                "failed": page.total(FAILURES),
                "failed_healthy": sum(sum(page.failures(name).values()) for name in self._ward.healthy),
                "missed": missed,
                "alone": counts["alone"],
                "lost": counts["moments"] - counts["begun"] - counts["alone"] - missed,
                "logins": page.total("ssh_logins_total"),
                "struck": sum(outcome.made for outcome in strikes.outcomes),
                "unmade": sum(not outcome.made for outcome in strikes.outcomes),
                "pages": sampler.pages,
                "slowest_page": sampler.slowest,
                "lag_p99_minutes": max((p99 for _, p99 in invariants.lags), default=0.0),
            },
            "violations": [one.told() for one in invariants.violations],
            "slopes": summary.slopes(samples, memory_from),
            "memory_from": memory_from,
            "rests": sampler.rests,
            "faults": summary.seen_of(strikes.outcomes, self._faults),
            "strikes": summary.strikes_told(strikes.outcomes),
            "samples": samples,
        }


if __name__ == "__main__":
    sys.exit(main())

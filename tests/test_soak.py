"""The soak: its schedule is its seed's, its line is known, it sees what does not hold, and a short one runs."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ROOT
from benchmarks.soak.invariants import Invariants
from benchmarks.soak.page import Page
from benchmarks.soak.schedule import Plan, draw, recovery
from benchmarks.soak.slope import BLOCKS, fit
from benchmarks.soak.strikes import fits
from benchmarks.soak.ward import WARDS, Size, backoff, faults
from collector.errors import LATE, NEVER, NONE, SOON

PLAN = Plan(
    seed=7, seconds=7200, patients=5, warm=30, round=1200, rest=20, shortest=20, longest=60, quiet=30, margin=11
)
PAUSES = {name: backoff(one) for name, one in faults(list(WARDS)).items()}


def test_schedule_is_of_the_seed() -> None:
    """The same seed draws the same strikes, another one others."""
    assert draw(PLAN, PAUSES) == draw(PLAN, dict(reversed(PAUSES.items())))
    assert draw(PLAN, PAUSES) != draw(replace(PLAN, seed=8), PAUSES)


def test_schedule_overlaps_nowhere() -> None:
    """A patient has one fault at a time, and is well again before the next, and before each rest."""
    strikes = draw(PLAN, PAUSES)
    assert {strike.patient for strike in strikes} == set(range(5))
    for patient in range(5):
        free = PLAN.warm
        for strike in (strike for strike in strikes if strike.patient == patient):
            assert strike.at >= free
            free = strike.at + strike.seconds + recovery(PAUSES[strike.fault], strike.seconds, PLAN.margin)
            assert any(begin <= strike.at and free <= end - PLAN.rest for begin, end in PLAN.rounds())


def test_schedule_deals_all_faults() -> None:
    """Each fault strikes as often as any other, but for one."""
    dealt = [strike.fault for strike in draw(PLAN, PAUSES)]
    counts = [dealt.count(name) for name in PAUSES]
    assert max(counts) - min(counts) <= 1


def test_recovery() -> None:
    """A pause that doubles is no longer than all before it and the first; one without end ends with its fault."""
    assert (11, 11) == (recovery(NONE, 60, 11), recovery(NEVER, 60, 11))
    assert (12 + 20, 11 + 60) == (recovery(SOON, 15, 11), recovery(SOON, 600, 11))
    assert 11 + 30 + 80 == recovery(LATE, 60, 11)


def test_slope_of_a_line() -> None:
    """A straight line fits itself, and is sure."""
    found = fit(range(480), [3.0 + 2.0 * x for x in range(480)])
    assert found
    assert pytest.approx((3.0, 2.0, 0.0), abs=1e-9) == found


def test_slope_of_blocks() -> None:
    """The interval is that of ordinary least squares through the blocks' means."""
    means = [1.0 if block % 2 else -1.0 for block in range(BLOCKS)]
    found = fit(range(2 * BLOCKS), [mean for mean in means for _ in range(2)])
    # By hand: Sxx = 4 · n(n² − 1)/12 = 4600, Sxy = 24, and what is left of Syy = 24.
    assert found
    assert pytest.approx(24 / 4600) == found.slope
    assert pytest.approx(2.0739 * ((24 - 24**2 / 4600) / 22 / 4600) ** 0.5, rel=1e-4) == found.error


def test_slope_of_samples_that_are_alike() -> None:
    """The interval of samples that are much like the ones before has the true slope about as often as it says."""
    hits = 0
    for seed in range(200):
        chance, drift, values = random.Random(seed), 0.0, []
        for x in range(720):
            drift = 0.8 * drift + chance.gauss(0, 1)
            values.append(0.01 * x + drift)
        found = fit(range(720), values)
        assert found
        hits += abs(found.slope - 0.01) <= found.error
    assert 180 <= hits <= 200


def test_no_slope_of_too_few() -> None:
    """Too few samples have no slope."""
    assert fit(range(2 * BLOCKS - 1), [0.0] * (2 * BLOCKS - 1)) is None


SIZE = Size(1, 0, 1, interval=5)
COUNTS = {"moments": 0, "begun": 0, "alone": 0, "succeeded": 0, "failed": 0}


def page(at: float, well: float, ill: float = 0, failed: float = 0, **changes: Any) -> Page:
    """Return a page with so many polls of the two machines; the ill one is up when none of its polls has failed."""
    values = {
        'ssh_up{instance="well"}': 1.0,
        'ssh_up{instance="ill"}': float(not failed),
        'ssh_polls_total{instance="well"}': well,
        'ssh_polls_total{instance="ill"}': ill,
        **({'ssh_poll_failures_total{instance="ill",reason="kex"}': failed} if failed else {}),
        **({'ssh_backoff_seconds{instance="ill"}': 8.0} if failed else {}),
        "collector_polls_missed_total": 0.0,
        **{f'collector_hub_lag_seconds_bucket{{le="{edge}"}}': 10 * at for edge in ("0.1", "1.0", "+Inf")},
        **changes.pop("values", {}),
    }
    data = frozenset({"well"} if failed else {"well", "ill"})
    return Page(at=at, **{"values": values, "with_data": data, **changes})


def broken(*pages: Page) -> list[str]:
    """Return which invariants the pages violate."""
    invariants = Invariants(["well"], ["well", "ill"], SIZE, begin=0)
    for one in pages:
        invariants.look(one)
    return [violation.what for violation in invariants.violations]


def test_all_holds() -> None:
    """A fleet that is polled in time, of which a machine fails and is left alone for its pause, violates nothing."""
    assert not broken(page(0, 1, 1), page(5, 2, 2), page(10, 3, 3, 1), page(20, 5, 3, 1), page(26, 6, 4, 2))


FIRST = page(0, 1, 1)
BAD = {
    "page": page(2, 1, 1, seconds=1.2),
    "polled": page(20, 2, 5),
    "missed": page(5, 2, 2, values={"collector_polls_missed_total": 1.0}),
    "counters": page(5, 2, 0),
    "data": page(5, 2, 2, with_data=frozenset({"well"})),
    "healthy": page(5, 2, 2, values={'ssh_poll_failures_total{instance="well",reason="kex"}': 1.0}),
    "lag": page(61, 13, 13, values={'collector_hub_lag_seconds_bucket{le="0.1"}': 600.0}),
    "left alone": page(30, 7, 1),
}


@pytest.mark.parametrize("what", BAD)
def test_violation(what: str) -> None:
    """What does not hold is seen, and nothing else is."""
    assert [what] == broken(FIRST, BAD[what])


def test_page_that_is_no_page() -> None:
    """An answer other than 200 is seen, and its series are not missed."""
    assert ["page"] == broken(FIRST, Page(at=2, status=503), page(5, 2, 2))


@pytest.mark.parametrize(
    "after",
    [
        {"moments": 4, "begun": 4, "succeeded": 3, "failed": 1},  # The page has one more.
        {"moments": 5, "begun": 5, "succeeded": 5},  # One of the polls was counted as failed.
        {"moments": 35, "begun": 5, "alone": 2, "succeeded": 4, "failed": 1},
    ],
)
def test_accounts(after: dict[str, int]) -> None:
    """A poll or a due moment of which nothing became is seen."""
    invariants = Invariants(["well"], ["well", "ill"], SIZE, begin=0)
    invariants.account(
        COUNTS, page(5, 2, 3, 1), COUNTS | {"moments": 7, "begun": 5, "alone": 2, "succeeded": 4, "failed": 1}
    )
    assert not invariants.violations
    invariants.account(COUNTS, page(5, 2, 3, 1), COUNTS | after)
    assert ["accounts"] == [violation.what for violation in invariants.violations]


@pytest.mark.parametrize(
    ("failures", "expected", "good"),
    [
        ({}, (), True),
        ({"closed": 1}, (), True),  # The poll that was under way.
        ({"closed": 2}, (), False),
        ({"kex": 1}, (), False),
        ({"kex": 3}, ("kex",), True),
        ({"closed": 1, "kex": 3}, ("kex",), True),
        ({"timeout": 1}, ("timeout", "banner"), True),
        ({"banner": 2}, ("timeout", "banner"), True),
        ({}, ("kex",), False),
        ({"kex": 1, "bug": 1}, ("kex",), False),
        ({"closed": 1}, ("kex",), False),
    ],
)
def test_fault_is_seen(failures: dict[str, float], expected: tuple[str, ...], good: bool) -> None:
    """A fault is seen with its reasons and no others, but for the one poll that it cuts in two."""
    assert good == fits(failures, expected)


@pytest.mark.needs("root", "namespaces", "setpriv", "sshd")
def test_soak(tmp_path: Path) -> None:
    """A short soak strikes as it was drawn, accounts for all polls, and writes its summary."""
    argv = [sys.executable, "-m", "benchmarks.soak", "--out", str(tmp_path), "--wards", "Connections"]
    argv += ["--seconds", "8", "--machines", "2", "--simulated", "2", "--patients", "4", "--interval", "0.5"]
    argv += ["--shortest", "0.3", "--longest", "0.5", "--quiet", "0.1", "--warm", "1", "--rest", "1", "--sample", "1"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr  # Whether a second is enough is for a machine that is idle.
    results = json.loads((tmp_path / "soak.json").read_text())
    totals = results["totals"]
    assert len(results["strikes"]) == totals["struck"] + totals["unmade"] > 0
    assert totals["polls"] == pytest.approx(totals["succeeded"] + totals["failed"], abs=8)
    assert "## What must hold" in (tmp_path / "soak.md").read_text()

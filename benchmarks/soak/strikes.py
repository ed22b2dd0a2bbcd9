"""Faults strike and are healed, each at its time, and what was seen of each."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import gevent
from faults.fault import Fault, Patient

from benchmarks.soak.invariants import Invariants
from benchmarks.soak.page import Page
from benchmarks.soak.schedule import Strike
from benchmarks.soak.ward import SLACK, Ward

UNDER_WAY = "closed"
"""How a poll may fail that is under way just when a fault strikes, once half of its answer is here."""

LOOK_EVERY = 0.5
"""Seconds from one look to the next while a machine is to come back."""


@dataclass
class Outcome:
    """What was seen of one strike: times in seconds, `at` from the start.

    `failures` are the polls that failed while it lasted, by reason; `after` those that failed after it was healed (a
    login under way may end with the fault, and so for another reason). `up_after` is how long after the healing the
    machine was up, None if that was not seen. `made` is whether it struck: not, when the machine was still down.
    """

    strike: Strike
    at: float = 0.0
    seconds: float = 0.0
    polls: float = 0.0
    failures: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    up_after: float | None = None
    made: bool = False


class Strikes:
    """All strikes of a run, in a greenlet for each patient. `begin` is the moment (monotonic) of the start."""

    def __init__(
        self,
        ward: Ward,
        faults: Mapping[str, Fault[Patient]],
        strikes: list[Strike],
        invariants: Invariants,
        begin: float,
    ) -> None:
        self._ward = ward
        self._faults = faults
        self._strikes = strikes
        self._invariants = invariants
        self._begin = begin
        self.outcomes: list[Outcome] = []
        self.on: set[Strike] = set()

    def start(self) -> "list[gevent.Greenlet[..., None]]":
        """Begin; the greenlets end when all is over."""
        return [
            gevent.spawn(self._befall, name, [strike for strike in self._strikes if strike.patient == number])
            for number, name in enumerate(self._ward.patients)
        ]

    def _befall(self, name: str, strikes: list[Strike]) -> None:
        for number, strike in enumerate(strikes):
            gevent.sleep(max(0.0, self._begin + strike.at - monotonic()))
            outcome = Outcome(strike, at=monotonic() - self._begin)
            self.outcomes.append(outcome)
            before = self._ward.page()
            if before.of(name, "ssh_up"):
                self._strike(name, number, outcome, before)

    def _strike(self, name: str, number: int, outcome: Outcome, before: Page) -> None:
        """Make one fault, look at it, heal it, and wait until the machine is up."""
        strike, patient, one = outcome.strike, self._ward.patients[name], self._faults[outcome.strike.fault]
        outcome.made = True
        folder = patient.directory / f"strike{number}"  # A fault may make files there, of the same names each time.
        with at_home(patient, folder):
            self.on.add(strike)
            began = monotonic()
            with one.befall(patient):
                gevent.sleep(max(0.0, self._begin + strike.at + strike.seconds - monotonic()))
                outcome.seconds = monotonic() - began
                page = self._ward.page()
            healed = monotonic()
            self.on.discard(strike)
        outcome.polls = page.of(name, "ssh_polls_total") - before.of(name, "ssh_polls_total")
        outcome.failures = gained(before.failures(name), page.failures(name))
        self._look_at_reasons(name, outcome, one)
        self._await(name, outcome, page, healed)

    def _look_at_reasons(self, name: str, outcome: Outcome, one: Fault[Patient]) -> None:
        if not fits(outcome.failures, one.reasons):
            seen, expected = outcome.failures or "nothing", one.reasons or "nothing"
            self._complain("seen", name, outcome, f"failed with {seen}, expected {expected}")

    def _await(self, name: str, outcome: Outcome, ill: Page, healed: float) -> None:
        """Wait until a poll has succeeded that began after the healing; complain when that takes too long."""
        size, page, told = self._ward.size, ill, False
        failed, since, pause = sum(ill.failures(name).values()), healed, ill.of(name, "ssh_backoff_seconds")
        while True:
            gevent.sleep(LOOK_EVERY)
            page = self._ward.page()
            count = sum(page.failures(name).values())
            if count > failed:  # A poll that was under way: the pause is another.
                failed, since, pause = count, page.at, page.of(name, "ssh_backoff_seconds")
            if page.of(name, "ssh_up") and page.of(name, "ssh_polls_total") > ill.of(name, "ssh_polls_total"):
                break
            most = (0.0 if pause == float("inf") else pause) + size.margin + SLACK
            if page.at - since > most and not told:
                told = True
                self._complain(
                    "healed", name, outcome, f"still down {page.at - healed:.1f} s after, {most:.1f} s at most"
                )
        outcome.up_after = page.at - healed
        outcome.after = gained(ill.failures(name), page.failures(name))
        if sum(outcome.after.values()) > 1:
            self._complain("healed", name, outcome, f"failed with {outcome.after} after it was healed")

    def _complain(self, what: str, name: str, outcome: Outcome, detail: str) -> None:
        strike = outcome.strike
        self._invariants.complain(monotonic(), what, f"{name}, “{strike.fault}” for {strike.seconds:.0f} s: {detail}")


@contextmanager
def at_home(patient: Patient, folder: Path) -> Iterator[None]:
    """Have a patient's faults make their files in a folder of their own, which is gone afterwards."""
    home, patient.directory = patient.directory, folder
    folder.mkdir()
    yield
    patient.directory = home
    shutil.rmtree(folder)


def fits(failures: Mapping[str, float], expected: tuple[str, ...]) -> bool:
    """Whether polls have failed as a fault makes them, or none has when it makes none."""
    stray = {reason: count for reason, count in failures.items() if reason not in expected}
    is_seen = not expected or any(reason in failures for reason in expected)
    return is_seen and stray in ({}, {UNDER_WAY: 1})


def gained(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return what has been added to counters."""
    return {name: more for name, count in after.items() if (more := count - before.get(name, 0))}

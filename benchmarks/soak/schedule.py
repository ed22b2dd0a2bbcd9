"""Which fault befalls which machine, when and for how long: by a seed and the options alone."""

import heapq
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

from collector.errors import Backoff

JITTER = 0.75
"""A pause is at least this share of what it would be without chance (collector.pause)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for; times are in seconds.

    Nothing strikes in the first `warm`. Then there are rounds of `round`, and at the end of each a `rest` in which all
    machines are well. A fault lasts `shortest` to `longest`; a machine that is up again has up to `quiet` until the
    next. `margin` is how long it can take, besides the pause after a failure, until a machine is up again.
    """

    seed: int
    seconds: float
    patients: int
    warm: float
    round: float
    rest: float
    shortest: float
    longest: float
    quiet: float
    margin: float

    def rounds(self) -> Iterator[tuple[float, float]]:
        """Yield the begin and the end of each round, its rest included; the last one ends with the run."""
        count = max(1, round((self.seconds - self.warm) / self.round))
        for number in range(count):
            begin = self.warm + number * self.round
            yield begin, self.seconds if number == count - 1 else begin + self.round


@dataclass(frozen=True, slots=True, order=True)
class Strike:
    """A fault befalls a patient `at` so many seconds from the start, and is healed `seconds` later."""

    at: float
    seconds: float
    patient: int
    fault: str


def draw(plan: Plan, faults: Mapping[str, Backoff]) -> list[Strike]:
    """Return the strikes in the order of their times; `faults` has the longest pauses that each can lead to.

    Each fault strikes as often as any other, but for one: they are dealt from a pack that is shuffled when it is empty.
    """
    chance = random.Random(plan.seed)
    pack: list[str] = []
    strikes = []
    for begin, end in plan.rounds():
        free = [(begin + chance.uniform(0, plan.quiet), patient) for patient in range(plan.patients)]
        heapq.heapify(free)
        while free:
            at, patient = heapq.heappop(free)
            pack = pack or chance.sample(sorted(faults), len(faults))
            seconds = chance.uniform(plan.shortest, plan.longest)
            well = at + seconds + recovery(faults[pack[-1]], seconds, plan.margin)
            if well <= end - plan.rest:  # Else it has rest till the end of the round.
                strikes.append(Strike(at, seconds, patient, pack.pop()))
                heapq.heappush(free, (well + chance.uniform(0, plan.quiet), patient))
    return sorted(strikes)


def recovery(backoff: Backoff, seconds: float, margin: float) -> float:
    """Return how long it takes at most until a machine is up again after a fault of so many seconds.

    Pauses double, so the one under way at the end is no longer than the first and all before it together. A pause
    without end ends when known_hosts changes, which is how its fault is healed.
    """
    pause = 0.0 if backoff.first == inf else min(backoff.longest, backoff.first + seconds / JITTER)
    return pause + margin

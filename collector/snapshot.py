"""What is known of each machine: the latest snapshot, and what has been counted since the start."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from collector.config import Machine
from collector.metric import NONE, Samples, Shape
from collector.probe import Ready
from collector.ssh.transport import Agreement


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a poll failed: `reason` is the metric's label, `text` one line for people.

    With `of_jump` it is its jump host that is down, which is told once for all machines behind it.
    """

    reason: str
    text: str
    of_jump: bool = False


class Gathered(NamedTuple):
    """How one gatherer fared in a poll: `problem` is None, or says why it has no data."""

    gatherer: str
    problem: str | None


class Snapshot(NamedTuple):
    """What one poll of one machine said; never changed once made.

    Times in seconds: `at` is the collector's wall clock at the end of the poll, `seconds` the poll's duration (waiting
    for a login slot is not in it). With a `failure` there are no samples, no offset and no gatherers.
    """

    at: float
    seconds: float
    samples: Samples = NONE
    clock_offset: float | None = None
    clock_offset_error: float | None = None
    gathered: tuple[Gathered, ...] = ()
    failure: Failure | None = None


class Lines(NamedTuple):
    """Some of a machine's lines of the page: their `shape`, and of each series its value, and the rest of its line.

    That is what stands after the metric's name, `{instance="ssh0"} 0.5`, and the end of the line.
    """

    shape: Shape
    values: "array[float]"
    rests: list[str]


class Block(NamedTuple):
    """A machine's lines of the page: what is known of it, and what it said. Few machines are alike in both."""

    own: Lines
    said: Lines

    def __str__(self) -> str:
        """Return the lines as the page has them."""
        named = (zip(lines.shape.series, lines.rests, strict=True) for lines in self)
        return "".join([f"{metric.name}{rest}" for lines in named for (metric, _), rest in lines])


COUNTED = ("polls", "failures", "logins", "login_seconds", "last_success")
"""What a machine keeps when its section changes."""


@dataclass(slots=True, eq=False)
class Standing:
    """One machine's standing: its latest snapshot and its counters since the start (times in seconds).

    `ready` is what the probe said of itself when it last started, `agreement` what the last login agreed on, `told`
    what the log last said of the machine: `up`, a reason, or nothing yet.
    """

    machine: Machine
    snapshot: Snapshot | None = None
    polls: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    logins: int = 0
    login_seconds: float | None = None
    last_success: float | None = None
    backoff: float | None = None
    ready: Ready | None = None
    agreement: Agreement | None = None
    certificate_expiry: float | None = None
    block: Block | None = None
    told: str | None = None

    @property
    def up(self) -> bool:
        """Whether the last poll succeeded; no before the first."""
        return self.snapshot is not None and self.snapshot.failure is None

    def begun_anew(self, machine: Machine) -> "Standing":
        """Return the standing of the machine after a change of its section: what was counted, without what it said."""
        counted = {name: getattr(self, name) for name in COUNTED}
        return Standing(machine, **counted)


class Fleet:
    """The standing of every machine, in the order of the configuration."""

    def __init__(self, machines: Iterable[Machine] = ()) -> None:
        self._standings: dict[str, Standing] = {}
        self.replace(Standing(machine) for machine in machines)

    def replace(self, standings: Iterable[Standing]) -> None:
        """Be these machines from now on."""
        self._standings = {standing.machine.name: standing for standing in standings}

    def __len__(self) -> int:
        return len(self._standings)

    def __iter__(self) -> Iterator[Standing]:
        return iter(self._standings.values())

    def __getitem__(self, name: str) -> Standing:
        return self._standings[name]

    def __contains__(self, name: object) -> bool:
        return name in self._standings

    @property
    def up(self) -> int:
        """How many machines answered their last poll."""
        return sum(standing.up for standing in self._standings.values())

    @property
    def complete(self) -> bool:
        """Whether every machine has succeeded or failed once."""
        return all(standing.snapshot is not None for standing in self._standings.values())

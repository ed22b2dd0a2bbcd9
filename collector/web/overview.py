"""What the status page shows of the fleet: which machines, in which order, and what of each.

`Overview` keeps one `Row` a machine and makes it anew only after a poll, so that a look at 10,000 machines costs a
search and a sort. What a row says is put into words (`cells`) for the few that are shown.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from collector.errors import PollError
from collector.snapshot import Fleet, Snapshot, Standing
from collector.turns import give_way
from collector.web import human

MOST = 200
"""Rows of a page; who wants others says which."""
CHUNK = 500
"""Machines that are looked at between two turns of everybody else."""
LONGEST_SEARCH = 200
SKEW = 0.05
"""Seconds from which a clock, less its error bound, is called off; as in the node mixin's NodeClockSkewDetected."""

UP, DOWN, WAITING = "up", "down", "waiting"
WANTED = {
    "node_memory_MemTotal_bytes": "total",
    "node_memory_MemAvailable_bytes": "available",
    "node_load1": "load1",
    "node_load5": "load5",
    "node_load15": "load15",
}
MEANINGS = {kind.reason: kind.__doc__ or "" for kind in PollError.__subclasses__()}


class Row(NamedTuple):
    """One machine: `place` is its name's among all, `text` what a search looks through, `values` what is WANTED."""

    standing: Standing
    snapshot: Snapshot | None
    place: int
    state: str
    reason: str
    text: str
    values: dict[str, float]

    @property
    def off(self) -> float | None:
        """By how many seconds the clock is off, either way."""
        offset = self.snapshot.clock_offset if self.snapshot else None
        return None if offset is None else abs(offset)

    @property
    def used(self) -> float | None:
        """The part of the memory that is not available, 0 to 1."""
        total, available = self.values.get("total", 0), self.values.get("available")
        if available is None or total <= 0:
            return None
        return min(1.0, max(0.0, 1 - available / total))


def row(standing: Standing, place: int) -> Row:
    """Look at a machine."""
    machine, snapshot = standing.machine, standing.snapshot
    failure = snapshot.failure if snapshot else None
    state = WAITING if snapshot is None else DOWN if failure else UP
    labels = [f"{name}={value}" for name, value in machine.labels]
    words = [machine.name, machine.host, *labels, state, *((failure.reason, failure.text) if failure else ())]
    values = {
        WANTED[sample.metric.name]: sample.value
        for sample in (snapshot.samples if snapshot else ())
        if sample.metric.name in WANTED and math.isfinite(sample.value)
    }
    return Row(standing, snapshot, place, state, failure.reason if failure else "", "\n".join(words).lower(), values)


RANKS = {DOWN: 0, WAITING: 1, UP: 2}
SORTS: dict[str, tuple[bool, Callable[[Row], float | None]]] = {
    "state": (False, lambda row: RANKS[row.state]),
    "name": (False, lambda row: row.place),
    "clock": (True, lambda row: row.off),
    "memory": (True, lambda row: row.used),
    "load1": (True, lambda row: row.values.get("load1")),
    "load5": (True, lambda row: row.values.get("load5")),
    "load15": (True, lambda row: row.values.get("load15")),
    "polled": (False, lambda row: row.snapshot.at if row.snapshot else None),
    "took": (True, lambda row: row.snapshot.seconds if row.snapshot else None),
}
"""For each column whether the greatest comes first unless told, and the number to sort by; None is always last."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a person wants to see: words to find, a state or reason, and the column to sort by."""

    search: str = ""
    show: str = "all"
    sort: str = "state"
    descending: bool = False

    @classmethod
    def parse(cls, text: str) -> "Query":
        """Read the query of an URL; what makes no sense is as if it were not there."""
        try:
            given = dict(parse_qsl(text, max_num_fields=20))
        except ValueError:
            given = {}
        sort = given.get("sort", "")
        sort = sort if sort in SORTS else cls().sort
        order = given.get("order", "desc" if SORTS[sort][0] else "asc")
        show = given.get("show", "")
        known = show in (UP, DOWN, WAITING) or show in MEANINGS
        return cls(given.get("search", "").strip()[:LONGEST_SEARCH], show if known else "all", sort, order == "desc")

    def __str__(self) -> str:
        """Return the query of an URL, `?search=web&sort=memory&order=desc`, with what differs from the default."""
        words = {"search": self.search, "show": "" if self.show == "all" else self.show}
        if (self.sort, self.descending) != ("state", False):
            words |= {"sort": self.sort, "order": "desc" if self.descending else "asc"}
        return f"?{urlencode({name: word for name, word in words.items() if word})}"

    def by(self, column: str) -> "Query":
        """Return the query that a click on the head of a column asks."""
        if column == self.sort:
            return replace(self, descending=not self.descending)
        return replace(self, sort=column, descending=SORTS[column][0])

    def select(self, rows: Iterable[Row]) -> list[Row]:
        """Return the machines that are asked for, sorted; those of the same value by name."""
        if self.show != "all":
            rows = [row for row in rows if self.show in (row.state, row.reason)]
        for word in self.search.lower().split():
            rows = [row for row in rows if word in row.text]
        key = SORTS[self.sort][1]
        keyed = [(key(row), row) for row in rows]
        known = [(value, row) for value, row in keyed if value is not None]
        known.sort(key=lambda pair: pair[0], reverse=self.descending)
        return [row for _, row in known] + [row for value, row in keyed if value is None]


class Overview:
    """The rows of a fleet."""

    def __init__(self) -> None:
        self._rows: dict[Standing, Row] = {}
        self._fleet: list[Standing] = []
        self._sorted: list[Standing] = []

    def rows(self, fleet: Fleet) -> list[Row]:
        """Return a row for each machine, by name. Other greenlets run in between."""
        rows = []
        for place, standing in enumerate(self._by_name(fleet)):
            if place % CHUNK == CHUNK - 1:
                give_way()
            known = self._rows.get(standing)
            if known is None or known.snapshot is not standing.snapshot or known.place != place:
                known = self._rows[standing] = row(standing, place)
            rows.append(known)
        if len(self._rows) != len(rows):
            self._rows = {row.standing: row for row in rows}
        return rows

    def _by_name(self, fleet: Fleet) -> list[Standing]:
        standings = list(fleet)
        if standings != self._fleet:
            self._fleet = standings
            self._sorted = sorted(standings, key=lambda standing: natural(standing.machine.name))
        return self._sorted


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a key by which ssh2 comes before ssh10."""
    parts = re.split(r"([0-9]{1,18})", name.lower())
    return [(bool(place % 2), int(part) if place % 2 else 0, part) for place, part in enumerate(parts)]


class Chip(NamedTuple):
    """One choice of what to show: its word, how many machines that is, and where it leads."""

    show: str
    machines: str
    meaning: str
    href: str
    current: bool


class View(NamedTuple):
    """The whole of what is shown at a moment."""

    title: str
    headline: str
    state: str
    shares: list[tuple[str, float]]
    chips: list[Chip]
    columns: dict[str, tuple[str, str]]
    """For each column the link of its head, and `ascending`, `descending` or `none`."""
    note: str
    rows: list[dict[str, Any]]
    refresh: float
    """Seconds to wait before the next look."""

    def as_json(self) -> dict[str, Any]:
        """Return the view as json.dumps takes it."""
        return self._asdict() | {"chips": [chip._asdict() for chip in self.chips]}


def view(overview: Overview, fleet: Fleet, query: Query, now: float) -> View:
    """Look at the fleet. `now` is the collector's wall clock in seconds."""
    rows = overview.rows(fleet)
    give_way()
    states = Counter(row.state for row in rows)
    reasons = Counter(row.reason for row in rows if row.reason)
    matching = query.select(rows)
    total = len(rows)
    return View(
        title=f"{states[UP]:,}/{total:,} up",
        headline=f"{states[UP]:,} of {human.count(total, 'machine')} up",
        state=DOWN if states[DOWN] else WAITING if states[WAITING] or not total else UP,
        shares=[(state, states[state] / max(1, total)) for state in (UP, WAITING, DOWN)],
        chips=list(chips(query, states, reasons)),
        columns={column: (str(query.by(column)), direction(query, column)) for column in SORTS},
        note=note(query, total, len(matching)),
        rows=[cells(row, now) for row in matching[:MOST]],
        refresh=max(2.0, total / 2000),
    )


def chips(query: Query, states: Counter[str], reasons: Counter[str]) -> Iterator[Chip]:
    """Yield what one can choose to see: all, the states that there are, and under `down` its reasons."""
    counts = {"all": states.total(), **{state: states[state] for state in RANKS}, **dict(reasons.most_common())}
    for show, count in counts.items():
        if count or show in ("all", query.show):
            yield Chip(show, f"{count:,}", MEANINGS.get(show, ""), str(replace(query, show=show)), show == query.show)


def direction(query: Query, column: str) -> str:
    """Say how a column is sorted, as aria-sort does."""
    if column != query.sort:
        return "none"
    return "descending" if query.descending else "ascending"


def note(query: Query, total: int, matching: int) -> str:
    """Say what is not shown, and how to get at it."""
    if not total:
        return "No machines are configured."
    if not matching:
        return "No machine is like that."
    if matching > MOST:
        return f"Showing {MOST} of {human.count(matching, 'machine')}: refine the search to see others."
    if matching < total:
        return f"Showing {matching:,} of {human.count(total, 'machine')}."
    return ""


def cells(row: Row, now: float) -> dict[str, Any]:
    """Put a machine into words: for each slot of the page its text; `used` is the percentage that the bar shows."""
    machine, snapshot = row.standing.machine, row.snapshot
    host = f"[{machine.host}]" if ":" in machine.host and machine.port != 22 else machine.host
    host += f":{machine.port}" if machine.port != 22 else ""
    said = {
        "name": machine.name,
        "state": row.state,
        "host": "" if host == machine.name else host,
        "labels": " ".join(f"{name}={value}" for name, value in machine.labels),
        "polled": human.ago(now - snapshot.at) if snapshot else human.NOTHING,
        "took": human.duration(snapshot.seconds) if snapshot else human.NOTHING,
    }
    return said | (up_cells(row, snapshot) if snapshot and row.state == UP else other_cells(row, now))


def up_cells(row: Row, snapshot: Snapshot) -> dict[str, Any]:
    """Put into words what a machine said."""
    off, error, values = snapshot.clock_offset, snapshot.clock_offset_error or 0.0, row.values
    total = values.get("total", 0)
    return {
        "offset": human.NOTHING if off is None else human.offset(off),
        "error": "" if off is None else f"±{human.SPACE}{human.duration(error)}",
        "clock": "off" if off is not None and abs(off) - error > SKEW else "",
        "used": None if row.used is None else round(row.used * 100),
        "percent": "" if row.used is None else f"{row.used * 100:.0f}{human.SPACE}%",
        "memory": human.NOTHING if row.used is None else human.memory(row.used * total, total),
        **{name: human.load(values.get(name, math.nan)) for name in ("load1", "load5", "load15")},
    }


def other_cells(row: Row, now: float) -> dict[str, str]:
    """Put into words why a machine says nothing."""
    failure = row.snapshot.failure if row.snapshot else None
    if failure is None:
        return {"reason": "", "text": "not polled yet", "since": ""}
    return {"reason": failure.reason, "text": failure.text, "since": since(row.standing, now)}


def since(standing: Standing, now: float) -> str:
    """Say since when a machine is down, and what is done about it."""
    success, backoff = standing.last_success, standing.backoff
    last = "never up since the start" if success is None else f"last up {human.ago(now - success)}"
    if backoff is None:
        return last
    if math.isinf(backoff):
        return f"{last}; no next try before a reload, or a change of known_hosts"
    return f"{last}; next try {backoff:.0f}{human.SPACE}s after that"

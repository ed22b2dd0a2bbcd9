"""What the status page says of a fleet: which machines, in which order, and in which words."""

from pathlib import Path

import pytest

from collector.config import Machine
from collector.gatherers import load, memory
from collector.metric import Sample, Samples
from collector.snapshot import Failure, Fleet, Snapshot
from collector.web import human
from collector.web.overview import Overview, Query, natural, view


def read(*lines: str) -> list[Sample]:
    """The samples of lines of meminfo."""
    return list(memory.parse("\n".join(lines)))


SAID = Samples.of(
    [
        *read("MemTotal: 16777216 kB", "MemAvailable: 12582912 kB"),
        *load.parse("0.52 0.48 12.5 1/80 11206"),
    ]
)


def machine(name: str, host: str = "192.0.2.1", port: int = 22, **labels: str) -> Machine:
    """A machine of a configuration."""
    return Machine(
        name=name,
        host=host,
        port=port,
        user="monitor",
        key_file=Path("key"),
        known_hosts=(Path("known_hosts"),),
        gather=("time", "memory", "load"),
        labels=tuple(sorted(labels.items())),
        interval=15.0,
        interval_text="15s",
        timeout=10.0,
        login_timeout=30.0,
    )


def up(at: float = 1000.0, offset: float = 0.0012) -> Snapshot:
    """What a machine said that is well."""
    return Snapshot(at, 0.0123, SAID, clock_offset=offset, clock_offset_error=0.0004)


def down(at: float = 1000.0, reason: str = "timeout", text: str = "no answer within 10 s") -> Snapshot:
    """What is known of a machine that is not."""
    return Snapshot(at, 10.0, failure=Failure(reason, text))


def fleet_of(**snapshots: Snapshot | None) -> Fleet:
    """A fleet of machines with these snapshots."""
    fleet = Fleet(map(machine, snapshots))
    for name, snapshot in snapshots.items():
        fleet[name].snapshot = snapshot
    return fleet


def plain(text: str) -> str:
    """A text with common spaces only."""
    return text.replace(human.SPACE, " ")


def names(fleet: Fleet, query: str = "") -> list[str]:
    """The machines that the page shows, in its order."""
    return [row["name"] for row in view(Overview(), fleet, Query.parse(query), 1000.0).rows]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 µs"),
        (0.00085, "850 µs"),
        (0.0009996, "1.0 ms"),
        (0.0012, "1.2 ms"),
        (0.00996, "10 ms"),
        (0.9996, "1.00 s"),
        (9.996, "10.0 s"),
        (59.96, "1 min"),
        (7200, "2.0 h"),
        (1e6, "12 d"),
        (float("inf"), human.NOTHING),
        (float("nan"), human.NOTHING),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    """A duration has the unit that suits it, also where it is rounded up to the next."""
    assert text == plain(human.duration(seconds))


def test_a_row_says_it_in_human_units() -> None:
    """An offset is in ms with its sign and bound, memory in GiB and percent, an age in seconds."""
    row = view(Overview(), fleet_of(ssh0=up(offset=-0.0012)), Query(), 1003.5).rows[0]
    expected = {
        "name": "ssh0",
        "state": "up",
        "host": "192.0.2.1",
        "labels": "",
        "polled": "3 s ago",
        "took": "12 ms",
        "offset": "−1.2 ms",
        "error": "± 400 µs",
        "clock": "",
        "used": 25,
        "percent": "25 %",
        "memory": "4.0 / 16.0 GiB",
        "load1": "0.52",
        "load5": "0.48",
        "load15": "12.5",
    }
    assert expected == {key: plain(value) if isinstance(value, str) else value for key, value in row.items()}


def test_a_row_says_why_and_what_is_done() -> None:
    """A machine that is down has its reason and text, when it was last up, and when it is tried again."""
    fleet = fleet_of(a=down(), b=down(reason="host_key_changed"), c=None)
    fleet["a"].last_success, fleet["a"].backoff, fleet["b"].backoff = 880.0, 16.0, float("inf")
    rows = {row["name"]: row for row in view(Overview(), fleet, Query(), 1000.0).rows}
    assert ("timeout", "no answer within 10 s") == (rows["a"]["reason"], rows["a"]["text"])
    assert "last up 2 min ago; next try 16 s after that" == plain(rows["a"]["since"])
    assert "never up since the start; no next try before a reload, or a change of known_hosts" == rows["b"]["since"]
    assert "not polled yet" == rows["c"]["text"]


def test_what_was_not_said_is_not_shown() -> None:
    """No gatherer is needed, and no value is believed that cannot be."""
    odd = (*read("MemTotal: 0 kB", "MemAvailable: 5 kB"), load.LOAD1(float("nan")))
    row = view(Overview(), fleet_of(a=Snapshot(0.0, 0.1, Samples.of(odd))), Query(), 1.0).rows[0]
    assert {human.NOTHING} == {row[name] for name in ("offset", "memory", "load1", "load5")}
    assert row["used"] is None


def test_only_a_clock_that_is_surely_off_is_marked() -> None:
    """A clock is marked when it is off by more than 50 ms, whatever the error bound hides."""
    fleet = fleet_of(a=up(offset=-0.2), b=up(offset=0.0503))
    assert ["off", ""] == [row["clock"] for row in view(Overview(), fleet, Query(), 0.0).rows]


def test_those_down_come_first_and_names_count() -> None:
    """The order is down, waiting, up, and in each ssh2 is before ssh10."""
    fleet = fleet_of(ssh10=up(), ssh2=up(), ssh3=None, ssh1=down())
    assert ["ssh1", "ssh3", "ssh2", "ssh10"] == names(fleet)
    assert ["ssh10", "ssh3", "ssh2", "ssh1"] == names(fleet, "sort=name&order=desc")
    assert ["a", "A1b", "a1c", "a02"] == sorted(["a02", "a1c", "A1b", "a"], key=natural)


@pytest.mark.parametrize("column", ["clock", "memory", "load1", "load5", "load15"])
def test_what_has_no_value_is_last(column: str) -> None:
    """Sorted either way, machines without a value come after those with one."""
    fleet = fleet_of(a=down(), b=up())
    assert ["b", "a"] == names(fleet, f"sort={column}&order=asc")
    assert ["b", "a"] == names(fleet, f"sort={column}&order=desc")


def test_every_word_of_a_search_counts() -> None:
    """A search finds names, hosts, labels and errors in any case, and all its words must be there."""
    fleet = Fleet([machine("web1", "192.0.2.7", dc="eu"), machine("web2", dc="us"), machine("db1", dc="EU")])
    fleet["db1"].snapshot = down(text="Disk on fire")
    found = {search: names(fleet, f"search={search}&sort=name") for search in ("web", "EU", "web+eu", "0.2.7", "FIRE")}
    expected = {"web": ["web1", "web2"], "EU": ["db1", "web1"], "web+eu": ["web1"], "0.2.7": ["web1"], "FIRE": ["db1"]}
    assert expected == found


def test_a_reason_is_something_to_choose() -> None:
    """The reasons of today are offered with their counts, and choosing one shows its machines."""
    fleet = fleet_of(a=down(), b=down(reason="auth"), c=down(), d=up())
    seen = view(Overview(), fleet, Query.parse("show=timeout"), 0.0)
    assert [("all", "4"), ("down", "3"), ("up", "1"), ("timeout", "2"), ("auth", "1")] == [
        chip[:2] for chip in seen.chips
    ]
    assert ["a", "c"] == [row["name"] for row in seen.rows]


@pytest.mark.parametrize(
    "text", ["", "search=x&show=down", "sort=memory&order=asc", "search=%C3%A4+b&show=auth&sort=name&order=desc"]
)
def test_a_query_survives_being_a_link(text: str) -> None:
    """What a link says is what it was made of."""
    query = Query.parse(text)
    assert query == Query.parse(str(query).removeprefix("?"))


@pytest.mark.parametrize("text", ["sort=evil", "show=%00", "order", "&&=", "search=%ff", "&".join(["a=b"] * 50)])
def test_a_query_without_sense_is_none(text: str) -> None:
    """What makes no sense in a query is passed over."""
    assert ("all", "state", False) == (Query.parse(text).show, Query.parse(text).sort, Query.parse(text).descending)


def test_a_look_follows_polls_and_reloads() -> None:
    """A row is made anew after a poll; machines that went are gone, and those that came are there."""
    overview, fleet = Overview(), fleet_of(a=up(), b=up())
    before = overview.rows(fleet)
    fleet["a"].snapshot = down()
    after = overview.rows(fleet)
    fleet.replace([fleet["b"], *fleet_of(c=None)])
    assert (["up", "up"], ["down", "up"]) == ([row.state for row in before], [row.state for row in after])
    assert before[1] is after[1]
    assert ["b", "c"] == [row.standing.machine.name for row in overview.rows(fleet)]

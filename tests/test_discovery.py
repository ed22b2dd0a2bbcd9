"""GET /sd: the machines as Prometheus' http_sd_configs wants them, whatever they are called; and quickly."""

import gzip
import json
import re
from time import monotonic
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_web import fetch, machine, serving

from collector.config import Machine
from collector.snapshot import Fleet
from collector.web import Site
from collector.web.discovery import duration, group, listing

GO_DURATION = re.compile(r"(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?")
"""As in prometheus/common, model/time.go."""


def listed(*machines: Machine) -> Any:
    """The list that a server of these machines gives."""
    with serving(Site(Fleet(machines), lambda openmetrics: [], lambda: True, None)) as server:
        answer = fetch(server, "/sd")
    assert (200, "application/json") == (answer.status, answer.headers["content-type"])
    return json.loads(answer.body)


def test_each_machine_is_a_target_with_its_labels() -> None:
    """A target has its section's name, labels and interval, and where it is; and nothing of how it is logged in to."""
    eu = machine("ssh0", host="192.0.2.10", labels=(("dc", "eu"), ("role", "web")))
    odd = machine('ä/b "c"', host="2001:db8::1", port=2222, interval=0.5, timeout=0.2)

    assert [
        {
            "targets": ["ssh0"],
            "labels": {
                "dc": "eu",
                "role": "web",
                "__scrape_interval__": "15s",
                "__scrape_timeout__": "11s",
                "__meta_collector_interval": "15s",
                "__meta_collector_host": "192.0.2.10",
                "__meta_collector_port": "22",
            },
        },
        {
            "targets": ['ä/b "c"'],
            "labels": {
                "__scrape_interval__": "500ms",
                "__scrape_timeout__": "500ms",
                "__meta_collector_interval": "500ms",
                "__meta_collector_host": "2001:db8::1",
                "__meta_collector_port": "2222",
            },
        },
    ] == listed(eu, odd)


def test_what_is_seldom_polled_is_scraped_often_enough() -> None:
    """An hour between two scrapes would be fifty-five minutes without series; the interval itself is told as well."""
    labels = listed(machine("ssh0", interval=3600.0, timeout=600.0))[0]["labels"]

    assert ("120s", "120s") == (labels["__scrape_interval__"], labels["__scrape_timeout__"])
    assert "3600s" == labels["__meta_collector_interval"]


def test_no_machine_is_an_empty_list() -> None:
    """A configuration without machines is a list without targets, and no error."""
    assert [] == listed()


@pytest.mark.parametrize("count", [249, 250, 251, 500, 1000])
def test_the_list_is_whole_however_long(count: int) -> None:
    """Wherever the list is cut into pieces it is one list, with every machine once and in order."""
    found = json.loads(b"".join(listing([machine(f"ssh{number}") for number in range(count)])))

    assert [[f"ssh{number}"] for number in range(count)] == [one["targets"] for one in found]


@given(
    interval=st.floats(0.1, 86_400),
    timeout=st.floats(0.01, 86_400),
    port=st.integers(1, 65535),
    name=st.text(min_size=1),
    label=st.text(min_size=1),
)
def test_prometheus_takes_whatever_is_configured(
    interval: float, timeout: float, port: int, name: str, label: str
) -> None:
    """Every value is a text, both times are durations of Prometheus, and it never has to drop a target for them."""
    one = group(machine(name, interval=interval, timeout=min(timeout, interval), port=port, labels=(("a", label),)))
    labels = one["labels"]

    assert isinstance(labels, dict)
    assert {str} == {type(value) for value in labels.values()}
    wait, patience = (milliseconds(labels[f"__scrape_{which}__"]) for which in ("interval", "timeout"))
    assert 0 < patience <= wait


def milliseconds(text: str) -> int:
    """What Prometheus makes of one of our durations."""
    match = GO_DURATION.fullmatch(text)
    assert match, text
    number, unit = re.fullmatch(r"([0-9]+)(m?s)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"ms": 1, "s": 1000}[unit]


@pytest.mark.parametrize(
    ("seconds", "text"), [(15.0, "15s"), (0.1, "100ms"), (1.5, "1500ms"), (86_400.0, "86400s"), (60.0, "60s")]
)
def test_durations_are_whole(seconds: float, text: str) -> None:
    """Prometheus reads no fractions."""
    assert text == duration(seconds)


def test_others_have_their_turn_while_a_long_list_is_made() -> None:
    """The list of 10,000 machines is made in many turns, is compressed for who takes that, and the same for all."""
    fleet = Fleet(machine(f"ssh{number}", labels=(("dc", "eu"),)) for number in range(10_000))
    longest = [0.0]

    def watch() -> None:
        while True:
            before = monotonic()
            gevent.sleep(0.001)
            longest[0] = max(longest[0], monotonic() - before)

    with serving(Site(fleet, lambda openmetrics: [], lambda: True, None)) as server:
        watching = gevent.spawn(watch)
        turns = [gevent.spawn(fetch, server, "/sd", Accept_Encoding="gzip") for _ in range(20)]
        bodies = {greenlet.get().body for greenlet in turns}
        watching.kill()
    found = json.loads(gzip.decompress(bodies.pop()))

    assert not bodies
    assert 10_000 == len(found)
    # Far from what it takes at one go; a busy machine makes it longer than it is.
    assert longest[0] < 0.5

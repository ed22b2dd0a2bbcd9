"""One sweep, now: the commands `once` and `check --connect` ask every machine and print as the answers come."""

import json
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
from gevent.event import Event
from prometheus_client import CollectorRegistry

from collector import exposition
from collector.config import Config, Machine
from collector.config.problems import nearest
from collector.daemon import read
from collector.errors import ConfigError
from collector.polling import man
from collector.report import GREEN, RED, Progress, Table, one_line, seconds
from collector.snapshot import Fleet, Snapshot, Standing
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.sweep import Post, settle, visit

FORMATS = ("table", "json", "prometheus")

FAILED = 1

MOST_TEXT = 1000
"""Characters of what is said of a failure: its end says what to do."""


def run(path: Path, sections: Sequence[str], form: str) -> int:
    """Poll the machines of a configuration once and print what they said; return the exit code. Raises ConfigError."""
    config, identities = read(path)
    posts = choose(config, identities, sections)
    began = monotonic()
    if form == "table":
        print_table(posts, began)
    else:
        standings = [post.standing for post in sweep(posts)]
        took = monotonic() - began
        print(as_json(standings, took) if form == "json" else as_page(standings), end="", flush=True)
    return FAILED if any(not post.standing.up for post in posts) else 0


def choose(config: Config, identities: Identities, sections: Sequence[str]) -> list[Post]:
    """Set up the machines of these sections, or all. Raises as `chosen` does."""
    connector = Connector(identities, config.logins, config.jump_logins)
    return [man(machine, connector) for machine in chosen(config, sections)]


def chosen(config: Config, sections: Sequence[str]) -> list[Machine]:
    """Return the machines of these sections, or all, in the order of the file.

    Raises:
        ConfigError: there is no such section, or it is not enabled.
    """
    names = {machine.name for machine in config.machines}
    problems = [
        f"{config.files[0]}: [{name}]: no such machine, or enabled = no; {nearest(name, names)}"
        for name in sections
        if name not in names
    ]
    if problems:
        raise ConfigError(problems)
    return [machine for machine in config.machines if not sections or machine.name in sections]


def sweep(posts: Sequence[Post]) -> Iterator[Post]:
    """Poll machines all at once, and yield each when it and those before it have answered or failed."""
    progress, done = Progress(len(posts)), [Event() for _ in posts]

    def poll(post: Post, event: Event) -> None:
        settle(post, visit(post))
        post.session.close()
        event.set()

    greenlets = [gevent.spawn(poll, post, event) for post, event in zip(posts, done, strict=True)]
    try:
        for post, event in zip(posts, done, strict=True):
            while not event.wait(0.2):
                progress.show(sum(event.is_set() for event in done))
            progress.clear()
            yield post
    finally:
        progress.clear()
        gevent.killall(greenlets)


def print_table(posts: Sequence[Post], began: float) -> None:
    """Print a row for each machine as results come, in the order of the file."""
    width = max([8, *(len(post.standing.machine.name) for post in posts)])
    table = Table(
        [
            ("instance", width),
            ("state", 16),
            ("clock", -10),
            ("memory used/total", -19),
            ("load 1/5/15", -17),
            ("seconds", -7),
        ]
    )
    for post in sweep(posts):
        standing, snapshot = post.standing, post.standing.snapshot
        assert snapshot is not None
        table.row(row(standing.machine.name, snapshot), GREEN if snapshot.failure is None else RED)
        if snapshot.failure:
            print(f"  {one_line(snapshot.failure.text, MOST_TEXT)}")
    sequential = sum(post.standing.snapshot.seconds for post in posts if post.standing.snapshot)
    took = monotonic() - began
    print(f"{len(posts)} machine{'s' * (len(posts) != 1)} in {took:.2f} s (one after another: {sequential:.2f} s)")


def row(name: str, snapshot: Snapshot) -> list[str]:
    """Return the cells of one machine."""
    took = f"{snapshot.seconds:.3f}"
    if snapshot.failure:
        return [name, snapshot.failure.reason, "", "", "", took]
    values = {sample.metric.name: sample.value for sample in snapshot.samples}
    total, free = values.get("node_memory_MemTotal_bytes"), values.get("node_memory_MemAvailable_bytes")
    memory = f"{gib(total - free)} / {gib(total)}" if total is not None and free is not None else "-"
    loads = [values.get(f"node_load{minutes}") for minutes in (1, 5, 15)]
    load = " ".join("-" if value is None else f"{value:.2f}" for value in loads)
    offset = "-" if snapshot.clock_offset is None else f"{seconds(snapshot.clock_offset)}"
    return [name, "up", offset, memory, load, took]


def gib(size: float) -> str:
    """Render bytes: 7.6 GiB, or 512 MiB below one."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def as_page(standings: Sequence[Standing]) -> str:
    """Return the machines' part of /metrics."""
    fleet = Fleet()
    fleet.replace(standings)
    return b"".join(exposition.page(fleet, CollectorRegistry())).decode()


def as_json(standings: Sequence[Standing], took: float) -> str:
    """Return one object, as the interface has it."""
    machines = [as_object(standing) for standing in standings]
    sequential = sum(machine["seconds"] for machine in machines)
    return json.dumps({"machines": machines, "seconds": took, "sequential_seconds": sequential}, indent=2) + "\n"


def as_object(standing: Standing) -> dict[str, Any]:
    """Return what one machine said."""
    snapshot = standing.snapshot
    assert snapshot is not None
    own = dict(exposition.own_labels(standing.machine))
    series = [
        {
            "name": metric.name,
            "labels": own | dict(zip(metric.labels, labels, strict=True)),
            "value": value if isfinite(value) else None,
        }
        for metric, labels, value in snapshot.samples
    ]
    return {
        "instance": standing.machine.name,
        "up": snapshot.failure is None,
        "reason": snapshot.failure.reason if snapshot.failure else None,
        "text": snapshot.failure.text if snapshot.failure else None,
        "seconds": snapshot.seconds,
        "clock_offset_seconds": snapshot.clock_offset,
        "clock_offset_error_seconds": snapshot.clock_offset_error,
        "series": series,
    }

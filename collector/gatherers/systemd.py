"""The units of systemd and how they are, from systemctl(1)."""

import re
from collections import Counter as Tally
from collections.abc import Iterator

from collector.metric import Counter, Gauge, Sample
from collector.probe import ran, run

STATE = Gauge("node_systemd_unit_state", "Whether the unit is in the state.", "name", "state", "type")
UNITS = Gauge("node_systemd_units", "How many units are in the state.", "state")
RUNNING = Gauge("node_systemd_system_running", "Whether the system is running, with all units as they should be.")
VERSION = Gauge("node_systemd_version", "The version of systemd.", "version")
ACCEPTED = Counter("node_systemd_socket_accepted_connections_total", "Connections that a socket took.", "name")
REFUSED = Counter("node_systemd_socket_refused_connections_total", "Connections that a socket refused.", "name")
CURRENT = Gauge("node_systemd_socket_current_connections", "Connections that a socket has.", "name")
TRIGGERED = Gauge("node_systemd_timer_last_trigger_seconds", "When a timer last went off.", "name")

COMMAND = """\
systemctl --version || exit
systemctl is-system-running
echo
systemctl list-units --all --plain --no-legend --no-pager --full
echo
p=Id,NAccepted,NRefused,NConnections,LastTriggerUSec
systemctl show --no-pager --timestamp=unix -p $p '*.socket' '*.timer' ||
systemctl show --no-pager -p $p '*.socket' '*.timer'
exit 0"""

FILES = (run(COMMAND, 4),)
EVERY = 60.0
ONLY_IF_ASKED = True

STATES = ("active", "activating", "deactivating", "failed", "inactive")
LEFT_OUT = re.compile(r".+\.(automount|device|mount|scope|slice)")
"""What node_exporter leaves out by default."""

OF_SOCKETS = {"NAccepted": ACCEPTED, "NRefused": REFUSED, "NConnections": CURRENT}
MOST_UNITS = 1500
"""Each has five series."""


def parse(text: str) -> Iterator[Sample]:
    """Read the version, how the system is, a line for each unit, and the properties of sockets and timers.

    The label `type` is empty: systemctl would have to ask systemd for each service.
    """
    head, units, *properties = ran(text).split("\n\n")
    version, _, state = head.partition("\n")
    _, number, full, *_ = version.replace("(", "").replace(")", "").split()
    yield VERSION(float(number), full)
    yield RUNNING(float(state.split("\n")[-1].strip() == "running"))
    yield from parse_units(units)
    for one in properties:
        yield from parse_properties(one)


def parse_units(text: str) -> Iterator[Sample]:
    """Read `ssh.service loaded active running OpenBSD Secure Shell server` of each."""
    states: Tally[str] = Tally(dict.fromkeys(STATES, 0))
    loaded = [words for line in text.split("\n") if len(words := line.split(None, 4)) > 3 and words[1] == "loaded"]
    if len(loaded) > MOST_UNITS:
        raise ValueError(f"more than {MOST_UNITS} units")
    for name, _, active, *_ in loaded:
        if active not in STATES:
            continue
        states[active] += 1
        if not LEFT_OUT.fullmatch(name):
            for state in STATES:
                yield STATE(float(state == active), name, state, "")
    for state, count in states.items():
        yield UNITS(float(count), state)


def parse_properties(text: str) -> Iterator[Sample]:
    """Read `NAccepted=5` and `LastTriggerUSec=@1700000000` of a socket or timer."""
    said = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
    name = said.get("Id", "")
    if name.endswith(".socket"):
        for key, metric in OF_SOCKETS.items():
            if key in said:
                yield metric(float(said[key]), name)
    elif name.endswith(".timer") and (when := said.get("LastTriggerUSec", "")).startswith("@"):
        yield TRIGGERED(float(when[1:]), name)

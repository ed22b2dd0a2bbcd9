"""How many TCP sockets are in each state, and what waits in them, from /proc/net/tcp and tcp6 (proc(5)).

A line is 150 bytes, or 180 of IPv6, and an answer has a cap: this is not for a machine with 5,000 sockets or more.
"""

import re
from collections import Counter
from collections.abc import Iterator

from collector.metric import Gauge, Sample

STATES = Gauge("node_tcp_connection_states", "Sockets in this state, or bytes that wait in all sockets.", "state")

FILES = ("/proc/net/tcp", "/proc/net/tcp6")
OPTIONAL = ("/proc/net/tcp6",)
ONLY_IF_ASKED = True

NAMES = {
    "01": "established",
    "02": "syn_sent",
    "03": "syn_recv",
    "04": "fin_wait1",
    "05": "fin_wait2",
    "06": "time_wait",
    "07": "close",
    "08": "close_wait",
    "09": "last_ack",
    "0A": "listen",
    "0B": "closing",
}

HEAD = "  sl  local_address "
LINE = re.compile(r": \S+ \S+ (0[1-9AB] [0-9A-F]{8}:[0-9A-F]{8}) .*")
"""The state and the queues, at most once a line; with an anchor it would take twice as long."""


def parse(v4: str, v6: str) -> Iterator[Sample]:
    """Read the state and the queues of each line, `0A 00000000:00000001`, hexadecimal; all states, also those of none.

    What waits is to be sent, and to be read; of a socket that listens, connections that wait to be accepted.
    """
    # Thousands of lines have few different ones: nearly always nothing waits.
    states, sent, read = Counter[str](), 0, 0
    for found, sockets in (count(v4) + count(v6)).items():
        state, _, queues = found.partition(" ")
        states[state] += sockets
        sent += int(queues[:8], 16) * sockets
        read += int(queues[9:], 16) * sockets
    for state, name in NAMES.items():
        yield STATES(float(states[state]), name)
    yield STATES(float(sent), "tx_queued_bytes")
    yield STATES(float(read), "rx_queued_bytes")


def count(text: str) -> Counter[str]:
    """Return how many sockets have the same state and queues; none of a machine without IPv6."""
    if not text:
        return Counter()
    head, _, lines = text.partition("\n")
    if not head.startswith(HEAD):
        raise ValueError("not a table of sockets")
    found = LINE.findall(lines)
    if len(found) != len(lines.splitlines()):
        raise ValueError("a line that is no socket")
    return Counter(found)

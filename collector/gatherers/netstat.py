"""Counters of the network protocols, from /proc/net/netstat, snmp and snmp6 (the kernel's snmp_counter.rst)."""

from collections.abc import Iterator
from functools import lru_cache

from collector.metric import Sample, Untyped

UDP = ("InDatagrams", "InErrors", "NoPorts", "OutDatagrams", "RcvbufErrors", "SndbufErrors")
FIELDS = {
    "Icmp": ("InErrors", "InMsgs", "OutMsgs"),
    "Icmp6": ("InErrors", "InMsgs", "OutMsgs"),
    "Ip": ("Forwarding",),
    "Ip6": ("InOctets", "OutOctets"),
    "IpExt": ("InOctets", "OutOctets"),
    "Tcp": (
        "ActiveOpens", "CurrEstab", "InErrs", "InSegs", "OutRsts", "OutSegs", "PassiveOpens", "RetransSegs",
    ),
    "TcpExt": (
        "ListenDrops", "ListenOverflows", "SyncookiesFailed", "SyncookiesRecv", "SyncookiesSent", "TCPOFOQueue",
        "TCPRcvQDrop", "TCPSynRetrans", "TCPTimeouts",
    ),
    "Udp": UDP,
    "Udp6": UDP,
    "UdpLite": ("InErrors",),
    "UdpLite6": ("InErrors",),
}  # fmt: skip
"""What node_exporter lets through unless told otherwise; the files have some 400 more."""
METRICS = {
    (protocol, field): Untyped(f"node_netstat_{protocol}_{field}", f"Network statistics: {field} of {protocol}.")
    for protocol, fields in FIELDS.items()
    for field in fields
}

FILES = ("/proc/net/netstat", "/proc/net/snmp", "/proc/net/snmp6")
OPTIONAL = ("/proc/net/snmp6",)


METRICS6 = {f"{protocol}{field}": metric for (protocol, field), metric in METRICS.items() if "6" in protocol}


def parse(netstat: str, snmp: str, snmp6: str) -> Iterator[Sample]:
    """Read pairs of lines, `Udp: InDatagrams NoPorts` and `Udp: 7315 0`, and of snmp6 single ones, `Udp6NoPorts 0`."""
    for text in (netstat, snmp):
        lines = text.splitlines()
        for heads, numbers in zip(lines[::2], lines[1::2], strict=True):
            yield from pair(heads, numbers)
    words = snmp6.split()
    said = dict(zip(words[::2], words[1::2], strict=True))
    for name, metric in METRICS6.items():
        if name in said:
            yield metric(float(said[name]))


def pair(heads: str, numbers: str) -> Iterator[Sample]:
    """Read the names of a protocol's fields and their values."""
    protocol, count, wanted = look_at(heads)
    same, _, rest = numbers.partition(":")
    values = rest.split()
    if protocol != same or count != len(values):
        raise ValueError(f"{protocol[:40]!r} of {count} is followed by {same[:40]!r} of {len(values)}")
    for place, metric in wanted:
        yield metric(float(values[place]))


@lru_cache(maxsize=128)
def look_at(heads: str) -> tuple[str, int, tuple[tuple[int, Untyped], ...]]:
    """Return the protocol of a line of names, how many there are, and where those stand that are wanted.

    The lines are the same on all machines of one kernel, and have hundreds of names.
    """
    protocol, _, rest = heads.partition(":")
    fields = rest.split()
    wanted = [(place, METRICS[protocol, field]) for place, field in enumerate(fields) if (protocol, field) in METRICS]
    return protocol, len(fields), tuple(wanted)

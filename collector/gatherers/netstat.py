"""Counters of the network protocols, from /proc/net/netstat, snmp and snmp6 (the kernel's snmp_counter.rst)."""

from collections.abc import Iterator

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


def parse(netstat: str, snmp: str, snmp6: str) -> Iterator[Sample]:
    """Read pairs of lines, `Udp: InDatagrams NoPorts` and `Udp: 7315 0`, and of snmp6 single ones, `Udp6NoPorts 0`."""
    for text in (netstat, snmp):
        lines = text.splitlines()
        for heads, numbers in zip(lines[::2], lines[1::2], strict=True):
            yield from pair(heads, numbers)
    for line in snmp6.splitlines():
        name, number = line.split()
        protocol, six, field = name.partition("6")
        if metric := METRICS.get((protocol + six, field)):
            yield metric(float(number))


def pair(heads: str, numbers: str) -> Iterator[Sample]:
    """Read the names of a protocol's fields and their values."""
    protocol, _, fields = heads.partition(":")
    same, _, values = numbers.partition(":")
    if protocol != same:
        raise ValueError(f"{protocol[:40]!r} is followed by {same[:40]!r}")
    for field, value in zip(fields.split(), values.split(), strict=True):
        if metric := METRICS.get((protocol, field)):
            yield metric(float(value))

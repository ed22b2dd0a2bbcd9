"""The kernel's load balancer, from /proc/net/ip_vs and ip_vs_stats (ipvsadm(8))."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from collector.metric import Counter, Gauge, Sample

TOTALS = (
    Counter("node_ipvs_connections_total", "Connections made."),
    Counter("node_ipvs_incoming_packets_total", "Packets that came in."),
    Counter("node_ipvs_outgoing_packets_total", "Packets that went out."),
    Counter("node_ipvs_incoming_bytes_total", "Bytes that came in."),
    Counter("node_ipvs_outgoing_bytes_total", "Bytes that went out."),
)

SERVICE = ("proto", "local_address", "local_port", "local_mark")
BACKEND = (*SERVICE, "remote_address", "remote_port")

BACKENDS = (
    Gauge("node_ipvs_backend_weight", "Weight of the server behind a service.", *BACKEND),
    Gauge("node_ipvs_backend_connections_active", "Connections of the server that are in use.", *BACKEND),
    Gauge("node_ipvs_backend_connections_inactive", "Connections of the server that are about to end.", *BACKEND),
)

FILES = ("/proc/net/ip_vs_stats", "/proc/net/ip_vs")
OPTIONAL = FILES[1:]


def parse(stats: str, table: str) -> Iterator[Sample]:
    """Read the third line of the one, five hexadecimal numbers, and of the other each service and its servers.

    TCP  C0000264:0CEA wlc
      -> C0000202:0CEA      Tunnel  100    248        2
    """
    numbers = stats.splitlines()[2].split()
    for total, number in zip(TOTALS, numbers, strict=True):
        yield total(float(int(number, 16)))
    for labels, weights in servers(table).items():
        for metric, weight in zip(BACKENDS, weights, strict=True):
            yield metric(weight, *labels)


def servers(table: str) -> dict[tuple[str, ...], list[float]]:
    """Return weight, active and inactive connections of each server of each service, below three lines of heads.

    A server that a service has twice, in two ways, is one here, with the sum of both.
    """
    found: dict[tuple[str, ...], list[float]] = {}
    service: tuple[str, ...] = ()
    for line in table.splitlines()[3:]:
        words = line.split()
        if words[0] == "->":
            if not service:
                raise ValueError("a server of no service")
            numbers = [float(int(word)) for word in words[3:6]]
            known = found.setdefault((*service, *place(words[1])), [0.0, 0.0, 0.0])
            known[:] = [one + other for one, other in zip(known, numbers, strict=True)]
        elif words[0] == "FWM":
            service = ("FWM", "", "0", words[1])
        else:
            service = (words[0], *place(words[1]), "")
    return found


def place(text: str) -> tuple[str, str]:
    """Return address and port of `C0000264:0CEA`, or of `[2001:0db8:0000:...]:0CEA`."""
    address, _, port = text.rpartition(":")
    known = IPv6Address(address.strip("[]")) if address.startswith("[") else IPv4Address(bytes.fromhex(address))
    return str(known), str(int(port, 16))

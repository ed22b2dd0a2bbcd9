"""How many interfaces each bond has, and how many of them have a link, from /sys/class/net."""

from collections.abc import Iterator, Mapping

from collector.gatherers.netclass import device_of
from collector.metric import Gauge, Sample

SLAVES = Gauge("node_bonding_slaves", "Interfaces that the bond is made of.", "master")
ACTIVE = Gauge("node_bonding_active", "Those of them that have a link.", "master")

FILES = ("/sys/class/net/*/bonding/slaves", "/sys/class/net/*/bonding_slave/mii_status")
OPTIONAL = FILES[1:]


def parse(bonds: Mapping[str, str], links: Mapping[str, str]) -> Iterator[Sample]:
    """Read `eth0 eth1`, a bond's interfaces, and `up` or `down` of each of these."""
    up = {device_of(path) for path, text in links.items() if text.strip() == "up"}
    for path, text in bonds.items():
        slaves = text.split()
        yield SLAVES(float(len(slaves)), device_of(path))
        yield ACTIVE(float(len(up.intersection(slaves))), device_of(path))

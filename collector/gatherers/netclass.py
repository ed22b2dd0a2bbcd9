"""Whether network interfaces are up, and how often they went up and down, from /sys/class/net."""

from collections.abc import Iterator, Mapping

from collector.metric import Counter, Gauge, Metric, Sample

UP = Gauge("node_network_up", "Whether the interface is in operation.", "device")

NUMBERS: Mapping[str, Metric] = {
    "carrier": Gauge("node_network_carrier", "Whether there is a link; absent while the interface is down.", "device"),
    "carrier_changes": Counter("node_network_carrier_changes_total", "How often the link came or went.", "device"),
    "carrier_up_count": Counter("node_network_carrier_up_changes_total", "How often the link came.", "device"),
    "carrier_down_count": Counter("node_network_carrier_down_changes_total", "How often the link went.", "device"),
}

FILES = ("/sys/class/net/*/operstate", *(f"/sys/class/net/*/{file}" for file in NUMBERS))
OPTIONAL = FILES[1:]


def parse(operstates: Mapping[str, str], *numbers: Mapping[str, str]) -> Iterator[Sample]:
    """Read `/sys/class/net/eth0/operstate`, and of the other files the numbers that are there."""
    for path, state in operstates.items():
        yield UP(float(state.strip() == "up"), device_of(path))
    for metric, found in zip(NUMBERS.values(), numbers, strict=True):
        for path, text in found.items():
            # The kernel refuses some of them while an interface is down.
            if text.strip():
                yield metric(float(int(text)), device_of(path))


def device_of(path: str) -> str:
    """Return the interface of a file of /sys/class/net."""
    return path.split("/")[4]

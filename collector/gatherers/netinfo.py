"""What network interfaces are, which hardly ever changes, from /sys/class/net."""

from collections.abc import Iterator, Mapping

from collector.gatherers.netclass import device_of
from collector.metric import Gauge, Metric, Sample

INFO_FILES = ("address", "broadcast", "duplex", "ifalias", "operstate")

INFO = Gauge("node_network_info", "What the interface is; always 1.", *INFO_FILES, "adminstate", "device")
SPEED = Gauge("node_network_speed_bytes", "Bytes a second that the interface is made for.", "device")
FLAGS = Gauge("node_network_flags", "The interface's flags (IFF_UP is 1).", "device")

NUMBERS: Mapping[str, Metric] = {
    "addr_assign_type": Gauge("node_network_address_assign_type", "Where its address is from.", "device"),
    "dev_id": Gauge("node_network_device_id", "Tells interfaces apart that share an address.", "device"),
    "dormant": Gauge("node_network_dormant", "Whether it waits for somebody, like a supplicant.", "device"),
    "ifindex": Gauge("node_network_iface_id", "The kernel's number of the interface.", "device"),
    "iflink": Gauge("node_network_iface_link", "The number of the interface that it is over.", "device"),
    "link_mode": Gauge("node_network_iface_link_mode", "Its link mode: 0 is the default, 1 dormant.", "device"),
    "mtu": Gauge("node_network_mtu_bytes", "The longest packet.", "device"),
    "name_assign_type": Gauge("node_network_name_assign_type", "Where its name is from.", "device"),
    "netdev_group": Gauge("node_network_net_dev_group", "Its group.", "device"),
    "tx_queue_len": Gauge("node_network_transmit_queue_length", "Packets that may wait to be sent.", "device"),
    "type": Gauge("node_network_protocol_type", "Its protocol (ARPHRD_ETHER is 1).", "device"),
}

FILES = tuple(f"/sys/class/net/*/{file}" for file in ("flags", "speed", *INFO_FILES, *NUMBERS))
OPTIONAL = FILES[1:]
EVERY = 600.0


def parse(flags: Mapping[str, str], speeds: Mapping[str, str], *more: Mapping[str, str]) -> Iterator[Sample]:
    """Read the files of each interface; what one has not, or what is refused while it is down, is passed over."""
    words, numbers = more[: len(INFO_FILES)], more[len(INFO_FILES) :]
    known = [{device_of(path): text.strip() for path, text in found.items()} for found in words]
    for path, text in flags.items():
        device, flag = device_of(path), int(text, 0)
        yield FLAGS(float(flag), device)
        yield INFO(1.0, *[found.get(device, "") for found in known], "up" if flag & 1 else "down", device)
    for path, text in speeds.items():
        if text.strip():
            # It is in megabits, and -1 where nobody knows it, which node_exporter takes for a number, too.
            yield SPEED(float(text) * 1e6 / 8, device_of(path))
    for metric, found in zip(NUMBERS.values(), numbers, strict=True):
        for path, text in found.items():
            if text.strip():
                yield metric(float(int(text, 0)), device_of(path))

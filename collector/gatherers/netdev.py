"""Traffic of the network interfaces, from /proc/net/dev (proc(5)), and what that does not tell, from /sys/class/net."""

from collections.abc import Iterator, Mapping

from collector.gatherers.netclass import device_of
from collector.metric import Counter, Sample

COLUMNS = (
    Counter("node_network_receive_bytes_total", "Bytes received.", "device"),
    Counter("node_network_receive_packets_total", "Packets received.", "device"),
    Counter("node_network_receive_errs_total", "Packets received that were bad.", "device"),
    Counter("node_network_receive_drop_total", "Packets received that were dropped.", "device"),
    Counter("node_network_receive_fifo_total", "Packets lost because a receive queue was full.", "device"),
    Counter("node_network_receive_frame_total", "Packets received with a broken frame.", "device"),
    Counter("node_network_receive_compressed_total", "Compressed packets received.", "device"),
    Counter("node_network_receive_multicast_total", "Multicast packets received.", "device"),
    Counter("node_network_transmit_bytes_total", "Bytes sent.", "device"),
    Counter("node_network_transmit_packets_total", "Packets sent.", "device"),
    Counter("node_network_transmit_errs_total", "Packets that could not be sent.", "device"),
    Counter("node_network_transmit_drop_total", "Packets dropped instead of being sent.", "device"),
    Counter("node_network_transmit_fifo_total", "Packets lost because a transmit queue was full.", "device"),
    Counter("node_network_transmit_colls_total", "Collisions while sending.", "device"),
    Counter("node_network_transmit_carrier_total", "Packets not sent for want of a carrier.", "device"),
    Counter("node_network_transmit_compressed_total", "Compressed packets sent.", "device"),
)

NO_HANDLER = Counter("node_network_receive_nohandler_total", "Packets received that nothing was there for.", "device")

FILES = ("/proc/net/dev", "/sys/class/net/*/statistics/rx_nohandler")
OPTIONAL = FILES[1:]


def parse(text: str, unhandled: Mapping[str, str]) -> Iterator[Sample]:
    """Read `eth0: 1368598500 37121 0 ...` below two lines of heads: eight numbers received, eight sent.

    Linux has no rx_nohandler before 4.6.
    """
    for line in text.splitlines()[2:]:
        # The name of an alias has a colon too.
        device, _, rest = line.rpartition(":")
        if not device:
            raise ValueError("no interface before the numbers")
        for metric, number in zip(COLUMNS, rest.split()[: len(COLUMNS)], strict=True):
            yield metric(float(number), device.strip())
    for path, number in unhandled.items():
        # An interface that has just gone has none.
        if number.strip():
            yield NO_HANDLER(float(int(number)), device_of(path))

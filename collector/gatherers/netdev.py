"""Traffic of the network interfaces, from /proc/net/dev (proc(5))."""

from collections.abc import Iterator

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

FILES = ("/proc/net/dev",)


def parse(text: str) -> Iterator[Sample]:
    """Read `eth0: 1368598500 37121 0 ...` below two lines of heads: eight numbers received, eight sent."""
    for line in text.splitlines()[2:]:
        # The name of an alias has a colon too.
        device, _, rest = line.rpartition(":")
        if not device:
            raise ValueError("no interface before the numbers")
        for metric, number in zip(COLUMNS, rest.split()[: len(COLUMNS)], strict=True):
            yield metric(float(number), device.strip())

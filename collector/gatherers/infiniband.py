"""InfiniBand and RDMA ports, from /sys/class/infiniband (Linux, ABI/stable/sysfs-class-infiniband)."""

import re
from collections.abc import Iterator, Mapping

from collector.metric import Counter, Gauge, Metric, Sample

INFO = Gauge(
    "node_infiniband_info", "What the device is; always 1.", "device", "board_id", "firmware_version", "hca_type"
)

PORT = ("device", "port")

STATE = Gauge("node_infiniband_state_id", "State of the port: 1 is down, 2 init, 3 armed, 4 active.", *PORT)
PHYSICAL_STATE = Gauge("node_infiniband_physical_state_id", "State of the link: 2 is polling, 3 off, 5 up.", *PORT)
RATE = Gauge("node_infiniband_rate_bytes_per_second", "Bytes a second that the port is made for.", *PORT)
LIFESPAN = Gauge(
    "node_infiniband_lifespan_seconds", "Seconds for which a counter that was read may stay as it is.", *PORT
)

LANES = 4
"""The kernel counts data in words of so many bytes."""

COUNTED: Mapping[str, tuple[str, str]] = {
    "counters/VL15_dropped": ("vl15_dropped", "Management packets that there was no room for."),
    "counters/excessive_buffer_overrun_errors": ("excessive_buffer_overrun_errors", "Buffers that ran over."),
    "counters/link_downed": ("link_downed", "Times that the link went down."),
    "counters/link_error_recovery": ("link_error_recovery", "Times that the link came back by itself."),
    "counters/local_link_integrity_errors": ("local_link_integrity_errors", "Times with too many errors of the link."),
    "counters/multicast_rcv_packets": ("multicast_packets_received", "Multicast packets received."),
    "counters/multicast_xmit_packets": ("multicast_packets_transmitted", "Multicast packets sent."),
    "counters/port_rcv_constraint_errors": (
        "port_constraint_errors_received",
        "Packets received that are not allowed.",
    ),
    "counters/port_rcv_data": ("port_data_received_bytes", "Bytes received."),
    "counters/port_rcv_discards": ("port_discards_received", "Packets received that were dropped."),
    "counters/port_rcv_errors": ("port_errors_received", "Packets received that were bad."),
    "counters/port_rcv_packets": ("port_packets_received", "Packets received."),
    "counters/port_rcv_remote_physical_errors": (
        "port_receive_remote_physical_errors",
        "Packets received that were known to be bad.",
    ),
    "counters/port_rcv_switch_relay_errors": (
        "port_receive_switch_relay_errors",
        "Packets received that could not be passed on.",
    ),
    "counters/port_xmit_constraint_errors": ("port_constraint_errors_transmitted", "Packets that may not be sent."),
    "counters/port_xmit_data": ("port_data_transmitted_bytes", "Bytes sent."),
    "counters/port_xmit_discards": ("port_discards_transmitted", "Packets dropped instead of being sent."),
    "counters/port_xmit_packets": ("port_packets_transmitted", "Packets sent."),
    "counters/port_xmit_wait": ("port_transmit_wait", "Ticks in which data could not be sent."),
    "counters/symbol_error": ("symbol_error", "Small errors of the link."),
    "counters/unicast_rcv_packets": ("unicast_packets_received", "Unicast packets received."),
    "counters/unicast_xmit_packets": ("unicast_packets_transmitted", "Unicast packets sent."),
    "hw_counters/duplicate_request": ("duplicate_requests_packets", "Requests that came again."),
    "hw_counters/implied_nak_seq_err": ("implied_nak_seq_errors", "Answers of a later request than was asked for."),
    "hw_counters/local_ack_timeout_err": ("local_ack_timeout_errors", "Times that an acknowledgement did not come."),
    "hw_counters/np_cnp_sent": ("np_cnp_packets_sent", "Notices of congestion sent."),
    "hw_counters/np_ecn_marked_roce_packets": (
        "np_ecn_marked_roce_packets_received",
        "Packets received that had met congestion.",
    ),
    "hw_counters/out_of_buffer": ("out_of_buffer_drops", "Packets that no buffer was there for."),
    "hw_counters/out_of_sequence": ("out_of_sequence_packets_received", "Packets received out of order."),
    "hw_counters/packet_seq_err": ("packet_sequence_errors", "Times that a peer missed a packet."),
    "hw_counters/req_cqe_error": ("req_cqes_errors", "Requests that ended with an error."),
    "hw_counters/req_cqe_flush_error": ("req_cqes_flush_errors", "Requests that were given up."),
    "hw_counters/req_remote_access_errors": ("req_remote_access_errors", "Requests that the peer did not allow."),
    "hw_counters/req_remote_invalid_request": (
        "req_remote_invalid_request_errors",
        "Requests that the peer found invalid.",
    ),
    "hw_counters/resp_cqe_error": ("resp_cqes_errors", "Answers that ended with an error."),
    "hw_counters/resp_cqe_flush_error": ("resp_cqes_flush_errors", "Answers that were given up."),
    "hw_counters/resp_local_length_error": ("resp_local_length_errors", "Requests that were too long."),
    "hw_counters/resp_remote_access_errors": ("resp_remote_access_errors", "Requests that were not allowed."),
    "hw_counters/rnr_nak_retry_err": ("rnr_nak_retry_packets_received", "Times that a peer was not ready."),
    "hw_counters/roce_adp_retrans": ("roce_adp_retransmits", "Adaptive retransmissions."),
    "hw_counters/roce_adp_retrans_to": ("roce_adp_retransmits_timeout", "Adaptive retransmissions that were late."),
    "hw_counters/roce_slow_restart": ("roce_slow_restart_used", "Slow restarts."),
    "hw_counters/roce_slow_restart_cnps": ("roce_slow_restart_cnps", "Notices of congestion of slow restarts."),
    "hw_counters/roce_slow_restart_trans": ("roce_slow_restart", "Times that a slow restart began."),
    "hw_counters/rp_cnp_handled": ("rp_cnp_packets_handled", "Notices of congestion heeded."),
    "hw_counters/rp_cnp_ignored": ("rp_cnp_ignored_packets_received", "Notices of congestion ignored."),
    "hw_counters/rx_atomic_requests": ("rx_atomic_requests", "Atomic requests received."),
    "hw_counters/rx_dct_connect": ("rx_dct_connect_requests", "Requests to connect received."),
    "hw_counters/rx_icrc_encapsulated": ("rx_icrc_encapsulated_errors", "Packets received with a wrong checksum."),
    "hw_counters/rx_read_requests": ("rx_read_requests", "Requests to read received."),
    "hw_counters/rx_write_requests": ("rx_write_requests", "Requests to write received."),
}
"""What node_exporter calls what is in a file of a port."""

COUNTERS: Mapping[str, Metric] = {
    file: Counter(f"node_infiniband_{name}_total", about, *PORT) for file, (name, about) in COUNTED.items()
}

PLACE = "/sys/class/infiniband/*"
FILES = (
    f"{PLACE}/fw_ver",
    f"{PLACE}/board_id",
    f"{PLACE}/hca_type",
    f"{PLACE}/ports/*/*",
    f"{PLACE}/ports/*/*counters/*",
)
OPTIONAL = FILES[1:]

NUMBER = re.compile(r"[0-9]{1,20}")


def parse(
    versions: Mapping[str, str],
    boards: Mapping[str, str],
    kinds: Mapping[str, str],
    ports: Mapping[str, str],
    counters: Mapping[str, str],
) -> Iterator[Sample]:
    """Read of each device what it is, of its ports `4: ACTIVE` and `100 Gb/sec (4X EDR)`, and what they count."""
    known = [{path.split("/")[4]: text.strip() for path, text in found.items()} for found in (boards, versions, kinds)]
    for path in versions:
        device = path.split("/")[4]
        yield INFO(1.0, device, *[found.get(device, "") for found in known])
    for path, text in ports.items():
        device, _, port, file = path.split("/")[4:]
        # What is refused has no text.
        if text.strip() and file in {"state", "phys_state"}:
            yield (STATE if file == "state" else PHYSICAL_STATE)(float(int(text.partition(":")[0])), device, port)
        elif text.strip() and file == "rate":
            yield RATE(float(text.split()[0]) * 1e9 / 8, device, port)
    for path, text in counters.items():
        device, _, port, folder, file = path.split("/")[4:]
        # Some kernels say of a counter that it is not available.
        if NUMBER.fullmatch(text.strip()):
            yield from counted(f"{folder}/{file}", float(text), device, port)


def counted(file: str, number: float, device: str, port: str) -> Iterator[Sample]:
    """Yield what a counter is; nothing of those that node_exporter does not know."""
    if file == "hw_counters/lifespan":
        # It is in milliseconds; node_exporter leaves out what is no whole second.
        yield LIFESPAN(number / 1000, device, port)
    elif metric := COUNTERS.get(file):
        yield metric(number * (LANES if file.endswith("_data") else 1), device, port)

"""Packets that each processor took in, from /proc/net/softnet_stat (net/core/net-procfs.c in the kernel)."""

from collections.abc import Iterator

from collector.metric import Counter, Sample

COLUMNS = {
    0: Counter("node_softnet_processed_total", "Packets processed.", "cpu"),
    1: Counter("node_softnet_dropped_total", "Packets dropped because the backlog was full.", "cpu"),
    2: Counter("node_softnet_times_squeezed_total", "Times that a processor left packets for later.", "cpu"),
    9: Counter("node_softnet_received_rps_total", "Times that another processor gave this one packets.", "cpu"),
    10: Counter("node_softnet_flow_limit_count_total", "Packets dropped because one flow had too many.", "cpu"),
}
CPU = 12
"""Where newer kernels have the number of the processor; older ones have a line for each that is online."""
FEWEST = 9

FILES = ("/proc/net/softnet_stat",)


def parse(text: str) -> Iterator[Sample]:
    """Read `01115a0c 0000020f 00000002 ...`: hexadecimal numbers, a line for each processor."""
    for place, line in enumerate(text.splitlines()):
        numbers = [int(word, 16) for word in line.split()]
        if len(numbers) < FEWEST:
            raise ValueError(f"a line has only {len(numbers)} numbers")
        cpu = numbers[CPU] if len(numbers) > CPU else place
        for column, metric in COLUMNS.items():
            if column < len(numbers):
                yield metric(float(numbers[column]), str(cpu))

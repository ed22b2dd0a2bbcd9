"""The kernel's own counters, from /proc/stat (proc(5)); its lines of processors are the gatherer cpu's."""

from collections.abc import Iterator

from collector.metric import Counter, Gauge, Sample

METRICS = {
    "btime": Gauge("node_boot_time_seconds", "When the machine booted, in seconds since epoch (1970)."),
    "ctxt": Counter("node_context_switches_total", "Context switches since boot."),
    "intr": Counter("node_intr_total", "Interrupts served since boot."),
    "processes": Counter("node_forks_total", "Processes and threads created since boot."),
    "procs_blocked": Gauge("node_procs_blocked", "Processes that wait for I/O."),
    "procs_running": Gauge("node_procs_running", "Processes that run or could run."),
}

FILES = ("/proc/stat",)


def parse(text: str) -> Iterator[Sample]:
    """Read `ctxt 41023679`, and of `intr 15130572 0 13 ...` the first number, which is the sum of the others."""
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if metric := METRICS.get(name):
            yield metric(float(rest.split(maxsplit=1)[0]))

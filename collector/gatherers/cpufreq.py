"""How fast each processor runs, from /sys/devices/system/cpu/cpu*/cpufreq."""

from collections.abc import Iterable, Iterator, Mapping

from collector.metric import Gauge, Metric, Sample

PLACE = "/sys/devices/system/cpu/cpu*/cpufreq"

SCALING = Gauge("node_cpu_scaling_frequency_hertz", "The frequency that the kernel wants.", "cpu")

NUMBERS: Mapping[str, Metric] = {
    "scaling_cur_freq": SCALING,
    "cpuinfo_cur_freq": Gauge("node_cpu_frequency_hertz", "The frequency that the hardware has; for root only.", "cpu"),
    "cpuinfo_avg_freq": Gauge("node_cpu_frequency_avg_hertz", "The frequency that it had of late.", "cpu"),
}

FILES = tuple(f"{PLACE}/{file}" for file in NUMBERS)
OPTIONAL = FILES[1:]


def parse(*numbers: Mapping[str, str]) -> Iterator[Sample]:
    """Read kilohertz."""
    return frequencies(NUMBERS.values(), numbers)


def frequencies(metrics: Iterable[Metric], numbers: Iterable[Mapping[str, str]]) -> Iterator[Sample]:
    """Yield what each metric's files say; a processor that is off refuses, and one may say `<unknown>`."""
    for metric, found in zip(metrics, numbers, strict=True):
        for path, text in found.items():
            if text.strip() not in {"", "<unknown>"}:
                yield metric(int(text) * 1e3, cpu_of(path))


def cpu_of(path: str) -> str:
    """Return the number of the processor whose file it is."""
    return path.split("/")[5].removeprefix("cpu")

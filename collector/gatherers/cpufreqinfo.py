"""Between which frequencies each processor may run and who decides it, which hardly ever changes."""

from collections.abc import Iterator, Mapping

from collector.gatherers.cpufreq import PLACE, cpu_of, frequencies
from collector.metric import Gauge, Metric, Sample

GOVERNOR = Gauge("node_cpu_scaling_governor", "Whether this governor is at work.", "cpu", "governor")

NUMBERS: Mapping[str, Metric] = {
    "scaling_min_freq": Gauge("node_cpu_scaling_frequency_min_hertz", "The lowest frequency allowed.", "cpu"),
    "scaling_max_freq": Gauge("node_cpu_scaling_frequency_max_hertz", "The highest frequency allowed.", "cpu"),
    "cpuinfo_min_freq": Gauge("node_cpu_frequency_min_hertz", "The lowest frequency possible.", "cpu"),
    "cpuinfo_max_freq": Gauge("node_cpu_frequency_max_hertz", "The highest frequency possible.", "cpu"),
}

FILES = tuple(f"{PLACE}/{file}" for file in (*NUMBERS, "scaling_governor", "scaling_available_governors"))
OPTIONAL = FILES[1:]
EVERY = 600.0


def parse(*files: Mapping[str, str]) -> Iterator[Sample]:
    """Read kilohertz, and names."""
    *numbers, governors, available = files
    yield from frequencies(NUMBERS.values(), numbers)
    for path, text in available.items():
        now = governors.get(path.replace("scaling_available_governors", "scaling_governor"), "").strip()
        for governor in text.split() if now else ():
            yield GOVERNOR(float(governor == now), cpu_of(path), governor)

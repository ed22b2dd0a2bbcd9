"""What the kernel takes the time from, and what it could take it from, from /sys/devices/system/clocksource."""

from collections.abc import Iterator, Mapping

from collector.metric import Gauge, Sample

AVAILABLE = Gauge("node_time_clocksource_available_info", "What there is; always 1.", "device", "clocksource")
CURRENT = Gauge("node_time_clocksource_current_info", "What is in use; always 1.", "device", "clocksource")

FILES = tuple(
    f"/sys/devices/system/clocksource/clocksource*/{file}" for file in ("current_clocksource", "available_clocksource")
)
OPTIONAL = FILES[1:]
EVERY = 600.0


def parse(current: Mapping[str, str], available: Mapping[str, str]) -> Iterator[Sample]:
    """Read `tsc`, and `tsc hpet acpi_pm`."""
    for metric, found in ((AVAILABLE, available), (CURRENT, current)):
        for path, text in found.items():
            for name in text.split():
                yield metric(1.0, path.split("/")[5].removeprefix("clocksource"), name)

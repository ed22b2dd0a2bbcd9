"""What the sensors of /sys/class/hwmon are called and what their limits are, which hardly ever changes."""

from collections.abc import Iterator, Mapping

from collector.gatherers.hwmon import (
    FILE,
    NUMBER,
    PLACE,
    clean,
    hwmon_of,
    is_measured,
    measures,
    metric_of,
    name_chips,
)
from collector.metric import Gauge, Sample

CHIP_NAME = Gauge("node_hwmon_chip_names", "What the chip's driver calls it; always 1.", "chip", "chip_name")
LABEL = Gauge("node_hwmon_sensor_label", "What the sensor is for; always 1.", "chip", "sensor", "label")
INTERVAL = Gauge("node_hwmon_update_interval_seconds", "Seconds from one measurement to the next.", "chip", "sensor")

# What begins with a, f or i is measured, but for a few that nobody misses: alarm, average, fault, input.
SETTINGS = "*[0-9]_[b-eghj-z]*"

FILES = (
    f"{PLACE}/name",
    f"{PLACE}/device/.",
    f"{PLACE}/update_interval",
    f"{PLACE}/{SETTINGS}",
    f"{PLACE}/device/{SETTINGS}",
)
OPTIONAL = FILES[1:]
EVERY = 600.0


def parse(
    names: Mapping[str, str], places: Mapping[str, str], intervals: Mapping[str, str], *more: Mapping[str, str]
) -> Iterator[Sample]:
    """Read `/sys/class/hwmon/hwmon0/temp1_label`, `temp1_max` and their like; what is refused is passed over."""
    found = {path: text for texts in more for path, text in texts.items()}
    chips = name_chips(names, places, [*found, *intervals])
    for path, text in names.items():
        if clean(text):
            yield CHIP_NAME(1.0, chips[hwmon_of(path)], clean(text))
    for path, text in intervals.items():
        if NUMBER.fullmatch(text.strip()):
            yield INTERVAL(float(text) / 1e3, chips[hwmon_of(path)], "update_interval0")
    for path, text in found.items():
        match = FILE.fullmatch(path.rsplit("/", 1)[-1])
        if match and match[3] == "label":
            yield LABEL(1.0, chips[hwmon_of(path)], f"{match[1]}{int(match[2])}", text.strip("\n"))
    for path, kind, number, element, value in measures(found):
        # A hostile machine could have a fan1_rpm, which would be the series that fan1_input is.
        if not is_measured(kind, element) and not element.endswith(("label", "rpm", "mhz")):
            metric, divisor = metric_of(kind, element)
            yield metric(value / divisor, chips[hwmon_of(path)], f"{kind}{number}")

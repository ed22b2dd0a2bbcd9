"""Temperatures that the kernel knows of by itself, from /sys/class/thermal/thermal_zone*."""

from collections.abc import Iterator, Mapping

from collector.metric import Gauge, Sample

TEMPERATURE = Gauge("node_thermal_zone_temp", "The zone's temperature in degrees Celsius.", "zone", "type")

FILES = ("/sys/class/thermal/thermal_zone*/temp", "/sys/class/thermal/thermal_zone*/type")
OPTIONAL = FILES[1:]


def parse(temperatures: Mapping[str, str], types: Mapping[str, str]) -> Iterator[Sample]:
    """Read thousandths of a degree; a zone that is switched off refuses to tell, and is passed over."""
    for path, text in temperatures.items():
        if text.strip():
            zone = path.split("/")[4].removeprefix("thermal_zone")
            kind = types.get(path.removesuffix("temp") + "type", "")
            yield TEMPERATURE(int(text) / 1e3, zone, kind.strip())

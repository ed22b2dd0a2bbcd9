"""What the sensors of /sys/class/hwmon measure: temperatures, fans, voltages, power, and their alarms.

Their limits and labels are hwmoninfo's. See Documentation/hwmon/sysfs-interface.rst in Linux.
"""

import re
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from collector.metric import Counter, Gauge, Metric, Sample

PLACE = "/sys/class/hwmon/hwmon*"

GPU_FREQUENCY = Gauge("node_hwmon_freq_freq_mhz", "A GPU's frequency in megahertz.", "chip", "sensor")

FILES = (
    f"{PLACE}/name",
    f"{PLACE}/device/.",
    f"{PLACE}/freq*_label",
    f"{PLACE}/*_input",
    f"{PLACE}/*_average",
    f"{PLACE}/*_alarm",
    f"{PLACE}/*_fault",
    f"{PLACE}/fan*_target",
    f"{PLACE}/pwm?",
    f"{PLACE}/device/*_input",
)
OPTIONAL = FILES[1:]

FILE = re.compile(
    "(in|cpu|fan|pwm|temp|curr|power|energy|humidity|intrusion|freq)([0-9]{1,9})(?:_([a-z](?:[a-z0-9_]{0,38}[a-z0-9])?))?"
)
NUMBER = re.compile(r"-?[0-9]{1,20}")
NO_LABEL = re.compile("[^a-z0-9:_]")

UNITS: Mapping[str, tuple[str, float]] = {
    "in": ("_volts", 1e3),
    "cpu": ("_volts", 1e3),
    "temp": ("_celsius", 1e3),
    "curr": ("_amps", 1e3),
    "power": ("_watt", 1e6),
    "energy": ("_joule_total", 1e6),
    "humidity": ("", 1e6),
}
"""What stands behind a name, and what a number is divided by."""

WORDS = {
    "in": "voltage",
    "cpu": "voltage",
    "temp": "temperature",
    "curr": "current",
    "pwm": "fan drive",
    "freq": "frequency",
}


def parse(
    names: Mapping[str, str], places: Mapping[str, str], labels: Mapping[str, str], *more: Mapping[str, str]
) -> Iterator[Sample]:
    """Read `/sys/class/hwmon/hwmon0/temp1_input` and its like; what is refused or is no number is passed over.

    The text of `/sys/class/hwmon/hwmon0/device/.` is where that directory really is.
    """
    found = {path: text for texts in more for path, text in texts.items()}
    chips = name_chips(names, places, found)
    gpus = {path.removesuffix("label") + "input": clean(text) for path, text in labels.items()}
    for path, kind, number, element, value in measures(found):
        if is_measured(kind, element):
            chip = chips[hwmon_of(path)]
            if kind != "freq":
                metric, divisor = metric_of(kind, element)
                yield metric(value / divisor, chip, f"{kind}{number}")
            elif gpus.get(path):
                yield GPU_FREQUENCY(value / 1e6, chip, gpus[path])


def hwmon_of(path: str) -> str:
    """Return the hwmon0 of a file of /sys/class/hwmon/hwmon0."""
    return path.split("/")[4]


def name_chips(names: Mapping[str, str], places: Mapping[str, str], found: Iterable[str]) -> dict[str, str]:
    """Return the label of each chip, as node_exporter makes it: of where its device is, or else of its name.

    Where several would have the same, their names are put behind, or what the kernel calls them.
    """
    called = {hwmon_of(path): clean(text) for path, text in names.items()}
    devices = {hwmon_of(path): name_device(place) for path, place in places.items()}
    hwmons = dict.fromkeys([*called, *devices, *map(hwmon_of, found)])
    bases = {hwmon: devices.get(hwmon) or called.get(hwmon) or clean(hwmon) for hwmon in hwmons}
    alike, same = Tally(bases.values()), Tally((bases[hwmon], called.get(hwmon)) for hwmon in hwmons)
    for hwmon, base in bases.items():
        if alike[base] > 1:
            name = called.get(hwmon)
            bases[hwmon] = f"{base}_{name if name and same[base, name] == 1 else clean(hwmon)}"
    return bases


def name_device(place: str) -> str:
    """Return `/sys/devices/platform/coretemp.0` as platform_coretemp_0."""
    return "_".join(filter(None, map(clean, place.split("/")[-2:])))


def clean(text: str) -> str:
    """Return a text with underscores for what has no place in a chip's label."""
    return NO_LABEL.sub("_", text.strip().lower()).strip("_")


def measures(texts: Mapping[str, str]) -> Iterator[tuple[str, str, int, str, float]]:
    """Yield what each file of a sensor's says: path, kind, number and element (those of temp1_max), and its value."""
    for path, text in texts.items():
        match = FILE.fullmatch(path.rsplit("/", 1)[-1])
        # Joules are a counter, which is never below 0.
        if match and NUMBER.fullmatch(text.strip()) and not (match[1] == "energy" and "-" in text):
            yield path, match[1], int(match[2]), match[3] or "", float(text)


def is_measured(kind: str, element: str) -> bool:
    """Tell what moves from what is set."""
    is_alarm = element == "alarm" or element.endswith("_alarm")
    return is_alarm or element in {"", "input", "average", "fault"} or (kind, element) == ("fan", "target")


@lru_cache(maxsize=1024)
def metric_of(kind: str, element: str) -> tuple[Metric, float]:
    """Return the metric of `temp` and `max`, node_hwmon_temp_max_celsius, and what the number is divided by."""
    name = "_".join(filter(None, ("node_hwmon", kind, "" if element == "input" else element)))
    unit, divisor = UNITS.get(kind, ("", 1.0))
    if element in {"fault", "alarm"} or (kind, element) == ("temp", "type"):
        unit, divisor = "", 1.0
    elif element == "beep":
        unit, divisor = "_enabled", 1.0
    elif kind == "fan" and element in {"input", "min", "max", "target"}:
        unit = "_rpm"
    elif (kind, element) == ("power", "accuracy"):
        unit = ""
    # With its unit an alarm of a limit is 0.001, like node_exporter's: rules made for that ask whether it is 0.
    says = f"The chip's {WORDS.get(kind, kind)}: {element or 'input'}."
    return (Counter if unit.endswith("_total") else Gauge)(name + unit, says, "chip", "sensor"), divisor

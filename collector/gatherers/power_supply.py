"""Batteries and mains, from /sys/class/power_supply/*/uevent (Documentation/ABI/testing/sysfs-class-power in Linux)."""

import re
from collections.abc import Iterator, Mapping

from collector.metric import Gauge, Metric, Sample

WORDS = (
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
    "scope",
)

INFO = Gauge("node_power_supply_info", "What the supply is; always 1.", "power_supply", *WORDS)

MICRO = (
    *("charge_control_limit", "charge_control_limit_max", "charge_counter", "charge_empty", "charge_empty_design"),
    *("charge_full", "charge_full_design", "charge_term_current", "constant_charge_current"),
    *("constant_charge_current_max", "constant_charge_voltage", "constant_charge_voltage_max", "current_boot"),
    *("current_max", "energy_empty", "energy_empty_design", "energy_full", "energy_full_design"),
    *("input_current_limit", "precharge_current", "voltage_boot", "voltage_max", "voltage_max_design", "voltage_min"),
    *("voltage_min_design", "voltage_ocv"),
)
"""In millionths, and named as the kernel names them, like those of PLAIN and of TENTHS."""

PLAIN = ("authentic", "calibrate", "capacity", "capacity_alert_max", "capacity_alert_min", "online", "present")
TENTHS = (
    *("temp", "temp_alert_max", "temp_alert_min", "temp_ambient", "temp_ambient_max", "temp_ambient_min"),
    *("temp_max", "temp_min"),
)

NAMES: Mapping[str, tuple[str, float]] = {
    **{key: (key, 1.0) for key in PLAIN},
    **{key: (key, 1e6) for key in MICRO},
    **{key: (f"{key}_celsius", 10.0) for key in TENTHS},
    "cycle_count": ("cyclecount", 1.0),
    "time_to_empty_now": ("time_to_empty_seconds", 1.0),
    "time_to_full_now": ("time_to_full_seconds", 1.0),
    "charge_now": ("charge_ampere", 1e6),
    "current_now": ("current_ampere", 1e6),
    "energy_now": ("energy_watthour", 1e6),
    "power_now": ("power_watt", 1e6),
    "voltage_now": ("voltage_volt", 1e6),
}
"""What node_exporter calls what the kernel tells, and what it divides it by."""

NUMBERS: Mapping[str, tuple[Metric, float]] = {
    key: (Gauge(f"node_power_supply_{name}", f"The supply's {name.replace('_', ' ')}.", "power_supply"), divisor)
    for key, (name, divisor) in NAMES.items()
}

NUMBER = re.compile(r"-?[0-9]{1,20}")
PREFIX = "POWER_SUPPLY_"

FILES = ("/sys/class/power_supply/*/uevent", "/sys/class/power_supply/*/type")
OPTIONAL = FILES[1:]


def parse(uevents: Mapping[str, str], types: Mapping[str, str]) -> Iterator[Sample]:
    """Read lines like `POWER_SUPPLY_CAPACITY=81`; older kernels do not tell the type there."""
    for path, text in uevents.items():
        supply = path.split("/")[4]
        pairs = [line.removeprefix(PREFIX).partition("=") for line in text.split("\n") if line.startswith(PREFIX)]
        known = {"type": types.get(path.removesuffix("uevent") + "type", "").strip()}
        known |= {key.lower(): value.strip() for key, _, value in pairs}
        yield INFO(1.0, supply, *[known.get(word, "") for word in WORDS])
        for key, (metric, divisor) in NUMBERS.items():
            if NUMBER.fullmatch(known.get(key, "")):
                yield metric(float(known[key]) / divisor, supply)

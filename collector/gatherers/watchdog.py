"""Watchdogs, which restart a machine that hangs, from /sys/class/watchdog (Linux, ABI/testing/sysfs-class-watchdog)."""

from collections.abc import Iterator, Mapping

from collector.metric import Gauge, Metric, Sample

WORDS = ("options", "identity", "state", "status", "pretimeout_governor")

INFO = Gauge("node_watchdog_info", "What the watchdog is; always 1.", "name", *WORDS)

NUMBERS: Mapping[str, Metric] = {
    "bootstatus": Gauge("node_watchdog_bootstatus", "What it said when the machine started; 0 is nothing.", "name"),
    "fw_version": Gauge("node_watchdog_fw_version", "Version of its firmware.", "name"),
    "nowayout": Gauge("node_watchdog_nowayout", "Whether nobody can stop it once it is started.", "name"),
    "timeleft": Gauge("node_watchdog_timeleft_seconds", "Seconds until it restarts the machine.", "name"),
    "timeout": Gauge("node_watchdog_timeout_seconds", "Seconds for which it waits for a sign of life.", "name"),
    "pretimeout": Gauge("node_watchdog_pretimeout_seconds", "Seconds before the end at which it warns.", "name"),
    "access_cs0": Gauge("node_watchdog_access_cs0", "Whether the machine started from its other memory.", "name"),
}

FILES = ("/sys/class/watchdog/*/*",)


def parse(texts: Mapping[str, str]) -> Iterator[Sample]:
    """Read `/sys/class/watchdog/watchdog0/timeout` and its like; a watchdog has those of them that it knows."""
    known: dict[str, dict[str, str]] = {}
    for path, text in texts.items():
        *_, name, file = path.split("/")
        known.setdefault(name, {})[file] = text.strip()
    for name, found in known.items():
        for file, metric in NUMBERS.items():
            if found.get(file):
                yield metric(float(int(found[file])), name)
        yield INFO(1.0, name, *[found.get(word, "") for word in WORDS])

"""What the disks are, which hardly ever changes, from what udev knows of them (udev(7)).

Of a disk or a partition that is some 1,500 bytes, and an answer has a cap: this is not for a machine with 400 of them.
"""

import re
from collections.abc import Iterator, Mapping

from collector.gatherers.diskstats import IGNORED
from collector.metric import Gauge, Metric, Sample

INFO = Gauge(
    "node_disk_info",
    "What the disk is; always 1.",
    *("device", "major", "minor", "path", "wwn", "model", "serial", "revision", "rotational"),
)
DESCRIBED: tuple[tuple[Metric, tuple[str, ...]], ...] = (
    (
        Gauge(
            "node_disk_filesystem_info", "What is on the disk; always 1.", "device", "type", "usage", "uuid", "version"
        ),
        ("ID_FS_TYPE", "ID_FS_USAGE", "ID_FS_UUID", "ID_FS_VERSION"),
    ),
    (
        Gauge(
            "node_disk_device_mapper_info",
            "What the device mapper made the disk of; always 1.",
            *("device", "name", "uuid", "vg_name", "lv_name", "lv_layer"),
        ),
        ("DM_NAME", "DM_UUID", "DM_VG_NAME", "DM_LV_NAME", "DM_LV_LAYER"),
    ),
)
"""What is told where the first of these is known."""

ATA: Mapping[str, Metric] = {
    "ID_ATA_WRITE_CACHE": Gauge("node_disk_ata_write_cache", "Whether the disk has a write cache.", "device"),
    "ID_ATA_WRITE_CACHE_ENABLED": Gauge(
        "node_disk_ata_write_cache_enabled", "Whether the disk uses its write cache.", "device"
    ),
    "ID_ATA_ROTATION_RATE_RPM": Gauge(
        "node_disk_ata_rotation_rate_rpm", "Turns of the disk a minute; 0 if it does not turn.", "device"
    ),
}

SERIALS = ("SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL")
"""The first that there is: that of the label on the disk, if possible. virtio has only the last."""

FILES = ("/proc/diskstats", "/run/udev/data/b*:*", "/sys/block/*/queue/rotational")
OPTIONAL = FILES[1:]
MAY_BE_EMPTY = True
SELDOM = True
# node_exporter has it by default. On a machine with hundreds of disks the answer would be too long, and all else lost.
ONLY_IF_ASKED = True

PROPERTY = re.compile(r"^E:([A-Z_]+)=(.*)$", re.MULTILINE)
NUMBER = re.compile(r"[0-9]{1,20}")


def parse(disks: str, records: Mapping[str, str], turning: Mapping[str, str]) -> Iterator[Sample]:
    """Read `8 0 sda 397378 ...`, what is in `/run/udev/data/b8:0`, and whether the disk turns.

    A machine without udev has nothing in the labels.
    """
    for line in disks.splitlines():
        major, minor, device, *_ = line.split()
        if IGNORED.fullmatch(device):
            continue
        known = dict(PROPERTY.findall(records.get(f"/run/udev/data/b{major}:{minor}", "")))
        turns = turning.get(f"/sys/block/{device}/queue/rotational", "").strip() == "1"
        yield INFO(1.0, device, major, minor, *identity(known), str(int(turns)))
        for metric, keys in DESCRIBED:
            if known.get(keys[0]):
                yield metric(1.0, device, *[known.get(key, "") for key in keys])
        if known.get("ID_ATA"):
            for key, metric in ATA.items():
                if NUMBER.fullmatch(known.get(key, "")):
                    yield metric(float(known[key]), device)


def identity(known: Mapping[str, str]) -> tuple[str, str, str, str, str]:
    """Return where a disk is, its name in the world, its model, its serial number and its revision."""
    path, wwn, model, revision = [known.get(key, "") for key in ("ID_PATH", "ID_WWN", "ID_MODEL", "ID_REVISION")]
    serial = next((known[key] for key in SERIALS if known.get(key)), "")
    return path, wwn, model, serial, revision

"""Errors of the memory that were corrected, and those that were not, from /sys/devices/system/edac/mc."""

import re
from collections.abc import Iterator, Mapping

from collector.metric import Counter, Sample

CONTROLLER = ("controller",)
ROW = (*CONTROLLER, "csrow")
CHANNEL = (*ROW, "channel", "dimm_label")

CORRECTED = Counter("node_edac_correctable_errors_total", "Errors that were corrected.", *CONTROLLER)
LOST = Counter("node_edac_uncorrectable_errors_total", "Errors that could not be corrected.", *CONTROLLER)
ROW_CORRECTED = Counter("node_edac_csrow_correctable_errors_total", "Errors in a row that were corrected.", *ROW)
ROW_LOST = Counter("node_edac_csrow_uncorrectable_errors_total", "Errors in a row that could not be.", *ROW)
CHANNEL_CORRECTED = Counter(
    "node_edac_channel_correctable_errors_total", "Errors of a channel that were corrected.", *CHANNEL
)
CHANNEL_LOST = Counter("node_edac_channel_uncorrectable_errors_total", "Errors of a channel that were not.", *CHANNEL)

FILES = (
    "/sys/devices/system/edac/mc/mc*/?e_*count",
    "/sys/devices/system/edac/mc/mc*/csrow*/*_count",
    "/sys/devices/system/edac/mc/mc*/csrow*/ch*_dimm_label",
)
OPTIONAL = FILES[1:]

ROW_FILE = re.compile(r".*/mc([0-9]+)/csrow([0-9]+)/(?:ch([0-9]+)_)?([cu]e)_count", re.DOTALL)
CONTROLLER_FILE = re.compile(r".*/mc([0-9]+)/([cu]e)(_noinfo)?_count", re.DOTALL)


def parse(controllers: Mapping[str, str], rows: Mapping[str, str], labels: Mapping[str, str]) -> Iterator[Sample]:
    """Read `/sys/devices/system/edac/mc/mc0/ce_count`, `mc0/csrow0/ce_count` and `mc0/csrow0/ch0_ce_count`.

    Errors that no row is known for are in `ce_noinfo_count`.
    """
    for path, text in controllers.items():
        if text.strip() and (match := CONTROLLER_FILE.fullmatch(path)):
            controller, kind, noinfo = match.groups()
            if noinfo:
                yield (ROW_CORRECTED if kind == "ce" else ROW_LOST)(float(int(text)), controller, "unknown")
            else:
                yield (CORRECTED if kind == "ce" else LOST)(float(int(text)), controller)
    for path, text in rows.items():
        if text.strip() and (match := ROW_FILE.fullmatch(path)):
            controller, row, channel, kind = match.groups()
            if channel is None:
                yield (ROW_CORRECTED if kind == "ce" else ROW_LOST)(float(int(text)), controller, row)
            else:
                label = name_dimm(labels.get(path.replace(f"_{kind}_count", "_dimm_label"), "unknown"))
                metric = CHANNEL_CORRECTED if kind == "ce" else CHANNEL_LOST
                yield metric(float(int(text)), controller, row, channel, label)


def name_dimm(label: str) -> str:
    """Return `mc#0csrow#0channel#1`, which is the kernel's name where nobody gave one, as mc0_csrow0_channel1."""
    return label.strip().replace("#", "").replace("csrow", "_csrow").replace("channel", "_channel")

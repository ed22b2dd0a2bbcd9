"""What NVMe controllers are, and whether they work, from /sys/class/nvme."""

from collections.abc import Iterator, Mapping

from collector.metric import Gauge, Sample

INFO = Gauge(
    "node_nvme_info",
    "What the controller is; always 1.",
    *("device", "firmware_revision", "model", "serial", "state", "cntlid"),
)

# Not all files that there are: one of them is the secret of a controller in the network.
FILES = tuple(f"/sys/class/nvme/*/{file}" for file in ("firmware_rev", "model", "serial", "state", "cntlid"))
OPTIONAL = FILES[1:]


def parse(revisions: Mapping[str, str], *more: Mapping[str, str]) -> Iterator[Sample]:
    """Read `/sys/class/nvme/nvme0/state` and its like."""
    known = [{path.split("/")[4]: text.strip() for path, text in found.items()} for found in (revisions, *more)]
    for device in known[0]:
        yield INFO(1.0, device, *[found.get(device, "") for found in known])

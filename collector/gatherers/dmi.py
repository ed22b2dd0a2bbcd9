"""What the machine was made as, from /sys/class/dmi/id: what its makers wrote into its firmware (SMBIOS)."""

from collections.abc import Iterator, Mapping

from collector.metric import Gauge, Sample

KEYS = (
    *("bios_date", "bios_release", "bios_vendor", "bios_version", "board_asset_tag", "board_name", "board_serial"),
    *("board_vendor", "board_version", "chassis_asset_tag", "chassis_serial", "chassis_vendor", "chassis_version"),
    *("product_family", "product_name", "product_serial", "product_sku", "product_uuid", "product_version"),
    "system_vendor",
)

INFO = Gauge("node_dmi_info", "What the machine was made as; always 1.", *KEYS)

# The names without _ are for modprobe and udev.
FILES = ("/sys/class/dmi/id/*_*",)
SELDOM = True


def parse(texts: Mapping[str, str]) -> Iterator[Sample]:
    """Read `/sys/class/dmi/id/product_name` and its like; serial numbers and product_uuid are for root alone."""
    known = {path.rpartition("/")[2]: text.strip() for path, text in texts.items()}
    known["system_vendor"] = known.get("sys_vendor", "")
    if not any(known.get(key) for key in KEYS):
        raise ValueError("nothing is known")
    yield INFO(1.0, *[known.get(key, "") for key in KEYS])

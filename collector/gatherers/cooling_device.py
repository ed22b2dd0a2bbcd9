"""How hard fans, processors and whatever else can cool a machine are at it, from /sys/class/thermal/cooling_device*."""

from collections.abc import Iterator, Mapping

from collector.metric import Gauge, Sample

STATE = Gauge("node_cooling_device_cur_state", "How hard it cools: 0 is not at all.", "name", "type")
MOST = Gauge("node_cooling_device_max_state", "How hard it can cool.", "name", "type")

FILES = tuple(f"/sys/class/thermal/cooling_device*/{file}" for file in ("cur_state", "max_state", "type"))
OPTIONAL = FILES[1:]


def parse(states: Mapping[str, str], most: Mapping[str, str], types: Mapping[str, str]) -> Iterator[Sample]:
    """Read the states of each; -1 is one that does not know, and one that refuses to tell is passed over."""
    for path, text in states.items():
        if text.strip():
            place, _ = path.rsplit("/", 1)
            labels = place.split("/")[4].removeprefix("cooling_device"), types.get(f"{place}/type", "").strip()
            yield STATE(float(int(text)), *labels)
            if most.get(f"{place}/max_state", "").strip():
                yield MOST(float(int(most[f"{place}/max_state"])), *labels)

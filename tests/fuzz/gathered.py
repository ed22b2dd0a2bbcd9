"""What gatherers make of any text, and whether the page that it becomes can be read."""

import math
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from rig.said import machines

from collector.config import Machine
from collector.errors import ParseError
from collector.exposition import header, render
from collector.gather import GATHERERS, MOST_LABEL, MOST_SERIES, parse
from collector.metric import Samples
from collector.probe import SEPARATOR
from collector.snapshot import Snapshot, Standing

LONGEST = 320
"""Characters that a ParseError may have."""

LABELS = (("odd", 'a "b"\\\n'), ("plain", "c"))
MACHINE = Machine(
    name="ssh0", host="h", port=22, user="u", key_file=Path("k"), known_hosts=(Path("h"),), gather=("time",),
    labels=LABELS, interval=15.0, interval_text="15s", timeout=10.0, login_timeout=30.0,
)  # fmt: skip


def gather(name: str, data: bytes) -> None:
    """Finite samples, each series once, no more than there may be, on a page that reads back; or a short ParseError."""
    gatherer = GATHERERS[name]
    texts = data.decode("utf-8", "replace").split(SEPARATOR.decode())
    texts += [""] * (len(gatherer.files) - len(texts))
    try:
        samples = parse(gatherer, dict(zip(gatherer.files, texts, strict=False)))
    except ParseError as error:
        assert str(error).startswith(f"{name}: ")
        assert len(str(error)) <= LONGEST
        return
    assert all(map(math.isfinite, samples.values))
    assert len(set(samples.shape.series)) == len(samples.values) <= MOST_SERIES
    assert samples.values or gatherer.may_be_empty
    assert samples.shape.longest_label <= MOST_LABEL
    read_back(samples)


def read_back(samples: Samples) -> None:
    """Hold what Prometheus reads on the page, in either format, equal to what there is."""
    lines = render(Standing(MACHINE, Snapshot(0.0, 0.0, samples))).said
    expected = {
        (metric.name, *sorted([("instance", "ssh0"), *LABELS, *zip(metric.labels, labels, strict=True)])): value
        for metric, labels, value in samples
    }
    for openmetrics in (False, True):
        text = "".join(
            header(metric, openmetrics, lines.shape.families)
            + "".join([metric.name + lines.rests[place] for place in places])
            for metric, places in lines.shape.families.values()
        )
        families = read_openmetrics(f"{text}# EOF\n") if openmetrics else read_text(text)
        found = {(one.name, *sorted(one.labels.items())): one.value for family in families for one in family.samples}
        assert expected == found


def seeds(name: str) -> tuple[bytes, ...]:
    """Return what real machines said, as in the gatherer's fixtures: the text of each file."""
    return tuple(SEPARATOR.join(map(str.encode, texts.values())) for texts in machines(name))

"""What gatherers of people's own make of any text, and whether the page that it becomes can be read."""

import math

from collector import custom
from collector.config import Custom
from collector.errors import ParseError
from collector.gather import MOST_LABEL, MOST_SERIES, parse
from collector.metric import Samples
from collector.probe import STATUS
from fuzz.gathered import LONGEST, read_back

CUSTOMS = {
    "value": Custom(name="own", command="x", read="value", metric="a"),
    "regex": Custom(
        name="own", command="x", read="regex", metric="b", pattern=r"^(?P<c>.*?)=(?P<value>.*)$", labels=(("d", "e"),)
    ),
    "json": Custom(
        name="own", command="x", read="json", metric="f_total", type="counter", each="g[*]", value="h",
        label_values=(("i", "j"),),
    ),
    "prometheus": Custom(name="own", command="x"),
    "files": Custom(name="own", files=("/k/*.prom",)),
}  # fmt: skip

SEEDS = {
    "value": (b"12\n", b"-1e3"),
    "regex": (b"x y=1\nz=NaN\n",),
    "json": (b'{"g": [{"h": 1, "j": "k"}, {"h": "2", "j": [1]}, {"h": true}]}',),
    "prometheus": (
        b'# HELP a_total A "b" \\n.\n# TYPE a_total counter\na_total{b="c",d="e\\"\\\\"} 1\n# TYPE a gauge\na 2\n',
        b'# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\nx_created 1\nx_info 1\n',
        b"# TYPE bare counter\nbare 1\nuntyped_total 5\nnan NaN\ninf +Inf\n",
    ),
    "files": (
        b'1700000000 20 /k/a.prom\n1700000060 9 /k/b.prom\n\n/k/a.prom:one{c="d"} 1\n/k/b.prom:two 2\n',
        b"1700000000 20 /k/a.prom\n1700000060 9 /k/b.prom\n\n/k/a.prom:one 1\n/k/b.prom:one 2\n",
    ),
}


def read(name: str, data: bytes) -> None:
    """Each series once, no more than there may be, on a page that reads back; or a short ParseError."""
    gatherer = custom.gatherer(CUSTOMS[name], frozenset({"instance", "odd", "plain"}))
    text = data.decode("utf-8", "replace") + f"{STATUS}0"
    try:
        samples = parse(gatherer, {gatherer.files[0]: text})
    except ParseError as error:
        assert str(error).startswith("own: ")
        assert len(str(error)) <= LONGEST
        return
    assert len(set(samples.shape.series)) == len(samples.values) <= MOST_SERIES
    assert samples.shape.longest_label <= MOST_LABEL
    # No two numbers that are none are equal.
    read_back(Samples.of(sample for sample in samples if not math.isnan(sample.value)))

"""What a gatherer yields: a metric is declared once, beside its parser, and called to make a sample.

LOAD1 = Gauge("node_load1", "Load average over one minute.")
LOAD1(0.5)                                   # Sample(LOAD1, (), 0.5)

CPU = Counter("node_cpu_seconds_total", "Seconds the CPUs spent in each mode.", "cpu", "mode")
CPU(12.5, "0", "user")                       # Sample(CPU, ("0", "user"), 12.5)
"""

import re
from typing import ClassVar, NamedTuple

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Metric:
    """A metric family: `name` and `help` as exposed, the names of its `labels`, its `kind` (`gauge` or `counter`)."""

    __slots__ = ("help", "labels", "name")
    kind: ClassVar[str]

    def __init__(self, name: str, help: str, *labels: str) -> None:
        for word in (name, *labels):
            if not NAME.fullmatch(word):
                raise ValueError(f"not a metric or label name: {word!r}")
        if len(set(labels)) != len(labels) or "instance" in labels:
            raise ValueError(f"{name}: labels must differ, and `instance` is the machine's: {labels!r}")
        self.name = name
        self.help = help
        self.labels = labels

    def __call__(self, value: float, *labels: str) -> "Sample":
        """One value with the values of the labels, in the order in which the metric names them."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels!r}, not {labels!r}")
        return Sample(self, labels, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class Gauge(Metric):
    """A value that goes up and down."""

    __slots__ = ()
    kind = "gauge"


class Counter(Metric):
    """A value that only grows, until what counts it starts anew; its name ends in `_total`."""

    __slots__ = ()
    kind = "counter"

    def __init__(self, name: str, help: str, *labels: str) -> None:
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total: {name!r}")
        super().__init__(name, help, *labels)


class Sample(NamedTuple):
    """One value of a metric: `labels` are the values of `metric.labels`, in that order."""

    metric: Metric
    labels: tuple[str, ...]
    value: float

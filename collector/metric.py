"""What a gatherer yields: a metric is declared once, beside its parser, and called to make a sample.

LOAD1 = Gauge("node_load1", "Load average over one minute.")
LOAD1(0.5)                                   # Sample(LOAD1, (), 0.5)

CPU = Counter("node_cpu_seconds_total", "Seconds the CPUs spent in each mode.", "cpu", "mode")
CPU(12.5, "0", "user")                       # Sample(CPU, ("0", "user"), 12.5)
"""

import re
from array import array
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import ClassVar, NamedTuple, Self
from weakref import WeakValueDictionary

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Metric:
    """A metric family: `name` and `help` as exposed, the names of its `labels`, and its `kind` in the text format."""

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


class Untyped(Metric):
    """A value of which node_exporter does not say whether it only grows."""

    __slots__ = ()
    kind = "untyped"


class Sample(NamedTuple):
    """One value of a metric: `labels` are the values of `metric.labels`, in that order."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


Series = tuple[Metric, tuple[str, ...]]

Identity = tuple[str, tuple[tuple[str, str], ...]]
"""The name and the labels of a series, by name: what it is to Prometheus."""


def identity(metric: Metric, labels: Iterable[str]) -> Identity:
    """Return what a series is to Prometheus, for which labels have no order, and one that is empty is not there."""
    return metric.name, tuple(sorted([pair for pair in zip(metric.labels, labels, strict=True) if pair[1]]))


class Shape:
    """Which series there are, each once; equal shapes are one and the same object, made by `shape_of`.

    All machines of one kind share it, which saves 5 kB a machine. `families` has by the name of each metric family the
    metric, and at which places of `series` it is. `labelled` are the places of those that have labels, `counters` of
    those that only grow; the longest value of a label has `longest_label` characters.
    """

    __slots__ = ("__weakref__", "counters", "families", "labelled", "longest_label", "series")

    def __init__(self, series: tuple[Series, ...]) -> None:
        if len({identity(metric, labels) for metric, labels in series}) != len(series):
            raise ValueError("a series twice")
        self.series = series
        self.labelled = frozenset([place for place, (_, labels) in enumerate(series) if labels])
        self.counters = tuple([place for place, (metric, _) in enumerate(series) if metric.kind == Counter.kind])
        self.longest_label = max([len(value) for _, labels in series for value in labels], default=0)
        places: dict[str, list[int]] = {}
        for place, (metric, _) in enumerate(series):
            places.setdefault(metric.name, []).append(place)
        self.families = {name: (series[found[0]][0], tuple(found)) for name, found in places.items()}


SHAPES: WeakValueDictionary[tuple[Series, ...], Shape] = WeakValueDictionary()
"""All there are. Machines that fail in ever new ways have ever new ones, and nobody keeps those that are over."""


def shape_of(series: tuple[Series, ...]) -> Shape:
    """Return the shape of these series. Raises ValueError if one is there twice."""
    shape = SHAPES.get(series)
    if shape is None:
        shape = SHAPES[series] = Shape(series)
    return shape


@lru_cache(maxsize=128)
def joined(shapes: tuple[Shape, ...]) -> Shape:
    """Return the shape of the series of several, one after another. Raises ValueError if one is there twice."""
    return shape_of(tuple([series for shape in shapes for series in shape.series]))


class Samples:
    """Some samples, as compact as can be: their `shape`, and the `values` in the same order.

    An array has its numbers side by side. Single ones of a machine that was last looked at many others ago are each a
    miss of the processor's cache.
    """

    __slots__ = ("shape", "values")

    def __init__(self, shape: Shape, values: "array[float]") -> None:
        self.shape = shape
        self.values = values

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Self:
        """Take in single samples. Raises ValueError if a series is there twice."""
        found = tuple(samples)
        if not found:
            return cls(shape_of(()), array("d"))
        metrics, labels, values = zip(*found, strict=True)
        return cls(shape_of(tuple(zip(metrics, labels, strict=True))), array("d", values))

    def __iter__(self) -> Iterator[Sample]:
        for (metric, labels), value in zip(self.shape.series, self.values, strict=True):
            yield Sample(metric, labels, value)

    def __len__(self) -> int:
        return len(self.values)


NONE = Samples.of(())
"""No sample."""

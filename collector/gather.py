"""The gatherers found, what they make of an answer, and the one place that turns their exceptions into ParseError."""

import math
import pkgutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import chain
from types import ModuleType

from collector import gatherers
from collector.errors import ParseError
from collector.metric import Metric, Sample, Samples, joined
from collector.snapshot import Gathered

MOST_SERIES = 10_000
"""Series of one gatherer: those of 1,000 processors."""

MOST_LABEL = 200
"""Characters of a label's value, which the machine chooses. Linux lets the names of machines have 64."""


@dataclass(frozen=True, slots=True)
class Gatherer:
    """What a file of collector/gatherers says: its name, the files it reads, and how it parses them.

    `parse` takes the text of each of the `files`, which may be empty for those that are `optional`. `labels` are the
    names of the labels that its metrics have. One that `may_be_empty` has no samples on some healthy machines.
    """

    name: str
    files: tuple[str, ...]
    optional: frozenset[str]
    may_be_empty: bool
    labels: frozenset[str]
    parse: Callable[..., Samples | Iterable[Sample]]


class Reader:
    """Parses answers by the gatherers of these names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._gatherers = [GATHERERS[name] for name in names]
        self._all_well = tuple([Gathered(gatherer.name, None) for gatherer in self._gatherers])

    def read(self, texts: Mapping[str, str]) -> tuple[Samples, tuple[Gathered, ...]]:
        """Parse the text of each file: the samples of all gatherers, and how each of them fared.

        One that fails takes nothing from the others.
        """
        found, problems = [], {}
        for gatherer in self._gatherers:
            try:
                found.append(parse(gatherer, texts))
            except ParseError as error:
                problems[gatherer.name] = str(error)
        values = array("d")
        for one in found:
            values += one.values
        samples = Samples(joined(tuple([one.shape for one in found])), values)
        if not problems:
            return samples, self._all_well
        return samples, tuple([Gathered(name, problems.get(name)) for name, _ in self._all_well])


@lru_cache
def reader(names: tuple[str, ...]) -> Reader:
    """Return the one Reader of these names: it keeps nothing of a machine's."""
    return Reader(names)


def parse(gatherer: Gatherer, texts: Mapping[str, str]) -> Samples:
    """Return one gatherer's samples from the text of each file.

    Raises:
        ParseError: a file is missing or empty, or is not what the gatherer knows; the text says which, and shows it.
    """
    read = [texts[file] for file in gatherer.files]
    for file, text in zip(gatherer.files, read, strict=True):
        if not text and file not in gatherer.optional:
            raise ParseError(f"{gatherer.name}: {file} is missing, empty or not readable")
    try:
        found = gatherer.parse(*read)
        return _checked(gatherer, found if isinstance(found, Samples) else Samples.of(found))
    except (ValueError, LookupError, ArithmeticError) as error:
        shown = " ".join(map(repr, read))
        raise ParseError(f"{gatherer.name}: {str(error)[:100]}: {shown[:200]}") from error


def _checked(gatherer: Gatherer, samples: Samples) -> Samples:
    """Return samples; ValueError for what would spoil the page: none, too many, a label without end, or no number."""
    if not samples.values and not gatherer.may_be_empty:
        raise ValueError("no sample")
    if len(samples) > MOST_SERIES:
        raise ValueError(f"more than {MOST_SERIES} series")
    if samples.shape.longest_label > MOST_LABEL:
        raise ValueError(f"a label of more than {MOST_LABEL} characters")
    # A sum of many finite numbers may be infinite, but one of them all is not finite if one is not.
    if not math.isfinite(sum(samples.values)) and not all(map(math.isfinite, samples.values)):
        raise ValueError("not a finite number")
    return samples


def _gatherer(name: str, module: ModuleType) -> Gatherer:
    labels = frozenset(
        label for value in vars(module).values() for metric in _metrics(value) for label in metric.labels
    )
    optional = frozenset(getattr(module, "OPTIONAL", ()))
    return Gatherer(name, module.FILES, optional, getattr(module, "MAY_BE_EMPTY", False), labels, module.parse)


def _metrics(value: object) -> Iterator[Metric]:
    """Yield the metric that a value is, or those that a table of them has."""
    if isinstance(value, Metric):
        yield value
    elif isinstance(value, tuple):
        yield from chain.from_iterable(map(_metrics, value))
    elif isinstance(value, dict):
        yield from _metrics(tuple(value.values()))


GATHERERS: Mapping[str, Gatherer] = {
    name: _gatherer(name, import_module(f"{gatherers.__name__}.{name}"))
    for _, name, _ in pkgutil.iter_modules(gatherers.__path__)
}


def files(names: Iterable[str]) -> tuple[str, ...]:
    """Return the files that these gatherers read, each once, in the order in which they ask for them."""
    return tuple(dict.fromkeys(file for name in names for file in GATHERERS[name].files))

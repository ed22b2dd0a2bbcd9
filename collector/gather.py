"""The gatherers, found in collector/gatherers, and the one place that turns their exceptions into ParseError."""

import math
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from collector import gatherers
from collector.errors import ParseError
from collector.metric import Metric, Sample
from collector.snapshot import Gathered


@dataclass(frozen=True, slots=True)
class Gatherer:
    """What a file of collector/gatherers says: its name, the files it reads, and how it parses them.

    `parse` takes the text of each of `files`, in that order, and yields samples; `labels` are the names of the labels
    that its metrics have.
    """

    name: str
    files: tuple[str, ...]
    parse: Callable[..., Iterable[Sample]]
    labels: frozenset[str]


def _gatherer(name: str, module: ModuleType) -> Gatherer:
    metrics = [value for value in vars(module).values() if isinstance(value, Metric)]
    labels = frozenset(label for metric in metrics for label in metric.labels)
    return Gatherer(name, module.FILES, module.parse, labels)


GATHERERS: Mapping[str, Gatherer] = {
    name: _gatherer(name, import_module(f"{gatherers.__name__}.{name}"))
    for _, name, _ in pkgutil.iter_modules(gatherers.__path__)
}


def files(names: Iterable[str]) -> tuple[str, ...]:
    """Return the files that these gatherers read, each once, in the order in which they ask for them."""
    return tuple(dict.fromkeys(file for name in names for file in GATHERERS[name].files))


def parse(gatherer: Gatherer, texts: Mapping[str, str]) -> tuple[Sample, ...]:
    """Return one gatherer's samples from the text of each file.

    Raises:
        ParseError: a file is missing or empty, or is not what the gatherer knows; the text says which, and shows it.
    """
    read = [texts[file] for file in gatherer.files]
    for file, text in zip(gatherer.files, read, strict=True):
        if not text:
            raise ParseError(f"{gatherer.name}: {file} is missing, empty or not readable")
    try:
        samples = tuple(gatherer.parse(*read))
        _check(samples)
    except (ValueError, LookupError, ArithmeticError) as error:
        shown = " ".join(map(repr, read))
        raise ParseError(f"{gatherer.name}: {str(error)[:100]}: {shown[:200]}") from error
    return samples


def _check(samples: tuple[Sample, ...]) -> None:
    """Refuse what would spoil the page: nothing, a series twice, or a value that is no number."""
    if not samples:
        raise ValueError("no sample")
    if len({(sample.metric.name, sample.labels) for sample in samples}) != len(samples):
        raise ValueError("a series twice")
    if not all(math.isfinite(sample.value) for sample in samples):
        raise ValueError("not a finite number")


def gather(names: Iterable[str], texts: Mapping[str, str]) -> tuple[tuple[Sample, ...], tuple[Gathered, ...]]:
    """Parse what one poll brought: the samples of all gatherers, and how each of them fared.

    One that fails takes nothing from the others.
    """
    samples: list[Sample] = []
    gathered = []
    for name in names:
        problem = None
        try:
            samples += parse(GATHERERS[name], texts)
        except ParseError as error:
            problem = str(error)
        gathered.append(Gathered(name, problem))
    return tuple(samples), tuple(gathered)

"""The gatherers found, what they make of an answer, and the one place that turns their exceptions into ParseError.

Most lines of an answer are as in the answer before: a `Reader` remembers one machine's, and parses the others.
"""

import math
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from operator import ne
from types import ModuleType
from typing import NamedTuple

from collector import gatherers
from collector.errors import ParseError
from collector.metric import Metric, Sample
from collector.snapshot import Gathered

ParseLine = Callable[[str], Sample | None]


class Parsed(NamedTuple):
    """What a gatherer made of the texts of its files: `samples`, and, if it goes by lines, what it `made` of each."""

    texts: tuple[str, ...]
    samples: tuple[Sample, ...]
    made: tuple[Sample | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Gatherer:
    """What a file of collector/gatherers says: its name, the files it reads, and how it parses them.

    `parse` takes the texts of `files`, in that order, and what was made of those before. `labels` are the names of the
    labels that its metrics have.
    """

    name: str
    files: tuple[str, ...]
    labels: frozenset[str]
    parse: Callable[[tuple[str, ...], Parsed | None], Parsed]


class Reader:
    """Parses one machine's answers by the gatherers of these names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._gatherers = [GATHERERS[name] for name in names]
        self._parsed: dict[str, Parsed] = {}

    def read(self, texts: Mapping[str, str]) -> tuple[tuple[Sample, ...], tuple[Gathered, ...]]:
        """Parse the text of each file: the samples of all gatherers, and how each of them fared.

        One that fails takes nothing from the others.
        """
        samples: list[Sample] = []
        gathered = []
        for gatherer in self._gatherers:
            problem = None
            try:
                parsed = parse(gatherer, texts, self._parsed.pop(gatherer.name, None))
            except ParseError as error:
                problem = str(error)
            else:
                self._parsed[gatherer.name] = parsed
                samples += parsed.samples
            gathered.append(Gathered(gatherer.name, problem))
        return tuple(samples), tuple(gathered)


def parse(gatherer: Gatherer, texts: Mapping[str, str], before: Parsed | None = None) -> Parsed:
    """Return one gatherer's samples from the text of each file; `before` is what it made of the answer before.

    Raises:
        ParseError: a file is missing or empty, or is not what the gatherer knows; the text says which, and shows it.
    """
    read = tuple([texts[file] for file in gatherer.files])
    for file, text in zip(gatherer.files, read, strict=True):
        if not text:
            raise ParseError(f"{gatherer.name}: {file} is missing, empty or not readable")
    try:
        return gatherer.parse(read, before)
    except (ValueError, LookupError, ArithmeticError) as error:
        shown = " ".join(map(repr, read))
        raise ParseError(f"{gatherer.name}: {str(error)[:100]}: {shown[:200]}") from error


def _whole(parse: Callable[..., Iterable[Sample]], texts: tuple[str, ...], before: Parsed | None) -> Parsed:
    """Parse texts that make sense only as a whole."""
    if before and texts == before.texts:
        return before
    return Parsed(texts, _checked(parse(*texts)))


def _by_line(parse_line: ParseLine, most: int, texts: tuple[str, ...], before: Parsed | None) -> Parsed:
    """Parse the first lines of a text, each by itself; those that are as before are not parsed again."""
    lines = texts[0].split("\n", most)[:most]
    made = _amend(parse_line, lines, before.texts[0].split("\n", most)[:most], before.made) if before else None
    if made is not None:
        return Parsed(texts, tuple(filter(None, made)), tuple(made))
    made = [parse_line(line) if line else None for line in lines]
    return Parsed(texts, _checked(filter(None, made)), tuple(made))


def _amend(
    parse_line: ParseLine, lines: Sequence[str], before: Sequence[str], made: Sequence[Sample | None]
) -> list[Sample | None] | None:
    """Return what is made of `lines`, parsing only those that differ from `before`; None if series came or went."""
    if len(lines) != len(before):
        return None
    amended = list(made)
    for place, differs in enumerate(map(ne, lines, before)):
        if differs:
            was, now = made[place], parse_line(lines[place]) if lines[place] else None
            if was is None or now is None or was.metric is not now.metric or was.labels != now.labels:
                return None
            if not math.isfinite(now.value):
                raise ValueError("not a finite number")
            amended[place] = now
    return amended


def _checked(found: Iterable[Sample]) -> tuple[Sample, ...]:
    """Return samples; ValueError for what would spoil the page: none, a series twice, or a value that is no number."""
    samples = tuple(found)
    if not samples:
        raise ValueError("no sample")
    if len({(sample.metric.name, sample.labels) for sample in samples}) != len(samples):
        raise ValueError("a series twice")
    if not all(math.isfinite(sample.value) for sample in samples):
        raise ValueError("not a finite number")
    return samples


def _gatherer(name: str, module: ModuleType) -> Gatherer:
    metrics = [value for value in vars(module).values() if isinstance(value, Metric)]
    labels = frozenset(label for metric in metrics for label in metric.labels)
    by_line = hasattr(module, "parse_line")
    parse = partial(_by_line, module.parse_line, module.MOST_LINES) if by_line else partial(_whole, module.parse)
    return Gatherer(name, module.FILES, labels, parse)


GATHERERS: Mapping[str, Gatherer] = {
    name: _gatherer(name, import_module(f"{gatherers.__name__}.{name}"))
    for _, name, _ in pkgutil.iter_modules(gatherers.__path__)
}


def files(names: Iterable[str]) -> tuple[str, ...]:
    """Return the files that these gatherers read, each once, in the order in which they ask for them."""
    return tuple(dict.fromkeys(file for name in names for file in GATHERERS[name].files))

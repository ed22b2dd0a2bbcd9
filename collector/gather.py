"""The gatherers found, what they make of an answer, and the one place that turns their exceptions into ParseError."""

import math
import pkgutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import chain
from time import monotonic, perf_counter
from types import ModuleType
from typing import Any

from collector import gatherers
from collector.errors import ParseError
from collector.metric import Identity, Metric, Sample, Samples, identity, joined
from collector.probe import CLOCK, STATUS, is_pattern, matches, shown
from collector.snapshot import Gathered

GATHERED, TEXTFILE = "gathered", "textfile"
WRITTEN = (GATHERED, TEXTFILE)
"""Files that are none: what we write ourselves, a line `NAME 1 SECONDS` for each gatherer, or 0 if it has no data; and
whether any file of people's own could not be read, if there are none."""

SELDOM = 600.0
"""Seconds from one time to the next that a machine is asked for what was not there."""

SOME = ""
"""The gatherer that is none: what some machine lacks of what others read."""

MISSING = "is missing, empty or not readable"
"""How a ParseError ends where there is nothing to parse."""

NO_FILE = "/dev/null"

MOST_SERIES = 10_000
"""Series of one gatherer: those of 1,000 processors."""

MOST_LABEL = 200
"""Characters of a label's value, which the machine chooses. Linux lets the names of machines have 64."""


Mend = Callable[[Samples, Samples], Samples]


@dataclass(frozen=True, slots=True)
class Gatherer:
    """What a file of collector/gatherers says: its name, the files it reads, and how it parses them.

    `parse` takes the text of each of the `files`, or where there is a `*` in its name the texts of all that match, by
    their names; either may be empty for those that are `optional`. `labels` are the names of the labels that its
    metrics have. One that `may_be_empty` has no samples on some healthy machines. It is asked for `every` so many
    seconds, and with each poll if that is 0. Those `in_node` are what node_exporter gives by default. `mend` makes good
    what the kernel gets wrong from one time to the next: of the samples that are and that were before it returns those
    that shall be. People's own (`collector.custom`) give way where a series is another's, and may say NaN.
    """

    name: str
    files: tuple[str, ...]
    optional: frozenset[str]
    may_be_empty: bool
    every: float
    in_node: bool
    labels: frozenset[str]
    parse: Callable[..., Samples | Iterable[Sample]]
    mend: Mend | None
    is_own: bool = False


Result = Samples | str
"""What a gatherer made of an answer: samples, or why it has none."""


class Reader:
    """Parses answers by the gatherers of these names, some of which are people's `own`.

    `files` are those that all of them read. `mended` are the places of those whose samples are to be mended, and how.
    """

    def __init__(self, names: Sequence[str], own: Sequence[Gatherer] = ()) -> None:
        self.gatherers = named(names, own)
        self.files = files(names, own)
        self.mended = [(place, one.mend) for place, one in enumerate(self.gatherers) if one.mend]
        self._all_well = tuple([Gathered(gatherer.name, None) for gatherer in self.gatherers])
        self.own = frozenset(gatherer.name for gatherer in own)
        self._watching = [gatherer for gatherer in self.gatherers if GATHERED in gatherer.files]
        self._watched = [gatherer for gatherer in self.gatherers if GATHERED not in gatherer.files]
        self._has_files = any(gatherer.is_own and "file" in gatherer.labels for gatherer in self.gatherers)

    def read(self, texts: Mapping[str, str], kept: Mapping[str, Result]) -> list[Result]:
        """Parse the text of each file by each gatherer, but for those whose result is `kept`.

        One that fails takes nothing from the others.
        """
        if self._watching:
            return self._watch(texts, kept)
        return [self._read(gatherer, texts, kept) for gatherer in self.gatherers]

    def _read(self, gatherer: Gatherer, texts: Mapping[str, str], kept: Mapping[str, Result]) -> Result:
        try:
            return kept[gatherer.name] if gatherer.name in kept else parse(gatherer, texts)
        except ParseError as error:
            return str(error)

    def _watch(self, texts: Mapping[str, str], kept: Mapping[str, Result]) -> list[Result]:
        """Parse them, and write down for those who want to know how each fared, and how long it took."""
        results: dict[str, Result] = {}
        lines: list[str] = []
        began = perf_counter()
        for gatherer in self._watched:
            result = results[gatherer.name] = self._read(gatherer, texts, kept)
            ended = perf_counter()
            lines.append(f"{gatherer.name} {isinstance(result, Samples):d} {ended - began:.6f}\n")
            began = ended
        written = {GATHERED: "".join(lines), TEXTFILE: "" if self._has_files else "0\n"}
        for gatherer in self._watching:
            results[gatherer.name] = self._read(gatherer, written, {})
        return [results[gatherer.name] for gatherer in self.gatherers]

    def join(self, results: list[Result]) -> tuple[Samples, tuple[Gathered, ...]]:
        """Return the samples of all gatherers, and how each of them fared."""
        try:
            return self._join(results)
        except ValueError:
            # People's own may say anything.
            return self._join(self._without_twice(results))

    def _without_twice(self, results: list[Result]) -> list[Result]:
        """Return the results, but of people's own none that has a series which another has, too."""
        seen: dict[Identity, str] = {}
        kept = list(results)
        ours_first = sorted(enumerate(self.gatherers), key=lambda one: one[1].is_own)
        for place, gatherer in ours_first:
            result = results[place]
            if isinstance(result, str):
                continue
            found = [identity(metric, labels) for metric, labels in result.shape.series]
            if twice := next((one for one in found if one in seen), None):
                kept[place] = f"{gatherer.name}: {twice[0]} is gathered by {seen[twice]} already"
            else:
                seen |= dict.fromkeys(found, gatherer.name)
        return kept

    def _join(self, results: list[Result]) -> tuple[Samples, tuple[Gathered, ...]]:
        found = [result for result in results if isinstance(result, Samples)]
        values = array("d")
        for one in found:
            values += one.values
        samples = Samples(joined(tuple([one.shape for one in found])), values)
        if len(found) == len(results):
            return samples, self._all_well
        problems = [None if isinstance(result, Samples) else result for result in results]
        return samples, tuple(
            [Gathered(gatherer.name, problem) for gatherer, problem in zip(self.gatherers, problems, strict=True)]
        )


@lru_cache
def reader(names: tuple[str, ...], own: tuple[Gatherer, ...] = ()) -> Reader:
    """Return the one Reader of these names: it keeps nothing of a machine's."""
    return Reader(names, own)


class Gathering:
    """What one machine is asked for, and what is made of its answers.

    When a session begins that is everything. From then on what changes seldom is asked for as often as its gatherer
    says, and what the machine does not have after `SELDOM` seconds. In between what they last said stands. People's own
    may be dear: they are asked for when they are due, and not because a session begins.
    """

    __slots__ = ("_before", "_due", "_files", "_is_to_learn", "_kept", "_missing", "_next", "_reader")

    def __init__(self, names: tuple[str, ...], own: tuple[Gatherer, ...] = ()) -> None:
        self._reader = reader(names, own)
        self._files = self._reader.files
        self._kept: dict[str, Result] = {}
        self._due: dict[str, float] = {}
        self._missing: frozenset[str] = frozenset()
        self._next = math.inf
        self._is_to_learn = False
        self._before: dict[int, Samples] = {}

    def wanted(self, begins: bool) -> tuple[str, ...]:
        """Return the files to ask for next, the same object while they are the same; a session `begins` with all."""
        now = monotonic()
        if begins or now >= self._next:
            self._is_to_learn = True
            due = {name for name, time in self._due.items() if now >= time or (begins and name not in self._reader.own)}
            self._kept = {name: result for name, result in self._kept.items() if name not in due}
            if begins or SOME in due:
                self._missing = frozenset()
            self._files = self._choose()
        return self._files

    def read(self, texts: Mapping[str, str]) -> tuple[Samples, tuple[Gathered, ...]]:
        """Parse the text of each file that was asked for: the samples of all gatherers, and how each of them fared."""
        results = self._reader.read(texts, self._kept)
        for place, mend in self._reader.mended:
            self._mend(results, place, mend)
        if self._is_to_learn:
            self._learn(texts, results)
        return self._reader.join(results)

    def _mend(self, results: list[Result], place: int, mend: Mend) -> None:
        result, before = results[place], self._before.get(place)
        if isinstance(result, Samples):
            results[place] = self._before[place] = result if before is None else mend(result, before)

    def _learn(self, texts: Mapping[str, str], results: list[Result]) -> None:
        """Keep what need not be asked for again soon."""
        self._is_to_learn = False
        now, missing = monotonic(), set(self._missing)
        for gatherer, result in zip(self._reader.gatherers, results, strict=True):
            if gatherer.name in self._kept or GATHERED in gatherer.files:
                continue
            there = [file for file in gatherer.files if texts.get(file)]
            missing.update(file for file in gatherer.files if file not in there)
            if gatherer.every or not there:
                self._kept[gatherer.name] = result
                self._due[gatherer.name] = now + (gatherer.every if there else max(gatherer.every, SELDOM))
        if missing and not self._missing:
            self._due[SOME] = now + SELDOM
        self._missing = frozenset(missing)
        self._files = self._choose()
        self._next = min([self._due[name] for name in (*self._kept, *([SOME] if missing else []))], default=math.inf)

    def _choose(self) -> tuple[str, ...]:
        """Return the files of those who have kept nothing, but what is missing."""
        if not self._kept and not self._missing:
            return self._reader.files
        asked = [gatherer for gatherer in self._reader.gatherers if gatherer.name not in self._kept]
        left_out = self._missing.union(WRITTEN)
        files = dict.fromkeys(file for gatherer in asked for file in gatherer.files if file not in left_out)
        # To ask for no file would be to ask for those of the time before.
        return tuple(files if files.keys() - {CLOCK} else [*files, NO_FILE])


def parse(gatherer: Gatherer, texts: Mapping[str, str]) -> Samples:
    """Return one gatherer's samples from the text of each file.

    Raises:
        ParseError: a file is missing or empty, or is not what the gatherer knows; the text says which, and shows it.
    """
    read: list[Any] = []
    for file in gatherer.files:
        text = texts.get(file, "")
        if not text and file not in gatherer.optional:
            raise ParseError(f"{gatherer.name}: {shown(file)} {MISSING}")
        read.append(matches(text) if is_pattern(file) else text)
    try:
        found = gatherer.parse(*read)
        return _checked(gatherer, found if isinstance(found, Samples) else Samples.of(found))
    except (ValueError, LookupError, ArithmeticError) as error:
        # How a command ended is in the error.
        given = [repr(text) for text in read if not str(text).startswith(STATUS)]
        raise ParseError(
            ": ".join([gatherer.name, str(error)[:100], *filter(None, [" ".join(given)[:200]])])
        ) from error


def _checked(gatherer: Gatherer, samples: Samples) -> Samples:
    """Return samples; ValueError for what would spoil the page.

    That is none, too many, a label without end, a value that is no number, or a counter below 0.
    """
    if not samples.values and not gatherer.may_be_empty:
        raise ValueError("no sample")
    if len(samples) > MOST_SERIES:
        raise ValueError(f"more than {MOST_SERIES} series")
    if (counters := samples.shape.counters) and min([samples.values[place] for place in counters]) < 0:
        raise ValueError("a counter below 0")
    if samples.shape.longest_label > MOST_LABEL:
        raise ValueError(f"a label of more than {MOST_LABEL} characters")
    # A sum of many finite numbers may be infinite, but one of them all is not finite if one is not.
    if not gatherer.is_own and not math.isfinite(sum(samples.values)) and not all(map(math.isfinite, samples.values)):
        raise ValueError("not a finite number")
    return samples


def _gatherer(name: str, module: ModuleType) -> Gatherer:
    labels = frozenset(
        label for value in vars(module).values() for metric in _metrics(value) for label in metric.labels
    )
    optional = frozenset(getattr(module, "OPTIONAL", ()))
    return Gatherer(
        name,
        module.FILES,
        optional,
        may_be_empty=getattr(module, "MAY_BE_EMPTY", False),
        every=getattr(module, "EVERY", 0.0),
        in_node=not getattr(module, "ONLY_IF_ASKED", False),
        labels=labels,
        parse=module.parse,
        mend=getattr(module, "mend", None),
    )


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

SETS: Mapping[str, tuple[str, ...]] = {
    "node": tuple([name for name, gatherer in GATHERERS.items() if gatherer.in_node]),
    "all": tuple(GATHERERS),
}
"""What one word stands for."""


def named(names: Iterable[str], own: Iterable[Gatherer] = ()) -> list[Gatherer]:
    """Return the gatherers of these names, some of which are people's `own`."""
    known = {**GATHERERS, **{gatherer.name: gatherer for gatherer in own}}
    return [known[name] for name in names]


def files(names: Iterable[str], own: Iterable[Gatherer] = ()) -> tuple[str, ...]:
    """Return the files that these gatherers read, each once, in the order in which they ask for them."""
    read = dict.fromkeys(file for gatherer in named(names, own) for file in gatherer.files)
    return tuple([file for file in read if file not in WRITTEN])

"""[gather:NAME] -> Custom: what people gather besides what we do. What such a section may say, and what it must."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from collector.config.ini import Section
from collector.config.problems import Place, Problems, quoted
from collector.config.setting import Settings
from collector.config.values import Converters, checked, duration, items, labels

PREFIX = "gather:"
"""What the name of such a section begins with."""

READS = ("prometheus", "value", "regex", "json")
TYPES = ("gauge", "counter", "untyped")

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
METRIC = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
FILE = re.compile(r"/[\w/.*?@%:,+-]+", re.ASCII)
OURS = ("ssh_", "collector_", "process_", "python_", "scrape_")
"""How metrics begin that are ours, or Prometheus'."""

NEEDS: Mapping[str, tuple[str, ...]] = {
    "value": ("metric",),
    "regex": ("metric", "pattern"),
    "json": ("metric",),
}
"""What must be said besides, by how a command is read."""

ONLY: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("metric", "type", "help"), ("value", "regex", "json")),
    "pattern": ("regex",),
    **dict.fromkeys(("each", "value", "label_values"), ("json",)),
}
"""What says something only if a command is read in one of these ways."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom:
    """A gatherer of people's own: what a `command` writes, or what stands in `files`, and how it is read.

    Times are in seconds; an `interval` of 0 is each poll. `label_values` are names of labels, and where their values
    are.
    """

    name: str
    command: str = ""
    files: tuple[str, ...] = ()
    timeout: int = 5
    interval: float = 0.0
    read: str = "prometheus"
    metric: str = ""
    type: str = "gauge"
    help: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    pattern: str = ""
    each: str = "@"
    value: str = "@"
    label_values: tuple[tuple[str, str], ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names that its own section gives to labels."""
        groups = re.findall(r"\(\?P<(\w+)>", self.pattern)
        return (*dict(self.labels), *dict(self.label_values), *[name for name in groups if name != "value"])


CustomProblem = Callable[[Custom], tuple[str, str] | None]
"""Returns which option is wrong, and what; it knows the languages of patterns and paths."""


def custom_converters(reserved_labels: Collection[str]) -> Converters:
    """Return the options of [gather:NAME]."""
    label_pairs = partial(labels, reserved=reserved_labels)
    return checked(
        {
            "command": str,
            "files": files,
            "timeout": partial(whole_seconds, most=60),
            "interval": partial(duration, least=1, most=86_400),
            "read": partial(one_of, words=READS),
            "metric": metric,
            "type": partial(one_of, words=TYPES),
            "help": str,
            "labels": label_pairs,
            "label_values": label_pairs,
            **dict.fromkeys(("pattern", "each", "value"), str),
        }
    )


def make(section: Section, settings: Settings, problem: CustomProblem | None, problems: Problems) -> Custom | None:
    """Return what a section says; None if that is not good, which is noted."""
    place = section.place
    name = place.section.removeprefix(PREFIX)
    found = [
        (place._replace(option=option, line=line or place.line), text) for option, line, text in _faults(name, settings)
    ]
    problems.extend(found)
    if found or None in [setting.value for setting in settings.values()]:
        return None
    values: dict[str, Any] = {option: setting.value for option, setting in settings.items()}
    custom = Custom(name=name, **values)
    if problem and (fault := problem(custom)):
        option, text = fault
        where: Place = settings[option].place(option) if option in settings else place
        problems.append((where, text))
        return None
    return custom


def _faults(name: str, settings: Settings) -> Iterator[tuple[str, int, str]]:
    """Yield option, line and text of what is wrong with a section as a whole."""
    if not NAME.fullmatch(name):
        yield "", 0, "not a gatherer's name; write [gather:name] with small letters, digits and _, a letter first"
    if len({"command", "files"} & settings.keys()) != 1:
        yield "", 0, "needs either a command or files; write one of them"
    read = settings["read"].value if "read" in settings else "prometheus"
    if "files" in settings and read != "prometheus":
        yield "read", settings["read"].line, "files are read as Prometheus' text; take this away, or write a command"
    for option in NEEDS.get(read, ()):
        if option not in settings:
            yield option, 0, f"missing; read = {read} needs it"
    for option, ways in ONLY.items():
        if option in settings and read and read not in ways:
            yield option, settings[option].line, f"says nothing with read = {read}; it is for {' or '.join(ways)}"
    kind, metric_name = settings.get("type"), settings.get("metric")
    if kind and kind.value == "counter" and metric_name and not (metric_name.value or "_total").endswith("_total"):
        yield "metric", metric_name.line, f"a counter's name ends in _total; write {metric_name.value}_total"


def files(text: str) -> tuple[str, ...]:
    """Return whole paths, with commas between them; a `*` stands for anything."""
    words = items(text)
    for word in words:
        if not FILE.fullmatch(word):
            raise ValueError(f"not the whole path of files: {quoted(word)}; write one such as /var/lib/metrics/*.prom")
    return words


def metric(text: str) -> str:
    """Return the name of a metric that is nobody else's."""
    if not METRIC.fullmatch(text):
        raise ValueError(f"not a metric's name: {quoted(text)}; write letters, digits and _, and no digit first")
    if text.startswith(OURS):
        raise ValueError(f"{quoted(text)} begins as the collector's or Prometheus' own do; choose another name")
    return text


def one_of(text: str, words: Collection[str]) -> str:
    """Return the text, which is one of a few words."""
    if text not in words:
        raise ValueError(f"{quoted(text)} is none of {', '.join(words)}; write one of them")
    return text


def whole_seconds(text: str, most: int) -> int:
    """Return a duration of whole seconds: other ones not every machine's `timeout` knows."""
    seconds = duration(text, 1, most)
    if seconds != int(seconds):
        raise ValueError(f"not whole seconds: {quoted(text)}; write 1s, 2s or more")
    return int(seconds)

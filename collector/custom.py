"""Gatherers of people's own, out of [gather:NAME]: how what a command writes, or stands in files, becomes samples.

What is read was written by anybody: every reader is a total function of linear time (patterns are RE2's, which never
goes back; JSON has a bounded depth), and what is wrong with a text takes away nothing but the samples of its gatherer.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from prometheus_client.parser import text_string_to_metric_families

from collector.config import Custom, Machine
from collector.config.custom import OURS
from collector.gather import MOST_LABEL, MOST_SERIES, Gatherer
from collector.metric import Counter, Gauge, Identity, Metric, Sample, Untyped, identity
from collector.probe import ran, run
from collector.turns import give_way

try:
    import re2
except ImportError:
    re2 = None

MTIME = Gauge("node_textfile_mtime_seconds", "When the file was last written.", "file")
SCRAPE_ERROR = Gauge("node_textfile_scrape_error", "Whether any of the files could not be read.")
FILE_ERROR = Gauge("ssh_textfile_error_info", "Why a file of metrics has been left out; always 1.", "file", "error")

KINDS: dict[str, type[Metric]] = {"gauge": Gauge, "counter": Counter}

NO_RE2 = "needs the package google-re2; install it beside the collector (pip install google-re2)"

Read = Callable[[str], Iterable[Sample]]


def problem(custom: Custom) -> tuple[str, str] | None:
    """Return which option has an expression that cannot be used, and why; None if all are good."""
    if custom.pattern:
        if re2 is None:
            return "read", NO_RE2
        try:
            groups = compiled(custom.pattern).groupindex
        except re2.error as error:
            return "pattern", f"not a regular expression of RE2: {_text(error)}; mend it"
        if "value" not in groups:
            return "pattern", "has no group of the name value; write (?P<value>...) around the number"
        if fault := next((name for name in groups if name in dict(custom.labels)), ""):
            return "labels", f"{fault} is a group of the pattern, too; take one away"
    for option in ("each", "value"):
        if fault := _path_fault(getattr(custom, option)):
            return option, fault
    return next((("label_values", fault) for _, path in custom.label_values if (fault := _path_fault(path))), None)


def _path_fault(path: str) -> str:
    try:
        jmespath.compile(path)
    except JMESPathError as error:
        return f"not a path of JMESPath: {str(error).splitlines()[0][:100]}; mend it"
    return ""


def _text(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return (reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason))[:100]


@lru_cache
def compiled(pattern: str) -> Any:
    """Return a pattern in which ^ and $ stand for the beginning and the end of each line."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(f"(?m){pattern}", options)


def own(machine: Machine) -> tuple[Gatherer, ...]:
    """Return the gatherers of people's own that a machine has."""
    labels = frozenset(["instance", *dict(machine.labels)])
    return tuple([gatherer(one, labels) for one in machine.custom])


@lru_cache(maxsize=1024)
def gatherer(custom: Custom, taken: frozenset[str] = frozenset()) -> Gatherer:
    """Return the gatherer that a section asks for; labels that are `taken` are the machine's own."""
    if custom.files:
        files = " ".join(custom.files)
        command = f"stat -c '%Y %s %n' {files}; echo; grep -s ^ /dev/null {files}; :"
        read: Read = partial(read_files, taken=taken)
    else:
        command = custom.command
        read = _reader(custom, taken)
    return Gatherer(
        custom.name,
        (run(command, custom.timeout),),
        frozenset(),
        may_be_empty=custom.read in ("prometheus", "json"),
        every=custom.interval,
        in_node=False,
        labels=frozenset(MTIME.labels if custom.files else custom.label_names),
        parse=lambda text: read(ran(text)),
        mend=None,
        is_own=True,
    )


def _reader(custom: Custom, taken: frozenset[str]) -> Read:
    if custom.read == "prometheus":
        return partial(read_prometheus, taken=taken, labels=custom.labels)
    reads = {"value": read_value, "regex": read_regex, "json": read_json}
    return partial(reads[custom.read], custom)


def read_value(custom: Custom, text: str) -> Iterator[Sample]:
    """Read one number."""
    yield _metric(custom, ())(float(text), *dict(custom.labels).values())


def read_regex(custom: Custom, text: str) -> Iterator[Sample]:
    """Read what the pattern matches: the group `value` is the number, the others are labels."""
    pattern = compiled(custom.pattern)
    names = [name for name in pattern.groupindex if name != "value"]
    metric = _metric(custom, names)
    for number, match in enumerate(pattern.finditer(text)):
        _check_number(number)
        groups = match.groupdict()
        yield metric(float(groups["value"]), *dict(custom.labels).values(), *[groups[name] or "" for name in names])


def read_json(custom: Custom, text: str) -> Iterator[Sample]:
    """Read `value`, and the values of labels, of `each` that is found in JSON."""
    try:
        found = _search(custom.each, json.loads(text))
        metric = _metric(custom, dict(custom.label_values))
        for number, one in enumerate(found if isinstance(found, list) else [] if found is None else [found]):
            _check_number(number)
            labels = [_label(_search(path, one)) for _, path in custom.label_values]
            yield metric(_number(_search(custom.value, one), custom.value), *dict(custom.labels).values(), *labels)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def _search(path: str, data: Any) -> Any:
    try:
        return jmespath.search(path, data)
    except JMESPathError as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None


def _number(found: Any, path: str) -> float:
    if isinstance(found, bool | int | float | str):
        return float(found)
    raise ValueError(f"{path}: not a number: {type(found).__name__}")


def _label(found: Any) -> str:
    return "" if found is None else found if isinstance(found, str) else json.dumps(found)


def _metric(custom: Custom, names: Iterable[str]) -> Metric:
    return metric(custom.type, custom.metric, custom.help or f"From {custom.name}.", (*dict(custom.labels), *names))


@lru_cache(maxsize=4096)
def metric(kind: str, name: str, help: str, labels: tuple[str, ...]) -> Metric:
    """Return a metric, the same one each time. A counter whose name does not say so is of no type."""
    is_counter = kind == "counter" and name.endswith("_total")
    return (KINDS[kind] if kind == "gauge" or is_counter else Untyped)(name, help, *labels)


def _check_number(number: int) -> None:
    if number >= MOST_SERIES:
        raise ValueError(f"more than {MOST_SERIES} series")


BARE_COUNTER = re.compile(r"^#[ \t]+TYPE[ \t]+([^ \t\n]+)[ \t]+counter[ \t]*$", re.MULTILINE)
"""The type of a counter, whose name may not end as it should."""


def read_prometheus(text: str, taken: frozenset[str], labels: tuple[tuple[str, str], ...] = ()) -> Iterator[Sample]:
    """Read Prometheus' text format. Labels that are `taken` get the prefix that Prometheus gives them, `exported_`."""
    bare = {name for name in BARE_COUNTER.findall(text) if not name.endswith("_total")}
    number = 0
    for family in text_string_to_metric_families(text if text.endswith("\n") else f"{text}\n"):
        help = family.documentation or "Not described where it comes from."
        for name, given, value, timestamp, *_ in family.samples:
            _check_number(number)
            number += 1
            if number % AT_A_TIME == 0:
                give_way()
            if timestamp is not None:
                raise ValueError(f"{name} has a time; take it away")
            if name.startswith(OURS) or ":" in name:
                raise ValueError(f"{name[:100]} begins as the collector's own do, or has a colon")
            # The parser has put _total behind it.
            true_name = name.removesuffix("_total") if name.removesuffix("_total") in bare else name
            pairs = {f"exported_{label}" if label in taken else label: one for label, one in given.items() if one}
            pairs |= labels
            yield metric(family.type, true_name, help[:MOST_HELP], tuple(pairs))(value, *pairs.values())


AT_A_TIME = 100
"""Series of a text that are read before others have their turn; they take a millisecond."""
MOST_HELP = 1000
"""Characters of a metric's description."""

HEAD = re.compile(r"(?P<mtime>[0-9]{1,19}) (?P<size>[0-9]{1,19}) (?P<file>/.*)")


def read_files(text: str, taken: frozenset[str]) -> Iterator[Sample]:
    """Read `MTIME SIZE FILE` of each file, an empty line, and `FILE:LINE` for each line of each.

    A file that cannot be read takes away none of the others.
    """
    heads, _, lines = text.partition("\n\n") if not text.startswith("\n") else ("", "", text[1:])
    failed = False
    seen: set[Identity] = set()
    found = [HEAD.fullmatch(line) for line in filter(None, heads.split("\n"))]
    texts = _texts_of(lines, [match["file"] for match in found if match])
    for match in found:
        if match is None:
            raise ValueError("not what stat says of a file")
        file = match["file"]
        yield MTIME(float(match["mtime"]), file)
        try:
            if file not in texts and match["size"] != "0":
                raise ValueError("may not be read")
            samples = list(read_prometheus(texts.get(file, ""), taken))
            keys = {identity(one.metric, one.labels) for one in samples}
            if len(keys) != len(samples) or keys & seen:
                raise ValueError("a series twice")
        except (ValueError, LookupError, ArithmeticError) as error:
            yield FILE_ERROR(1.0, file, " ".join(str(error).split())[:MOST_LABEL])
            failed = True
            continue
        seen |= keys
        yield from samples
    yield SCRAPE_ERROR(float(failed))


def _texts_of(lines: str, files: Iterable[str]) -> dict[str, str]:
    """Return the text of each file, out of `FILE:LINE` for each line."""
    begins = re.compile(f"({'|'.join(map(re.escape, sorted(files, key=len, reverse=True))) or '(?!)'}):")
    texts: dict[str, list[str]] = {}
    for line in filter(None, lines.split("\n")):
        if match := begins.match(line):
            texts.setdefault(match[1], []).append(f"{line[match.end() :]}\n")
    return {file: "".join(parts) for file, parts in texts.items()}

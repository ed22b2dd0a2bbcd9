"""What dashboards and rules ask for: PromQL taken apart, and Grafana's variables filled in."""

import re
from collections.abc import Iterator, Mapping, Sequence

STRING = r""" "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `[^`]*` """

TOKEN = re.compile(
    rf"""
      (?P<space> \s+ | \#[^\n]* )
    | (?P<string> {STRING} )
    | (?P<range> \[[^\]]*\] )
    | (?P<braces> \{{ (?: {STRING} | [^}}"'`] )* \}} )
    | (?P<name> [A-Za-z_:][\w:]* )
    | (?P<comparison> [=!]= | [<>]=? )
    | (?P<other> [\d.][\w.]* | . )
    """,
    re.VERBOSE | re.DOTALL,
)

LABELS_FOLLOW = {"by", "without", "on", "ignoring", "group_left", "group_right"}

AGGREGATIONS = {
    "avg", "bottomk", "count", "count_values", "group", "max", "min", "quantile", "stddev", "stdvar", "sum", "topk",
}  # fmt: skip

WORDS = {"and", "atan2", "bool", "inf", "nan", "offset", "or", "unless"} | LABELS_FOLLOW | AGGREGATIONS

Token = tuple[str, str]
"""What it is (a group of TOKEN), and its text."""

Values = Mapping[str, str | Sequence[str]]
"""What Grafana's variables stand for; a list is that of one from which several may be chosen."""

VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::\w+)?\}|\[\[(\w+)(?::\w+)?\]\]")

REFRESHED = re.compile(r"label_values\(\s*(?:(?P<series>.+),)?\s*(?P<label>\w+)\s*\)", re.DOTALL)
"""The query of a variable that has what a label has."""


def tokens(text: str) -> list[Token]:
    """Return an expression in parts; joined they are the expression."""
    return [(match.lastgroup or "", match[0]) for match in TOKEN.finditer(text)]


def selectors(text: str) -> list[str]:
    """Return the vector selectors of an expression, each once, without ranges and offsets."""
    return list(dict.fromkeys(_selectors([token for token in tokens(text) if token[0] != "space"])))


def _selectors(parts: Sequence[Token]) -> Iterator[str]:
    labels = False
    for number, (kind, part) in enumerate(parts):
        before = parts[number - 1] if number else ("", "")
        after = parts[number + 1] if number + 1 < len(parts) else ("", "")
        labels = (labels and before[1] != ")") or (part == "(" and before[1].lower() in LABELS_FOLLOW)
        is_metric = kind == "name" and not labels and after[1] != "(" and part.lower() not in WORDS
        if is_metric:
            yield part + after[1] if after[0] == "braces" else part
        elif kind == "braces" and (before[0] != "name" or before[1].lower() in WORDS):
            yield part


def unfiltered(text: str) -> str:
    """Return the expression as it would be if it kept nothing back, to see that what it looks at is there.

    `a > b` keeps the series for which it holds; `a > bool b` gives every series of a that has its b, as 0 or 1.
    """
    parts = tokens(text)
    rest = [next((part for kind, part in parts[at + 1 :] if kind != "space"), "") for at in range(len(parts))]
    return "".join(
        f"{part} bool " if kind == "comparison" and after != "bool" else part
        for (kind, part), after in zip(parts, rest, strict=True)
    )


def fill(text: str, values: Values) -> str:
    """Return a text with its variables filled in; those without a value stay as they are, as Grafana leaves them."""

    def one(match: re.Match[str]) -> str:
        name = next(filter(None, match.groups()))
        return _text(values[name]) if name in values else match[0]

    return VARIABLE.sub(one, text)


def variables(text: str) -> set[str]:
    """Return the names of the variables of a text."""
    return {next(filter(None, match)) for match in VARIABLE.findall(text)}


def _text(value: str | Sequence[str]) -> str:
    """Return a value as Grafana puts it into PromQL: that of which there may be several is a pattern."""
    if isinstance(value, str):
        return value
    escaped = [re.sub(r"[$^*{}\[\]'+?.()|\\]", r"\\\\\g<0>", one) for one in value]
    return f"({'|'.join(escaped)})" if len(escaped) > 1 else "".join(escaped)

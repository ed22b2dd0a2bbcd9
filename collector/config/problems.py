"""What is wrong with the configuration, and where: how it is said to people."""

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

MOST_NAMED = 50


class Place(NamedTuple):
    """Where something is said; what does not apply is empty."""

    file: Path
    line: int = 0
    section: str = ""
    option: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        section = f"[{_shown(self.section)}]" if self.section else ""
        return ": ".join(filter(None, (where, f"{section} {_shown(self.option)}".strip())))


Problems = list[tuple[Place, str]]
"""What has been found so far. It is gathered, not raised: a person wants to hear all of it at once."""


def in_order(problems: Problems, files: Iterable[Path]) -> list[str]:
    """Return one line for each problem, by file and line; those of many machines in the same words are one."""
    rank = {file: number for number, file in enumerate(files)}
    ordered = sorted(problems, key=lambda problem: (rank.get(problem[0].file, len(rank)), *problem[0]))
    return list(dict.fromkeys(f"{place}: {text}" for place, text in ordered))


def nearest(word: str, words: Collection[str]) -> str:
    """Return what to say of a word that is none of `words`."""
    close = difflib.get_close_matches(word, words, 1)
    if close:
        return f"did you mean {close[0]}?"
    more = f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
    return f"there are: {', '.join(sorted(words)[:MOST_NAMED])}{more}"


def quoted(text: str) -> str:
    """Return a text in quotes: on one line, and not too long."""
    return repr(text if len(text) <= 80 else text[:79] + "…")


def _shown(name: str) -> str:
    return name if name.isprintable() else repr(name)[1:-1]

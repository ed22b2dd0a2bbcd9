"""What the machines of fixtures/<gatherer>/ said, file by file."""

import re
from collections.abc import Iterator
from pathlib import Path

from collector.gather import GATHERERS
from collector.probe import MATCH, is_pattern, read_clock

FIXTURES = Path(__file__).parents[1] / "fixtures"
CUT = "--- metrics ---\n"
HEAD = re.compile(r"^--- (\S+) ---\n", re.MULTILINE)
MATCHING = re.compile(r"^=== (\S+) ===\n", re.MULTILINE)


def paths(name: str) -> list[Path]:
    """The fixtures of a gatherer, by name."""
    return sorted((FIXTURES / name).glob("*.txt"))


def said(name: str, text: str) -> dict[str, str]:
    """What a machine says whose every file has this text."""
    return dict.fromkeys(GATHERERS[name].files, text)


def texts(name: str, text: str) -> dict[str, str]:
    """What the machine of a fixture says: the text of each file, in the order of the gatherer's files."""
    if name == "time":
        return said(name, read_clock(text)[0])
    before, *parts = HEAD.split(text)
    if not parts:
        return said(name, text)
    assert not before
    given = {
        file: MATCHING.sub(lambda match: f"{MATCH}{match[1]}\n", part) if is_pattern(file) else part
        for file, part in zip(parts[::2], parts[1::2], strict=True)
    }
    assert given.keys() <= set(GATHERERS[name].files)
    return said(name, "") | given


def machines(name: str) -> Iterator[dict[str, str]]:
    """What each machine says that the gatherer has a fixture of."""
    for path in paths(name):
        yield texts(name, path.read_text().partition(CUT)[0])

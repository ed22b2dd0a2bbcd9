"""Ini files -> sections whose every value knows its line; the only module that knows configparser.

Section names are case-sensitive (they become label values), option names are not. A comment is a line that begins with
`;` or `#`, or what follows ` ;` on a line. A value goes on in the next line if that is indented; what begins with `[`
is a section all the same.
"""

import configparser
import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from collector.config.problems import Place, Problems, quoted

HEADER = re.compile(r"\s*\[(?P<name>.*?)\]\s*(?:[;#].*)?")


class Section(NamedTuple):
    """A section as it is in its file: line, name and text of each option, in order and with duplicates."""

    place: Place
    options: list[tuple[int, str, str]]

    def place_of(self, line: int, option: str) -> Place:
        """Return the place of an option."""
        return self.place._replace(line=line, option=option)


def read(file: Path, problems: Problems) -> list[Section]:
    """Return the sections of a file, in order and with duplicates; none if it cannot be read."""
    lines = _text(file, problems).split("\n")
    parser = _LineParser(delimiters=("=",), inline_comment_prefixes=(";",), interpolation=None, strict=True)
    try:
        parser.read_file(parser.feed(lines))
    except configparser.ParsingError as error:
        # Raised at the end, when all that could be read has been; its line 1 is the header that we put first.
        text = "neither a [section] nor name = value; if it goes on from the line above, indent it"
        problems.extend((Place(file, line - 1), text) for line, _ in error.errors)
    return list(_sections(file, lines, parser, problems))


class _LineParser(configparser.ConfigParser):
    """Names each section by the number of its line, and puts the number before the name of each option.

    So every value knows its line, and configparser finds nothing twice: it would stop at the first duplicate.
    """

    line = 0

    def optionxform(self, optionstr: str) -> str:
        """Return the option's name with its line before it: the last line that `feed` has given."""
        return f"{self.line} {optionstr.lower()}"

    def feed(self, lines: Iterable[str]) -> Iterator[str]:
        """Yield the lines with each header replaced, and first a header for what stands before the first section."""
        yield "[0]"
        for self.line, line in enumerate(lines, 1):
            yield f"[{self.line}]" if line.lstrip().startswith("[") else line


def _sections(file: Path, lines: list[str], parser: _LineParser, problems: Problems) -> Iterator[Section]:
    """Yield the parser's sections with their own names and places."""
    for number in parser.sections():
        header = int(number)
        name = _name(file, header, lines[header - 1], problems) if header else ""
        options = []
        for key, text in parser.items(number):
            line, _, option = key.partition(" ")
            if option:
                options.append((int(line), option, text))
        section = Section(Place(file, header, name), options)
        if header:
            yield section
        else:
            outside = "stands before the first section; move it under [collector], [defaults] or a machine"
            problems.extend((section.place_of(line, option), outside) for line, option, _ in options)


def _name(file: Path, number: int, line: str, problems: Problems) -> str:
    """Return the name in a line that begins with `[`; if the line is wrong a guess, so that what follows is checked."""
    if match := HEADER.fullmatch(line):
        return match["name"].strip()
    name, bracket, rest = line.strip()[1:].partition("]")
    if bracket:
        text = f"{quoted(rest.strip())} after the section's name; take it away, or put ; before it"
    else:
        text = "the section's name has no end; put a ] behind it"
    problems.append((Place(file, number), text))
    return name.strip()


def _text(file: Path, problems: Problems) -> str:
    """Return the text of a file, its lines ended by a newline alone; empty if it cannot be read."""
    try:
        data = file.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        text = data.decode("utf-8-sig")
    except OSError as error:
        problems.append((Place(file), f"cannot be read: {error.strerror}; name a file that is there and may be read"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        wrong = error.object[error.start]
        problems.append((Place(file, line), f"not UTF-8 (the byte 0x{wrong:02x}); save the file as UTF-8 text"))
    else:
        nul = text.find("\0")
        if nul < 0:
            return text
        problems.append((Place(file, text.count("\n", 0, nul) + 1), "not text (a NUL character); write the file anew"))
    return ""


def matching(pattern: str, folder: Path) -> list[Path]:
    """Return the files that a pattern names, by name; relative to `folder`.

    None is well if the pattern has a wildcard: there may be nothing yet. Else, and where the folder cannot be listed
    (which to glob looks like an empty one), OSError.
    """
    pattern = os.path.expanduser(pattern)
    found = sorted(glob.glob(pattern, root_dir=folder))
    if not found:
        wildcard = re.search(r"[*?[]", pattern)
        if not wildcard:
            os.stat(folder / pattern)
        elif os.path.exists(listed := folder / os.path.dirname(pattern[: wildcard.start()])):
            os.scandir(listed).close()
    return [folder / name for name in found]

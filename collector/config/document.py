"""YAML files -> values whose every field knows its line: the only module that reads them.

A `Document` takes a mapping apart with a converter for each field that there may be. Nothing stops at a problem: it is
noted with its place, and the field is left without a value.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from collector.config.problems import Place, Problems, nearest, quoted

LARGEST = 1_048_576
"""Bytes of any file that is read, such as all the authorities of a system."""
LONGEST = 65_536
"""Bytes of YAML; everybody waits while it is taken apart, for a tenth of a second."""
NULL, BOOL = "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"

Contents = Mapping[Path, bytes | str]
"""What was in files when they were read, or why they could not be."""


def content(file: Path) -> bytes | str:
    """Return what is in a file, or why it cannot be read. Never waits for another program, as a FIFO would."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                return "Is a directory" if stat.S_ISDIR(mode) else "Is no regular file"
            found = stream.read(LARGEST + 1)
    except OSError as error:
        return str(error.strerror)
    except ValueError:
        return "Is no path"
    return found if len(found) <= LARGEST else "Is too large"


class Value(NamedTuple):
    """The value of a field, and the line of its name; None where the value is wrong (and noted)."""

    line: int
    value: Any


Fields = dict[str, Value]
Converter = Callable[["Document", Node, str], Any]
"""Makes the value of a field of a node and the field's whole name; None if that is wrong, which it notes."""


class Document:
    """One file while it is read: notes what is wrong in `problems`, and what was in which file in `contents`."""

    def __init__(self, file: Path, problems: Problems) -> None:
        self.file = file
        self.problems = problems
        self.contents: dict[Path, bytes | str] = {}

    def wrong(self, where: Node | int, name: str, fault: str) -> None:
        """Note what is wrong with a field, at a node or in a line."""
        line = where if isinstance(where, int) else where.start_mark.line + 1
        self.problems.append((Place(self.file, line, option=name), fault))

    def content(self, file: Path) -> bytes | str:
        """Return what is in a file, or why it cannot be read; looks only once."""
        if file not in self.contents:
            self.contents[file] = content(file)
        return self.contents[file]

    def root(self) -> Node | None:
        """Return what stands in the file; None if it cannot be read, or holds nothing."""
        found = self.content(self.file)
        if isinstance(found, str):
            self.wrong(0, "", f"cannot be read: {found}; name a file that is there and may be read")
            return None
        if len(found) > LONGEST:
            self.wrong(0, "", f"longer than {LONGEST // 1024} KiB; name what is long by a file of its own")
            return None
        try:
            root = yaml.compose(found.decode("utf-8-sig"), yaml.SafeLoader)
        except UnicodeDecodeError:
            self.wrong(0, "", "not UTF-8; save the file as UTF-8 text")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            fault = ", ".join(filter(None, (error.context, error.problem)))
            self.wrong(mark.line + 1 if mark else 0, "", f"not YAML: {fault}; mend it there")
        except (yaml.YAMLError, RecursionError):
            self.wrong(0, "", "not YAML: control characters, or nested too deeply; write the file anew")
        else:
            if root is None:
                self.wrong(0, "", "is empty; write its fields, or do not name the file")
            return root
        return None

    def fields(self, node: Node, name: str, converters: Mapping[str, Converter]) -> Fields:
        """Return the fields of a mapping, each with what its converter makes of it."""
        found: Fields = {}
        for line, key, below in self.pairs(node, name):
            whole = f"{name}.{key}" if name else key
            if key in found:
                self.wrong(line, whole, f"is set in line {found[key].line} already; take one of them away")
            elif key not in converters:
                self.wrong(line, whole, f"unknown field; {nearest(key, converters)}")
            else:
                found[key] = Value(line, converters[key](self, below, whole))
        return found

    def pairs(self, node: Node, name: str) -> Iterator[tuple[int, str, Node]]:
        """Yield line, key and value of a mapping's entries; a mapping without any is wrong."""
        if not isinstance(node, MappingNode) or not node.value:
            fault = (
                "has no fields; write them below it, indented, or take it away" if name else "has no fields; write them"
            )
            self.wrong(node, name, fault)
            return
        for key, below in node.value:
            if (field := word(key)) is not None:
                yield key.start_mark.line + 1, field, below
            else:
                self.wrong(key, name, "a field whose name is no word; write name: value")


def value(fields: Fields, name: str) -> Any:
    """Return the value of a field; None if it is not there, or wrong."""
    return fields[name].value if name in fields else None


# Nodes -> values


def word(node: Node) -> str | None:
    """Return what a node says in one word or line, be it a text, a number or nothing; None if it is no such node."""
    return str(node.value) if isinstance(node, ScalarNode) else None


def mapping(document: Document, node: Node, name: str) -> Node:
    """Leave a mapping as it is, to be taken apart later."""
    return node


def text(document: Document, node: Node, name: str) -> str | None:
    """Return a text; 1 and yes are texts too."""
    if node.tag != NULL and (found := word(node)):
        return found
    document.wrong(node, name, "has no value; write one, or take the line away")
    return None


def switch(document: Document, node: Node, name: str) -> bool | None:
    """Return whether it is true, in any of the words of YAML 1.1."""
    found = yaml.SafeLoader.bool_values.get((word(node) or "").lower()) if node.tag == BOOL else None
    if found is None:
        document.wrong(node, name, "neither true nor false; write one of them")
    return found


def one_of(words: Collection[str], others: Mapping[str, str] | None = None) -> Converter:
    """Return a converter that takes these words; `others` has what is to be said of some that are wrong."""

    def convert(document: Document, node: Node, name: str) -> str | None:
        found = text(document, node, name)
        if found is None or found in words:
            return found
        document.wrong(node, name, (others or {}).get(found) or f"{quoted(found)} is unknown; {nearest(found, words)}")
        return None

    return convert


def list_of(converter: Converter) -> Converter:
    """Return a converter that takes a list of at least one of what another takes."""

    def convert(document: Document, node: Node, name: str) -> tuple[Any, ...] | None:
        if not isinstance(node, SequenceNode) or not node.value:
            document.wrong(node, name, "no list; write - and a value on each line below it, or take it away")
            return None
        found = tuple(converter(document, item, name) for item in node.value)
        return None if None in found else found

    return convert


def refused(fault: str) -> Converter:
    """Return a converter for a field that there is elsewhere, and that is always wrong here."""

    def convert(document: Document, node: Node, name: str) -> None:
        document.wrong(node, name, fault)

    return convert

"""Tables in a Markdown file, each cell of which a test answers for.

    table = Matrix(TREE / "docs/targets.md", "dropbear", rows=SHELLS, columns=KINDS)
    table.check("fish", "rsa-3072", "up", regen)        # the cell says so; with regen it is made to

A table is what follows the heading of its name.
"""

import re
from collections.abc import Sequence
from pathlib import Path


class Matrix:
    """One table: the first line has the columns, each other line begins with its row."""

    def __init__(self, path: Path, heading: str, rows: Sequence[str], columns: Sequence[str]) -> None:
        self._path = path
        self._pattern = re.compile(rf"(?<=^### {re.escape(heading)}\n\n)(\|.*\n)+", re.MULTILINE)
        self.rows = tuple(rows)
        self.columns = tuple(columns)

    def check(self, row: str, column: str, seen: str, regen: bool) -> None:
        """Hold a cell to what was seen, or write that into it."""
        cells = self.cells()
        if regen:
            self._write({**cells, (row, column): seen})
        else:
            assert cells.get((row, column)) == seen, f"{self._path.name} says otherwise: pytest --regen, read the diff"

    def cells(self) -> dict[tuple[str, str], str]:
        """What the file says: (row, column) → text."""
        found = self._pattern.search(self._path.read_text())
        assert found, f"{self._path} has no table under {self._pattern.pattern}"
        head, _, *lines = [_words(line) for line in found[0].splitlines()]
        return {(line[0], column): text for line in lines for column, text in zip(head[1:], line[1:], strict=True)}

    def _write(self, cells: dict[tuple[str, str], str]) -> None:
        lines = [["", *self.columns], ["---"] * (len(self.columns) + 1)]
        lines += [[row, *(cells.get((row, column), "?") for column in self.columns)] for row in self.rows]
        table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        self._path.write_text(self._pattern.sub(lambda _: table, self._path.read_text()))


def _words(line: str) -> list[str]:
    return [word.strip() for word in line.strip().strip("|").split("|")]

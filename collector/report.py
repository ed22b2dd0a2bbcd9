"""Tables that grow row by row in a terminal, and a progress bar under them."""

import os
import sys
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import TextIO

RED, GREEN, YELLOW = "31", "32", "33"

BAR = 30
PATIENCE = 1.0
"""Seconds before a progress bar is worth showing."""


def colour(text: str, code: str, stream: TextIO = sys.stdout) -> str:
    """Colour a text, on a terminal whose owner has not said NO_COLOR."""
    return f"\x1b[{code}m{text}\x1b[0m" if stream.isatty() and not os.environ.get("NO_COLOR") else text


class Table:
    """Rows of fixed widths, so that one can be printed before the next is known; a negative width is flush right."""

    def __init__(self, columns: Sequence[tuple[str, int]]) -> None:
        self._widths = [width for _, width in columns]
        self.row([title for title, _ in columns])

    def row(self, cells: Iterable[str], code: str = "") -> None:
        """Print a row; the second cell, which tells the state, has the colour."""
        padded = [
            cell.rjust(-width) if width < 0 else cell.ljust(width)
            for cell, width in zip(cells, self._widths, strict=True)
        ]
        if code:
            padded[1] = colour(padded[1], code)
        print("  ".join(padded).rstrip(), flush=True)


class Progress:
    """How many are done, as a bar on standard error, if that is a terminal and it takes longer than a second."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = monotonic()
        self._shown = False

    def show(self, done: int) -> None:
        """Draw the bar."""
        if sys.stderr.isatty() and monotonic() - self._began > PATIENCE:
            self._shown = True
            full = BAR * done // max(1, self._total)
            print(f"\r[{'#' * full}{' ' * (BAR - full)}] {done}/{self._total}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Wipe the bar away."""
        if self._shown:
            self._shown = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def seconds(value: float) -> str:
    """Render a duration: 1.25 s, 12.3 ms, 45 µs."""
    size = abs(value)
    if size >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.1f} ms" if size >= 1e-3 else f"{value * 1e6:.0f} µs"


def one_line(text: str, width: int) -> str:
    """Cut a text to a width."""
    return text if len(text) <= width else text[: width - 1] + "…"

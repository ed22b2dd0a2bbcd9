"""Numbers for people: tables, and medians with their spread."""

import statistics
from collections.abc import Mapping, Sequence


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies; they are in order."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median of some values, the least and the greatest."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right, numbers to three digits."""
    cells = [list(head), *([text(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        "| "
        + " | ".join(place(cell, width, at) for at, (cell, width) in enumerate(zip(row, widths, strict=True)))
        + " |"
        for row in [cells[0], ruler, *cells[1:]]
    ]
    return "\n".join(lines)


def place(cell: str, width: int, column: int) -> str:
    """Return a cell filled up to its column's width."""
    return cell.rjust(width) if column else cell.ljust(width)


def text(cell: object) -> str:
    """Return a number to three digits, anything else as it is."""
    if not isinstance(cell, float):
        return str(cell)
    if abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.3g}"


def told(latency: Mapping[str, float]) -> str:
    """Return the figures of benchmarks.latency as two sentences."""
    return (
        "{machines} machines behind a slow line: a sweep takes {sweep_seconds:.3f} s, {over_slowest:.2f} times its "
        "slowest poll; one machine after another would take {under_sequential:.1f} times as long."
    ).format(**latency)

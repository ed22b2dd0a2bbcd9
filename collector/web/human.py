"""Numbers as people read them: 3 s ago, +1.2 ms, 3.1 / 15.6 GiB."""

import math

NOTHING = "–"
SPACE = "\N{NO-BREAK SPACE}"
DURATIONS = (
    (0.9995e-3, 1e-6, "µs", 0),
    (9.95e-3, 1e-3, "ms", 1),
    (0.9995, 1e-3, "ms", 0),
    (9.995, 1, "s", 2),
    (59.95, 1, "s", 1),
    (5400, 60, "min", 0),
    (172800, 3600, "h", 1),
    (math.inf, 86400, "d", 0),
)
"""Up to so many seconds, this unit, with so many digits behind the point; what rounds up goes to the next."""


def duration(seconds: float) -> str:
    """Say how long: 850 µs, 1.2 ms, 43 ms, 1.24 s, 2 min, 3.0 h, 12 d."""
    size = abs(seconds)
    if not math.isfinite(size):
        return NOTHING
    _, unit, name, digits = next(row for row in DURATIONS if size < row[0])
    return f"{seconds / unit:.{digits}f}{SPACE}{name}"


def offset(seconds: float) -> str:
    """Say how far a clock is off, with its sign: +1.2 ms, −350 µs."""
    text = duration(abs(seconds))
    sign = "\N{MINUS SIGN}" if seconds < 0 else "+"
    return text if text == NOTHING else sign + text


def ago(seconds: float) -> str:
    """Say how long ago, in whole units: now, 3 s ago, 2 min ago."""
    if seconds < 1:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{seconds // size:.0f}{SPACE}{unit} ago"
    return NOTHING


def memory(used: float, total: float) -> str:
    """Say how much of how much, in the unit of the whole: 3.1 / 15.6 GiB."""
    for size, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if total >= size:
            return f"{used / size:.1f}{SPACE}/{SPACE}{total / size:.1f}{SPACE}{unit}"
    return NOTHING


def load(value: float) -> str:
    """Say a load average: 0.52, 17.4, 1024."""
    if not math.isfinite(value):
        return NOTHING
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def count(number: int, noun: str) -> str:
    """Say how many: 1 machine, 10,000 machines."""
    return f"{number:,}{SPACE}{noun}{'' if number == 1 else 's'}"

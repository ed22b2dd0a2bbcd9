"""Where a process spends its time: py-spy's stacks, as a table of functions."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.table import table

RATE = 200
"""Samples a second."""

PLACE = re.compile(r"\((?:.*/(?:site-packages|python3\.\d+)/|/.*?(?=collector/))?(.*?)(?::\d+)?\)$")

IDLE = "_WorkerGreenlet.run (gevent/threadpool.py)"
"""A thread that waits for work is no work, though py-spy takes it for some."""


@contextmanager
def spied(pid: int, seconds: float, path: Path | None) -> Iterator[None]:
    """Let py-spy write the stacks of a process to a file for a while; nothing without a file."""
    if path is None:
        yield
        return
    spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--format", "raw"]
    argv = [*spy, "--duration", f"{seconds:.0f}", "--rate", str(RATE), "--output", str(path)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        yield
        process.wait()


def show(path: Path, most: int = 40) -> str:
    """Return the functions that most time is spent in: by itself, and with all that they call.

    What the garbage collector takes is in the function that happened to allocate: a trivial line with a great share.
    """
    itself: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for stack, samples in stacks(path):
        itself[stack[-1]] += samples
        whole.update(dict.fromkeys(stack, samples))
    total = itself.total()
    rows = [(name, 100 * itself[name] / total, 100 * count / total) for name, count in whole.most_common()]
    return table(("function", "itself %", "with callees %"), sorted(rows, key=lambda row: -row[1])[:most])


def stacks(path: Path) -> Iterator[tuple[list[str], int]]:
    """Yield the stacks of py-spy's raw format, outermost first, and how often each was seen."""
    for line in path.read_text().splitlines():
        frames, _, samples = line.rpartition(" ")
        names = [PLACE.sub(r"(\1)", frame) for frame in frames.split(";") if frame]
        if names and IDLE not in names:
            yield names, int(samples)

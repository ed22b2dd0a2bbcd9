"""How many processes and threads there are, and may be, from /proc/[pid]/stat and /proc/sys/kernel (proc(5)).

A process is some 230 bytes, and an answer has a cap: this is not for a machine with 4,000 of them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from collector.metric import Gauge, Sample

MAX_PROCESSES = Gauge("node_processes_max_processes", "Process numbers that there can be.")
MAX_THREADS = Gauge("node_processes_max_threads", "Threads that there can be.")
PIDS = Gauge("node_processes_pids", "Processes.")
THREADS = Gauge("node_processes_threads", "Threads of all processes.")
STATE = Gauge("node_processes_state", "Processes in this state, as ps names it.", "state")

FILES = ("/proc/[0-9]*/stat", "/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max")
ONLY_IF_ASKED = True

STATES = "DIRSTZ"
"""Those that there nearly always are: asleep on a disk, idle, running, asleep, stopped, dead and not reaped."""

# A name may have blanks, parentheses and newlines in it.
STAT = re.compile(r"[0-9]{1,9} \(.*\) ([A-Za-z]) (?:-?[0-9]{1,20} ){16}([0-9]{1,9}) ", re.DOTALL)


def parse(stats: Mapping[str, str], pid_max: str, threads_max: str) -> Iterator[Sample]:
    """Read of each process `1 (systemd) S 0 1 1 ...`: its state, and the 20th number, how many threads it has."""
    found = read(stats.values())
    yield MAX_PROCESSES(float(int(pid_max)))
    yield MAX_THREADS(float(int(threads_max)))
    yield PIDS(float(len(found)))
    yield THREADS(float(sum(int(threads) for _, threads in found)))
    for state, processes in count(state for state, _ in found):
        yield STATE(float(processes), state)


def read(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Return the state, and how many threads there are, from each text of such a file.

    One that ended meanwhile has none. Nor has one that puts a character of the probe's into its name: nobody may spoil
    what is said of the others.
    """
    found = [(match[1], match[2]) for text in texts if (match := STAT.match(text))]
    if not found:
        raise ValueError("no process")
    return found


def count(states: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield how many are in each state: in one of STATES, also if none is, and in any other that there is."""
    counts = Counter(states)
    for state in sorted({*STATES, *counts}):
        yield state, counts[state]

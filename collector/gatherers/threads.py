"""How many threads are in each state, from /proc/[pid]/task/[tid]/stat (proc(5)).

node_exporter has this beside what `processes` has. A thread is some 260 bytes, and an answer has a cap: this is not for
a machine with 3,000 of them.
"""

from collections.abc import Iterator, Mapping

from collector.gatherers.processes import count, read
from collector.metric import Gauge, Sample

STATE = Gauge("node_processes_threads_state", "Threads in this state, as ps names it.", "thread_state")

FILES = ("/proc/[0-9]*/task/[0-9]*/stat",)
ONLY_IF_ASKED = True


def parse(stats: Mapping[str, str]) -> Iterator[Sample]:
    """Read of each thread `24 (rcu_preempt) I 2 0 0 ...`: its state."""
    for state, threads in count(state for state, _ in read(stats.values())):
        yield STATE(float(threads), state)

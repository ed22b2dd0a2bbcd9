"""Tasks that hung, from /proc/sys/kernel/hung_task_detect_count (admin-guide/sysctl/kernel.rst in Linux)."""

from collections.abc import Iterator

from collector.metric import Counter, Sample

TASKS = Counter("node_kernel_hung_tasks_total", "Tasks found hanging since the machine started.")

FILES = ("/proc/sys/kernel/hung_task_detect_count",)


def parse(text: str) -> Iterator[Sample]:
    """Read a number; kernels before 6.13 do not count them."""
    yield TASKS(float(int(text)))

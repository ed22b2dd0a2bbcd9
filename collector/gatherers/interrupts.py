"""Interrupts by processor, from /proc/interrupts (proc(5)): many series, a line times a processor."""

from collections.abc import Iterator

from collector.metric import Counter, Sample

INTERRUPTS = Counter("node_interrupts_total", "Interrupts that a processor served.", "cpu", "type", "info", "devices")

FILES = ("/proc/interrupts",)
ONLY_IF_ASKED = True


def parse(text: str) -> Iterator[Sample]:
    """Read `26: 0 13 IO-APIC 4-edge ttyS0` below `CPU0 CPU1`, and `NMI: 0 0 Non-maskable interrupts`.

    `ERR: 0` and `MIS: 0` are of no processor, and passed over.
    """
    heads, *lines = text.splitlines()
    cpus = heads.split()
    if not all(cpu.startswith("CPU") for cpu in cpus):
        raise ValueError("not a table of interrupts")
    for line in lines:
        kind, _, rest = line.partition(":")
        words = rest.split()
        about = words[len(cpus) :]
        if not about:
            continue
        # What has a number names how it is wired, and then its devices; what has a name is told in words.
        wired = kind.strip().isdecimal()
        info, devices = (about[0], " ".join(about[1:])) if wired else (" ".join(about), "")
        for cpu, number in zip(cpus, words, strict=False):
            yield INTERRUPTS(float(number), cpu.removeprefix("CPU"), kind.strip(), info, devices)

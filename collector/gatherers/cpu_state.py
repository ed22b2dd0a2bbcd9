"""Which processors are online or isolated, and how often they were too hot, from /sys/devices/system/cpu."""

from collections.abc import Iterator, Mapping

from collector.gatherers.cpufreq import cpu_of
from collector.metric import Counter, Gauge, Sample

ONLINE = Gauge("node_cpu_online", "Whether the processor is in use.", "cpu")
ISOLATED = Gauge("node_cpu_isolated", "Processors that get no work by themselves; always 1.", "cpu")
CORE = Counter("node_cpu_core_throttles_total", "How often the core was slowed down for heat.", "package", "core")
PACKAGE = Counter("node_cpu_package_throttles_total", "How often the package was slowed down for heat.", "package")

PLACE = "/sys/devices/system/cpu"

FILES = (
    f"{PLACE}/present",
    f"{PLACE}/online",
    f"{PLACE}/isolated",
    f"{PLACE}/cpu*/thermal_throttle/core_throttle_count",
    f"{PLACE}/cpu*/thermal_throttle/package_throttle_count",
    # By this way they are read only where there is something to count.
    f"{PLACE}/cpu*/thermal_throttle/../topology/core_id",
    f"{PLACE}/cpu*/thermal_throttle/../topology/physical_package_id",
)
OPTIONAL = FILES[2:]
# With hundreds of processors it is thousands of files.
EVERY = 600.0

MOST_CPUS = 8192


def parse(present: str, online: str, isolated: str, *files: Mapping[str, str]) -> Iterator[Sample]:
    """Read lists of processors, `0-3,8`, and of each how often its core and its package were throttled.

    Processors of one core count the same, and so do those of one package.
    """
    on = set(read_list(online))
    for cpu in read_list(present):
        yield ONLINE(float(cpu in on), str(cpu))
    for cpu in read_list(isolated):
        yield ISOLATED(1.0, str(cpu))
    yield from throttles(*map(read_numbers, files))


def throttles(
    cores: Mapping[str, int], packages: Mapping[str, int], core_ids: Mapping[str, int], package_ids: Mapping[str, int]
) -> Iterator[Sample]:
    """Yield what is counted of each package and of each core, of numbers by their processors."""
    of_cores: dict[tuple[int, int], int] = {}
    of_packages: dict[int, int] = {}
    # Always the first of them: each is read at its own moment, and what is told of all must not go back.
    for cpu, core in core_ids.items():
        if cpu in package_ids:
            package = package_ids[cpu]
            if cpu in cores:
                of_cores.setdefault((package, core), cores[cpu])
            if cpu in packages:
                of_packages.setdefault(package, packages[cpu])
    for package, count in of_packages.items():
        yield PACKAGE(float(count), str(package))
    for (package, core), count in of_cores.items():
        yield CORE(float(count), str(package), str(core))


def read_numbers(texts: Mapping[str, str]) -> dict[str, int]:
    """Return the number that each processor's file says, but for those that do not know: they say -1."""
    return {cpu_of(path): int(text) for path, text in texts.items() if text.strip().isdecimal()}


def read_list(text: str) -> list[int]:
    """Return the numbers of `0-3,8`. Raises ValueError: it is no such list, or it is too long."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        numbers = range(int(first), int(last or first) + 1)
        if numbers.start <= (found[-1] if found else -1) or numbers.stop > MOST_CPUS:
            raise ValueError(f"not a list of processors: {text[:100]!r}")
        found += numbers
    return found

"""The same machine in every shell: the same series, and how many processes each of them starts for that."""

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from rig.matrix import Matrix
from rig.polls import GATHER
from rig.private import children
from rig.shells import TABLES
from rig.tree import BIN, machine, over, plant, seen
from test_probe import SHELLS as ALL_SHELLS
from test_probe import Shell, shell

from collector.errors import ParseError
from collector.gather import GATHERERS, SETS, files, parse
from collector.probe import CLOCK

pytestmark = pytest.mark.needs(
    "root", "namespaces", "setpriv", "bash", "dash", "busybox", "mksh", "ksh93", "yash", "zsh"
)

SHELLS = {
    "bash": "bash",
    "dash, without bash": "dash, without bash on the machine",
    "BusyBox ash": "busybox",
    "BusyBox alone": "busybox",
    "mksh": "mksh",
    "ksh93": "ksh93",
    "yash": "yash",
    "zsh": "zsh, called sh",
}
"""Their names in docs/targets.md. On one machine BusyBox is not only the shell, but every program."""

APPLETS = ("date", "grep", "head", "printf", "stat", "timeout", "uname")

ODD = {
    "/etc/os-release": "NAME='No newline at the end'\nID=odd",
    "/proc/loadavg": "0.20 0.18 0.12 1/80 11206",
    "/proc/4713/stat": f"4713 (\\\\ a:\tb\n/proc/1/stat:c) S {'1 ' * 16}3 {'0 ' * 30}\n",
    "/sys/class/dmi/id/bios_vendor": "caf\udce9 \udcfe\n",
    "/sys/class/dmi/id/bios_version": "größer ™\n",
    "/sys/class/dmi/id/board_name": "\\t $(id) `id` 'a' \"b\" $0 ${x} ! \\\\ \\\n",
    "/sys/class/dmi/id/board_vendor": "  blanks \t and tabs\t ",
    "/sys/class/dmi/id/board_version": "\n\nblank lines\n\n\n",
    "/sys/class/dmi/id/chassis_vendor": "a: b\n/sys/class/dmi/id/chassis_version:c\n/proc/loadavg:9 9 9 1/1 1\n",
    "/sys/class/dmi/id/chassis_version": "-e * ? [a-z]* %s %d\n",
    "/sys/class/dmi/id/product_family": "carriage return\r\n",
    "/sys/class/net/*[a]?\\'\"$/operstate": "up",
    "/sys/class/net/$(id)/operstate": "down\n",
    "/sys/class/net/-n/operstate": "up\n",
    "/sys/class/net/none/operstate": "",
    "/sys/class/power_supply/ucsi-source-psy-USBC000:001/uevent": "POWER_SUPPLY_ONLINE=1\nPOWER_SUPPLY_SCOPE=a:b\t\\",
    "/sys/class/power_supply/ucsi-source-psy-USBC000:001/type": "USB: C\n",
    "/sys/class/watchdog/watchdog:0/timeout": "60",
}
"""What real machines have, and worse."""


def odd() -> dict[str, str]:
    """Return what is in the files of an odd machine: the endless line is that of a big machine's interrupts."""
    given = machine(0) | ODD
    return given | {"/proc/stat": re.sub("^intr.*", f"intr 9{' 0' * 50_000}", given["/proc/stat"], flags=re.MULTILINE)}


MACHINES: Mapping[str, Callable[[], dict[str, str]]] = {
    **{f"machine {number}": partial(machine, number) for number in range(3)},
    "odd": odd,
}

PLAIN = ("load", "memory", "stat", "netstat", "os", "filesystem", "vmstat")
"""None of these has a name with a star, or a number in /proc/sys: a shell without bash reads each file by itself."""

STILL = tuple(
    [
        name
        for name in SETS["all"]
        if name == "timex" or all(file.startswith("/") or file == "filesystems" for file in GATHERERS[name].files)
    ]
)
"""What is in files, and so does not move; of what a command says there is only the clock's, which the tree has."""


def run_in(name: str, tree: Path) -> AbstractContextManager[tuple[Shell, str]]:
    """Start the probe in a shell on a machine made of files."""
    argv, _, kind = ALL_SHELLS[SHELLS[name]]
    path = BIN
    if name == "BusyBox alone":
        path = f"{BIN}:/run/applets"
        applets = tree / "run/applets"
        applets.mkdir()
        for applet in APPLETS:
            (applets / applet).symlink_to(str(shutil.which("busybox")))
    return shell(argv, {}, kind == "sh", over(tree, path))


Series = list[tuple[str, tuple[str, ...], tuple[str, ...], float]]


def series(names: Sequence[str], texts: Mapping[str, str]) -> dict[str, Series | None]:
    """Return what each gatherer makes of the texts: names, labels, their values and the value; None if it fails."""
    found: dict[str, Series | None] = {}
    for name in names:
        try:
            samples = parse(GATHERERS[name], texts)
        except ParseError:
            found[name] = None
        else:
            found[name] = sorted((metric.name, metric.labels, values, value) for metric, values, value in samples)
    return found


def unlike(name: str, which: str, tree: Path, names: Sequence[str]) -> set[str]:
    """Return the gatherers whose series in a shell are not those that are in the machine's files."""
    given = MACHINES[which]()
    if name == "yash":
        # In the locale C it ends a text where something is no ASCII.
        given = {path: text.encode("ascii", "replace").decode() for path, text in given.items()}
    plant(tree, given)
    wanted = files(names)
    there = series(names, {file: seen(given, file) for file in wanted})
    assert None not in there.values()

    with run_in(name, tree) as (one, _):
        first, second = [series(names, one.ask(number, (CLOCK, *wanted), number == 1).texts) for number in (1, 2)]

    assert first == second
    return {each for each in names if first[each] != there[each]}


@pytest.mark.parametrize("which", MACHINES)
@pytest.mark.parametrize("name", SHELLS)
def test_same_series(name: str, which: str, tmp_path: Path) -> None:
    """Every shell gives the same series, those that are in the files of the machine, whatever is in them."""
    assert unlike(name, which, tmp_path / "tree", STILL) == set()


@pytest.mark.parametrize("which", MACHINES)
@pytest.mark.parametrize("name", SHELLS)
def test_same_series_without_grep(name: str, which: str, tmp_path: Path) -> None:
    """So does one that reads each file by itself, because there are few."""
    assert unlike(name, which, tmp_path / "tree", PLAIN) == set()


# What a poll starts.

PROCESSES = Matrix(TABLES, "Processes", tuple(SHELLS), ("time, memory, load", "node", "all", "all, and timex"))


def last_process(one: Shell) -> int:
    """Return the number of a process that was started just now among those of a shell."""
    (inside,) = children(one.pid)
    argv = ["nsenter", f"--target={inside}", "--pid", "sh", "-c", "echo $$"]
    return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def started(one: Shell, wanted: Sequence[str]) -> int:
    """Ask a few times, and return how many processes each of the answers has started: numbers are given one by one."""
    one.ask(1, (CLOCK, *wanted))
    before = last_process(one)
    for number in range(2, 2 + ASKED):
        one.ask(number, (CLOCK, *wanted), names=False)
    count, rest = divmod(last_process(one) - before - 1, ASKED)
    assert rest == 0
    return count


ASKED = 3
MOST_STARTED = 3
"""Processes of one poll, whatever it is for."""


@pytest.mark.needs("nsenter")
@pytest.mark.parametrize("name", SHELLS)
def test_processes_started(name: str, tmp_path: Path, regen: bool) -> None:
    """A poll starts as many processes as the table says, whatever the machine has: in bash none but for what asks."""
    plant(tmp_path / "tree", machine(0))
    often = [each for each in SETS["all"] if not GATHERERS[each].every]
    polls = {
        "time, memory, load": files(GATHER),
        "node": files([each for each in often if each in SETS["node"]]),
        "all": files(often),
        "all, and timex": files([*often, "timex"]),
    }

    with run_in(name, tmp_path / "tree") as (one, _):
        found = {column: started(one, wanted) for column, wanted in polls.items()}

    for column, number in found.items():
        PROCESSES.check(name, column, str(number), regen)
    assert found["all"] == found["node"]
    if name == "bash":
        assert found["time, memory, load"] == 0
        assert found["all, and timex"] <= MOST_STARTED


def test_no_cell_is_untested() -> None:
    """The table has no shell and no poll but those that are tested."""
    assert list(PROCESSES.cells()) == list(product(PROCESSES.rows, PROCESSES.columns))

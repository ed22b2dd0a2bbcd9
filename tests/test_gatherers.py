"""The gatherers, each against what real machines said, against nonsense, and against anything.

A fixture, fixtures/<gatherer>/<system>.txt, is what the machine said, a line `--- metrics ---`, and the exposition
expected, which `pytest --regen` writes. Where a gatherer reads several files, `--- FILE ---` stands before each that
the machine has, and `=== FILE ===` before each that matches a name with a star.
"""

import math
import re
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import gather
from collector.errors import ParseError
from collector.exposition import header, label_text, number
from collector.gather import GATHERERS, MOST_SERIES, Gatherer, Gathering
from collector.gather import parse as parse_all
from collector.gatherers.memory import LATEST, MOST_LATEST, gauge_of
from collector.metric import Metric, Sample, Samples
from collector.probe import MATCH, read_clock
from collector.snapshot import Gathered

FIXTURES = Path(__file__).parent / "fixtures"
CUT = "--- metrics ---\n"
HEAD = re.compile(r"^--- (\S+) ---\n", re.MULTILINE)
MATCHING = re.compile(r"^=== (\S+) ===\n", re.MULTILINE)
CASES = [path for name in GATHERERS for path in sorted((FIXTURES / name).glob("*.txt"))]

MALFORMED = {
    "time": ["", "noon", "1.2.3", "17 00", "\x00\x01", "nan", "inf", "1e999"],
    "load": ["", "0.1 0.2", "a b c 1/2 3", "0.1 0.2 nan 1/2 3", "\x00", "0,1 0,2 0,3"],
    "filesystem": [
        "",
        "1 2 3",
        "36 35 98:0 /mnt1 - ext3 /dev/root rw",
        "36 35 98:0 / / rw - ext4 /dev/vda rw",
        "a b c d e f /x",
    ],
    "bonding": ["", "eth0 eth1", "\x1c/sys/class/net\neth0"],
    "clocksource": ["", "tsc", "\x1c/sys/devices\ntsc", "\x1c/sys/devices/system/clocksource/clocksource0/x\n"],
    "cooling_device": [
        "",
        "1",
        "\x1ccur_state\n1",
        "\x1c/sys/class/thermal\n1",
        "\x1c/sys/class/thermal/cooling_device0/cur_state\n",
        "\x1c/sys/class/thermal/cooling_device0/cur_state\nfull",
    ],
    "cpu_state": ["", "all", "\x00", "3-1-2", "3-1", "-1", "1,0", "0-99999", "0,0", "0-8191," * 9],
    "cpufreq": [
        "",
        "1500000",
        "\x1c/sys\n1500000",
        "\x1c/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq\nfast",
        "\x1c/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq\n<unknown>",
        f"\x1c/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq\n{'9' * 400}",
    ],
    "cpufreqinfo": ["", "1500000", "\x1c/sys\n1500000", "\x1c/sys/devices/system/cpu/cpu0/cpufreq/x\nfast"],
    "edac": [
        "",
        "1",
        "\x1c/sys/mc0/ce_count\nmany",
        "\x1c/sys/mc0/ce_count\n-1",
        "\x1c/sys/mcx/ce_count\n1",
        "\x1c/mc0/ce_count\n1\x1c/x/mc0/ce_count\n2",
    ],
    "hwmon": [
        "",
        "48000",
        "\x1c/sys/class/hwmon\n48000",
        "\x1c/sys/class/hwmon/hwmon0/temp1_input\nhot",
        f"\x1c/sys/class/hwmon/hwmon0/temp1_input\n{'9' * 400}",
        "\x1c/sys/class/hwmon/hwmon0/temp1_input\n1\x1c/sys/class/hwmon/hwmon0/temp01_input\n1",
    ],
    "hwmoninfo": [
        "",
        "48000",
        "\x1c/sys/class/hwmon\n48000",
        "\x1c/sys/class/hwmon/hwmon0/temp1_max\n",
        "\x1c/sys/class/hwmon/hwmon0/name\n1\x1c/sys/class/hwmon/hwmon0/names\n1",
    ],
    "netclass": ["", "up", "\x1cup", "\x1c/sys/class/net", "\x1c/sys/class/net/eth0/operstate\none"],
    "netinfo": ["", "up", "\x1c/sys/class/net/eth0/flags\n0x1z", "\x1c/sys/class/net/eth0/flags\n"],
    "numa": [
        "",
        "Node 0 MemTotal: 5 kB",
        "\x1cmeminfo\nNode 0 MemTotal: 5 kB",
        "\x1c/sys/devices/system/node/node0/meminfo\nMemTotal: 5 kB",
        "\x1c/sys/devices/system/node/node0/meminfo\nNode 0 MemTotal: 5 MB",
        f"\x1c/sys/devices/system/node/node0/meminfo\nNode 0 {'M' * 400}: 5 kB",
        "\x1c/sys/devices/system/node/node0/meminfo\n",
    ],
    "power_supply": [
        "",
        "POWER_SUPPLY_ONLINE=1",
        "\x1cuevent\nPOWER_SUPPLY_ONLINE=1",
        "\x1c/sys/class/power_supply/AC/uevent\n\x1c/sys/class/power_supply/AC/event\n",
    ],
    "selinux": ["", "selinuxfs", "selinuxfs 1"],
    "thermal_zone": [
        "",
        "48000",
        "\x1c/sys/class/thermal\n48000",
        "\x1c/sys/class/thermal/thermal_zone0/temp\nwarm",
        "\x1c/sys/class/thermal/thermal_zone0/temp\n",
        f"\x1c/sys/class/thermal/thermal_zone0/temp\n{'9' * 400}",
    ],
    "memory": [
        "",
        "MemTotal:",
        "MemTotal: kB",
        "MemTotal: 5 MB",
        "MemTotal: five kB",
        "MemTotal: 5 kB kB",
        "MemTotal 5 kB",
        "MemTotal: 1.5 kB",
        "MemTotal: 1 kB\nMemTotal: 2 kB",
        "\x7fELF\x02\x01",
        "Mem-Total: 5 kB",
        f"MemTotal: {'9' * 400} kB",
        f"MemTotal: {'9' * 5000} kB",
    ],
}


def said(name: str, text: str) -> dict[str, str]:
    """What a machine says whose every file has this text."""
    return dict.fromkeys(GATHERERS[name].files, text)


def fixture(name: str, text: str) -> dict[str, str]:
    """What the machine of a fixture says: the text of each file."""
    if name == "time":
        return said(name, read_clock(text)[0])
    before, *parts = HEAD.split(text)
    if not parts:
        return said(name, text)
    assert not before
    texts = {
        file: MATCHING.sub(lambda match: f"{MATCH}{match[1]}\n", part) if "*" in file else part
        for file, part in zip(parts[::2], parts[1::2], strict=True)
    }
    assert texts.keys() <= set(GATHERERS[name].files)
    return dict.fromkeys(GATHERERS[name].files, "") | texts


def parse(gatherer: Gatherer, texts: dict[str, str]) -> tuple[Sample, ...]:
    """The samples of an answer, one by one."""
    return tuple(parse_all(gatherer, texts))


def exposition(samples: tuple[Sample, ...]) -> str:
    """The samples as the page would have them, family by family."""
    families: dict[Metric, list[str]] = {}
    for metric, labels, value in samples:
        text = label_text((), metric.labels, labels)
        families.setdefault(metric, []).append(f"{metric.name}{'{' + text + '}' if text else ''} {number(value)}\n")
    return "".join(header(metric, openmetrics=False) + "".join(lines) for metric, lines in families.items())


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_fixture(path: Path, regen: bool) -> None:
    """What a real machine said becomes exactly the metrics that stand below it."""
    text, cut, expected = path.read_text().partition(CUT)

    actual = exposition(parse(GATHERERS[path.parent.name], fixture(path.parent.name, text)))

    if regen:
        path.write_text(path.read_text().partition(CUT)[0] + CUT + actual)
        return
    assert cut
    assert expected == actual


def test_every_gatherer_has_a_fixture_and_a_table_of_nonsense() -> None:
    """Discovery is closed: a gatherer without fixture or table, or either without a gatherer, is an error."""
    assert sorted(GATHERERS) == sorted({path.parent.name for path in CASES})
    assert sorted(GATHERERS) == sorted(MALFORMED)
    assert {"load", "memory", "time"} <= GATHERERS.keys()


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in MALFORMED.items() for text in texts])
def test_malformed(name: str, text: str) -> None:
    """Nonsense is a ParseError that names the gatherer and shows at most 200 characters of the text."""
    with pytest.raises(ParseError) as caught:
        parse(GATHERERS[name], said(name, text))

    assert str(caught.value).startswith(f"{name}: ")
    assert len(str(caught.value)) < 320


@pytest.mark.parametrize("name", sorted(GATHERERS))
@given(data=st.data())
def test_total(name: str, data: st.DataObject) -> None:
    """Whatever a machine says, a parser gives finite samples, each series once, or a ParseError, and nothing else."""
    line = st.one_of(
        st.text(max_size=40),
        st.from_regex(r"[A-Za-z()_]{1,12}: +[0-9]{1,25}( kB)?", fullmatch=True),
        st.from_regex(r"[0-9.]{1,8} [0-9.]{1,8} [0-9.]{1,8} [0-9/ ]{1,8}", fullmatch=True),
    )
    text = "\n".join(data.draw(st.lists(line, max_size=120)))
    try:
        samples = parse(GATHERERS[name], said(name, text))
    except ParseError:
        return

    assert all(math.isfinite(sample.value) for sample in samples)
    assert len({(sample.metric.name, sample.labels) for sample in samples}) == len(samples) <= MOST_SERIES


FIELDS = st.tuples(
    st.sampled_from(["A", "B", "Swap", "Odd-D", "E(e)", "F2M", "G(a)b"]),
    st.sampled_from(["", " ", "     "]),
    st.integers(0, 10**25),
    st.booleans(),
)


@given(st.lists(st.lists(FIELDS, max_size=6, unique_by=lambda field: field[0]), min_size=1, max_size=4))
def test_memory_is_read_line_by_line(answers: list[list[tuple[str, str, int, bool]]]) -> None:
    """Whatever was read before, each line of meminfo is its own name and number, times 1024 if it is in kB."""
    for fields in answers:
        text = "".join(f"{name}:{blanks}{value}{' kB' * unit}\n" for name, blanks, value, unit in fields)
        known = [(gauge_of(name, unit), float(value) * (1024 if unit else 1)) for name, _, value, unit in fields]
        expected = [(gauge.name, value) for gauge, value in known if gauge]
        if not expected:
            with pytest.raises(ParseError):
                parse(GATHERERS["memory"], said("memory", text))
            continue

        samples = parse(GATHERERS["memory"], said("memory", text))

        assert expected == [(sample.metric.name, sample.value) for sample in samples]


def test_machines_of_one_kind_share_their_shape() -> None:
    """What two machines say of the same kind has one shape, whatever the numbers are; it would cost 5 kB a machine."""
    texts = [
        {"clock": f"{n}", "/proc/loadavg": f"{n} 2 3 4/5 6", "/proc/meminfo": f"A: {n} kB\nB: 2\n"} for n in (1, 20)
    ]

    one, two = (Gathering(("time", "memory", "load")).read(said)[0] for said in texts)

    assert one.shape is two.shape
    assert one.values != two.values


def test_memory_caps_its_series() -> None:
    """A machine that sends more lines than a hundred gets a hundred series, also where the last line has no end."""
    lines = [f"Field{number}: {number} kB\n" for number in range(1000)]

    for text in ("".join(lines), "".join(lines[:101])[:-1], "".join(lines[:101]), "".join(lines[:100])):
        assert len(parse(GATHERERS["memory"], said("memory", text))) == 100


def test_memory_names_parentheses_as_the_agent_does() -> None:
    """Active(anon) becomes node_memory_Active_anon_bytes, and a count has no unit."""
    samples = parse(GATHERERS["memory"], said("memory", "Active(anon):  2 kB\nHugePages_Total:  3\nOdd-Name: 4 kB\n"))

    assert [(sample.metric.name, sample.value) for sample in samples] == [
        ("node_memory_Active_anon_bytes", 2048.0),
        ("node_memory_HugePages_Total", 3.0),
    ]


@pytest.mark.limit(20)
def test_memory_passes_over_names_that_are_too_long() -> None:
    """A name of 2 or 200 kB, which could take minutes to match, costs no time and becomes no series."""
    for size in (1_000, 200_000):
        text = f"{'a' * size}!: 1 kB\n{'b' * size}: 1 kB\nMemFree: 1 kB\n"

        samples = parse(GATHERERS["memory"], said("memory", text))

        assert ["node_memory_MemFree_bytes"] == [sample.metric.name for sample in samples]


def test_memory_keeps_few_ways_to_read() -> None:
    """A machine that sends texts of ever other lengths leaves few plans behind, and the others are read as before."""
    for size in range(300):
        parse(GATHERERS["memory"], said("memory", f"MemFree: {'1' * (1 + size % 20)} kB\n{'x' * (size // 20)}: 1 kB\n"))

    assert len(LATEST) <= MOST_LATEST
    assert [sample.value for sample in parse(GATHERERS["memory"], said("memory", "MemFree: 2 kB\n"))] == [2048.0]


def test_one_failure_takes_nothing_from_the_others() -> None:
    """When one gatherer cannot parse, the others' samples are all there and it is named."""
    texts = {"clock": "1.5", "/proc/loadavg": "1 2 3 4/5 6", "/proc/meminfo": "garbage"}

    samples, gathered = Gathering(("time", "memory", "load")).read(texts)

    assert [sample.metric.name for sample in samples] == [
        "node_time_seconds",
        "node_load1",
        "node_load5",
        "node_load15",
    ]
    assert [(name, problem is None) for name, problem in gathered] == [
        ("time", True),
        ("memory", False),
        ("load", True),
    ]


SAID = {"clock": "1.5", "/proc/loadavg": "1 2 3 4/5 6", "/proc/meminfo": "MemFree: 5 kB\n"}


def problems(read: tuple[Samples, tuple[Gathered, ...]]) -> dict[str, str | None]:
    """What each gatherer's problem is."""
    return dict(read[1])


def test_what_is_there_is_asked_for_again_and_again() -> None:
    """The list of files is one and the same from poll to poll, which saves sending it."""
    gathering = Gathering(("time", "memory", "load"))

    for begins in (True, False, False, True):
        wanted = gathering.wanted(begins)
        gathering.read(SAID)
        assert wanted == ("clock", "/proc/meminfo", "/proc/loadavg")
        assert gathering.wanted(False) is wanted


def test_what_a_machine_does_not_have_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there is asked for when a session begins, and seldom from then on; it is told all the time."""
    gathering = Gathering(("time", "memory", "load"))
    gathering.wanted(True)

    first = gathering.read(SAID | {"/proc/loadavg": ""})
    second = gathering.wanted(False), gathering.read({"clock": "2.5", "/proc/meminfo": "MemFree: 6 kB\n"})

    assert second[0] == ("clock", "/proc/meminfo")
    for found in (first, second[1]):
        assert problems(found) == {"time": None, "memory": None, "load": problems(first)["load"]}
        assert "missing" in str(problems(first)["load"])
    assert [sample.value for sample in second[1][0]] == [2.5, 6 * 1024]
    monkeypatch.setattr(gather, "monotonic", lambda: monotonic() + gather.SELDOM)
    assert "/proc/loadavg" in gathering.wanted(False)
    assert problems(gathering.read(SAID)) == dict.fromkeys(("time", "memory", "load"))
    assert "/proc/loadavg" in gathering.wanted(False)


def test_what_cannot_be_parsed_is_asked_for_again() -> None:
    """Nonsense may be another in the next poll."""
    gathering = Gathering(("memory", "load"))
    gathering.wanted(True)

    gathering.read(SAID | {"/proc/meminfo": "garbage"})

    assert "/proc/meminfo" in gathering.wanted(False)
    assert problems(gathering.read(SAID)) == {"memory": None, "load": None}


def test_what_hardly_ever_changes_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gatherer that is seldom read has the samples of then in each poll, until it is due or a session begins."""
    seldom = {**GATHERERS, "load": replace(GATHERERS["load"], is_seldom=True)}
    monkeypatch.setattr(gather, "GATHERERS", seldom)
    gather.reader.cache_clear()
    gathering = Gathering(("time", "load"))
    gathering.wanted(True)

    first, _ = gathering.read(SAID)
    assert "/proc/loadavg" not in gathering.wanted(False)
    second, gathered = gathering.read({"clock": "2.5", "/dev/null": ""})

    assert [sample.value for sample in first] == [1.5, 1, 2, 3]
    assert [sample.value for sample in second] == [2.5, 1, 2, 3]
    assert dict(gathered) == {"time": None, "load": None}
    assert gathering.wanted(True) == ("clock", "/proc/loadavg")
    gather.reader.cache_clear()

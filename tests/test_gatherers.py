"""The gatherers, each against what real machines said, against nonsense, and against anything.

A fixture, fixtures/<gatherer>/<system>.txt, is what the machine said, a line `--- metrics ---`, and the exposition
expected, which `pytest --regen` writes.
"""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import ParseError
from collector.exposition import header, label_text, number
from collector.gather import GATHERERS, Gatherer, Reader
from collector.gather import parse as parse_all
from collector.metric import Metric, Sample
from collector.probe import read_clock

FIXTURES = Path(__file__).parent / "fixtures"
CUT = "--- metrics ---\n"
CASES = [path for name in GATHERERS for path in sorted((FIXTURES / name).glob("*.txt"))]

MALFORMED = {
    "time": ["", "noon", "1.2.3", "17 00", "\x00\x01", "nan", "inf", "1e999"],
    "load": ["", "0.1 0.2", "a b c 1/2 3", "0.1 0.2 nan 1/2 3", "\x00", "0,1 0,2 0,3"],
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


def parse(gatherer: Gatherer, texts: dict[str, str]) -> tuple[Sample, ...]:
    """The samples of an answer that has none before it."""
    return parse_all(gatherer, texts).samples


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
    text = read_clock(text)[0] if path.parent.name == "time" else text

    actual = exposition(parse(GATHERERS[path.parent.name], said(path.parent.name, text)))

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
    assert len({(sample.metric.name, sample.labels) for sample in samples}) == len(samples) <= 100


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from(["A", "B", "C", "Odd-D", "E(e)"]), st.integers(0, 10**7), st.booleans()),
            max_size=5,
        ).map(lambda fields: "".join(f"{name}: {value}{' kB' * unit}\n" for name, value, unit in fields)),
        min_size=2,
        max_size=6,
    )
)
def test_what_is_remembered_changes_nothing(answers: list[str]) -> None:
    """Whatever a machine said before, a reader makes of an answer what one makes that has never read any."""
    reader = Reader(["memory", "time"])

    for poll, answer in enumerate(answers):
        texts = {"/proc/meminfo": answer, "clock": str(poll // 2)}
        assert Reader(["memory", "time"]).read(texts) == reader.read(texts)


def test_unchanged_lines_are_not_parsed_again() -> None:
    """The sample of a line that is as it was before is the very one."""
    reader = Reader(["memory"])
    before, _ = reader.read({"/proc/meminfo": "A: 1 kB\nB: 2 kB\n"})

    now, _ = reader.read({"/proc/meminfo": "A: 1 kB\nB: 3 kB\n"})

    assert now[0] is before[0]
    assert [1024.0, 3072.0] == [sample.value for sample in now]


def test_memory_caps_its_series() -> None:
    """A machine that sends a thousand lines gets a hundred series."""
    text = "".join(f"Field{number}: {number} kB\n" for number in range(1000))

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
    """A name of 200 kB, which would take minutes to match, costs no time and becomes no series."""
    text = f"{'a' * 200_000}!: 1 kB\n{'b' * 200_000}: 1 kB\nMemFree: 1 kB\n"

    samples = parse(GATHERERS["memory"], said("memory", text))

    assert ["node_memory_MemFree_bytes"] == [sample.metric.name for sample in samples]


def test_one_failure_takes_nothing_from_the_others() -> None:
    """When one gatherer cannot parse, the others' samples are all there and it is named."""
    texts = {"clock": "1.5", "/proc/loadavg": "1 2 3 4/5 6", "/proc/meminfo": "garbage"}

    samples, gathered = Reader(["time", "memory", "load"]).read(texts)

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

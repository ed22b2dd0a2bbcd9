"""[gather:NAME]: what people gather besides what we do, and that hostile text in it hurts nothing else."""

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.keys import Key
from rig.polls import poll
from rig.sshd import Sshd

from collector import authorize, custom, gather
from collector.config import Custom, Machine, load
from collector.errors import ConfigError, ParseError
from collector.exposition import of_machine
from collector.gather import GATHERERS, MOST_LABEL, Gatherer, Gathering
from collector.metric import Sample
from collector.probe import MATCH

VALUE = Custom(name="queue", command="mailq", read="value", metric="mail_queue_length", labels=(("queue", "out"),))
REGEX = Custom(
    name="raid", command="x", read="regex", metric="disk_bytes", pattern=r"^(?P<slot>\S+) +(?P<value>[0-9.e]+)$"
)
JSON = Custom(
    name="app", command="x", read="json", metric="jobs_total", type="counter", each="queues[*]", value="done",
    label_values=(("queue", "name"), ("kind", "tags[0]")),
)  # fmt: skip
TEXT = Custom(name="text", command="x", labels=(("app", "shop"),))
FILES = Custom(name="files", files=("/var/lib/metrics/*.prom",))


def said(text: str, status: int = 0) -> str:
    """What the probe says of a command."""
    return f"{text}{MATCH}{status}"


def samples(one: Custom, text: str, taken: frozenset[str] = frozenset()) -> list[tuple[str, dict[str, str], float]]:
    """What is made of what a command wrote, which ended well."""
    gatherer = custom.gatherer(one, taken)
    return list(map(plain, gather.parse(gatherer, {gatherer.files[0]: said(text)})))


def plain(sample: Sample) -> tuple[str, dict[str, str], float]:
    """A sample that can be compared."""
    return sample.metric.name, dict(zip(sample.metric.labels, sample.labels, strict=True)), sample.value


def test_one_value() -> None:
    """A number alone, with blanks and the end of a line around it."""
    assert [("mail_queue_length", {"queue": "out"}, 12.0)] == samples(VALUE, " 12\n")


def test_a_regular_expression() -> None:
    """Each match is a series: the group `value` is its value, the other groups are its labels."""
    text = "slot size\n0:1 4e12\n0:2 15\nrest\n"

    assert [("disk_bytes", {"slot": "0:1"}, 4e12), ("disk_bytes", {"slot": "0:2"}, 15.0)] == samples(REGEX, text)


def test_a_hostile_text_takes_no_time() -> None:
    """Patterns that go back for ever in other engines do not in RE2, whatever the text."""
    slow = Custom(name="slow", command="x", read="regex", metric="a", pattern="(?P<value>(a+)+)+$")
    began = time.process_time()

    with pytest.raises(ParseError, match=r"no sample|could not convert"):
        samples(slow, "a" * 200_000 + "b")

    # Python's own would take longer than the universe is old.
    assert time.process_time() - began < 60


def test_json() -> None:
    """Each of what a path finds is a series, whose value and labels are at paths in it; true is 1."""
    text = json.dumps(
        {"queues": [{"name": "in", "done": 5, "tags": ["a"]}, {"name": "out", "done": True}, {"name": 3, "done": "7"}]}
    )

    assert [
        ("jobs_total", {"queue": "in", "kind": "a"}, 5.0),
        ("jobs_total", {"queue": "out", "kind": ""}, 1.0),
        ("jobs_total", {"queue": "3", "kind": ""}, 7.0),
    ] == samples(JSON, text)
    assert samples(JSON, "{}") == []


def test_prometheus_text() -> None:
    """Types and descriptions are those of the text; NaN is a value; labels that the machine has get another name."""
    text = (
        "# HELP shop_orders_total Orders.\n# TYPE shop_orders_total counter\n"
        'shop_orders_total{instance="a",dc="x"} 3\n# TYPE shop_open gauge\nshop_open NaN\n'
        '# TYPE shop_seconds histogram\nshop_seconds_bucket{le="+Inf"} 4\n# TYPE bare counter\nbare 5'
    )
    gatherer = custom.gatherer(TEXT, frozenset({"instance", "dc"}))
    found = gather.parse(gatherer, {gatherer.files[0]: said(text)})

    assert [
        ("shop_orders_total", {"exported_instance": "a", "exported_dc": "x", "app": "shop"}, "3.0"),
        ("shop_open", {"app": "shop"}, "nan"),
        ("shop_seconds_bucket", {"le": "+Inf", "app": "shop"}, "4.0"),
        ("bare", {"app": "shop"}, "5.0"),
    ] == [(name, labels, str(value)) for name, labels, value in map(plain, found)]
    kinds = {sample.metric.name: (sample.metric.kind, sample.metric.help) for sample in found}
    assert kinds["shop_orders_total"] == ("counter", "Orders.")
    assert (kinds["shop_open"][0], kinds["shop_seconds_bucket"][0], kinds["bare"][0]) == ("gauge", "untyped", "untyped")


HEADS = "1700000000 20 /m/a.prom\n1700000060 9 /m/b.prom\n1700000120 9 /m/c:d.prom\n"


def test_what_is_one_series() -> None:
    """Series differ by names of labels too, and are the same in any order of them."""
    found = samples(TEXT, 'a{b="1"} 1\na{c="1"} 2\n')

    assert [({"b": "1", "app": "shop"}, 1.0), ({"c": "1", "app": "shop"}, 2.0)] == [one[1:] for one in found]
    with pytest.raises(ParseError, match="a series twice"):
        samples(TEXT, 'a{b="1",c="2"} 1\na{c="2",b="1"} 2\n')


def test_files() -> None:
    """Each file has its series, and the time of its last change; one that cannot be read is told of, and is all."""
    lines = "/m/a.prom:one 1\n/m/a.prom:two 2\n/m/b.prom:not a metric\n/m/c:d.prom:three 3\n"

    found = samples(FILES, f"{HEADS}\n{lines}")

    assert [(name, value) for name, labels, value in found if not labels] == [
        ("one", 1.0),
        ("two", 2.0),
        ("three", 3.0),
        ("node_textfile_scrape_error", 1.0),
    ]
    assert {labels["file"]: value for name, labels, value in found if name == "node_textfile_mtime_seconds"} == {
        "/m/a.prom": 1.7e9,
        "/m/b.prom": 1.7e9 + 60,
        "/m/c:d.prom": 1.7e9 + 120,
    }
    (error,) = [labels for name, labels, _ in found if name == "ssh_textfile_error_info"]
    assert error["file"] == "/m/b.prom"
    assert error["error"]


@pytest.mark.parametrize(
    "lines",
    [
        "/m/a.prom:one 1\n/m/b.prom:one 1\n/m/c:d.prom:three 3\n",
        "/m/a.prom:one 1\n/m/b.prom:two 1 1700000000000\n/m/c:d.prom:three 3\n",
        "/m/a.prom:one 1\n/m/b.prom:ssh_up 1\n/m/c:d.prom:three 3\n",
        "/m/a.prom:one 1\n/m/b.prom:x{a=\n/m/c:d.prom:three 3\n",
        "/m/a.prom:one 1\n/m/c:d.prom:three 3\n",
    ],
    ids=["a series that another has", "a time", "a series of ours", "half a line", "not readable"],
)
def test_a_bad_file_hurts_only_itself(lines: str) -> None:
    """The series of the other files are there."""
    found = samples(FILES, f"{HEADS}\n{lines}")

    assert [("one", 1.0), ("three", 3.0), ("node_textfile_scrape_error", 1.0)] == [
        (name, value) for name, labels, value in found if not labels
    ]


def test_no_file() -> None:
    """A folder with nothing in it is well."""
    assert [("node_textfile_scrape_error", {}, 0.0)] == samples(FILES, "\n")


NONSENSE = {
    "value": (VALUE, ["", "many", "1 2", "0x1f", "\x00"]),
    "regex": (REGEX, ["", "slot", "a ...", "a 1\na 1", "a e", f"{'a' * 300} 1"]),
    "json": (
        JSON,
        ["", "{", "[" * 100_000, '{"queues": [1]}', '{"queues": [{"done": null}]}', '{"queues": [{"done": "x"}]}',
         '{"queues": [{"done": -1}]}', '{"queues": [{"done": []}]}', '{"queues": [{"done": 1}, {"done": 1}]}'],
    ),
    "prometheus": (
        TEXT,
        ["a", "a b", "a{", 'a{b="c} 1', "a 1 1700000000", "a 1\na 1", "ssh_up 1", "collector_x 1", "a:b 1",
         f'a{{b="{"c" * 300}"}} 1', "# TYPE a_total counter\na_total -1", "".join(f"m{n} 1\n" for n in range(10_001)),
         'a{app="x",app="y"} 1', '{"a b"} 1'],
    ),
    "files": (FILES, ["x", "x\n\n", "1 2\n\n", "1700000000 20 a.prom\n\n"]),
}  # fmt: skip


@pytest.mark.parametrize(("one", "text"), [(one, text) for one, texts in NONSENSE.values() for text in texts])
def test_nonsense(one: Custom, text: str) -> None:
    """What cannot be read is a ParseError that names the gatherer, and is not too long."""
    with pytest.raises(ParseError) as caught:
        samples(one, text)

    assert str(caught.value).startswith(f"{one.name}: ")
    assert len(str(caught.value)) <= 320


@pytest.mark.parametrize("one", [one for one, _ in NONSENSE.values()], ids=NONSENSE)
@given(data=st.data())
def test_readers_are_total(one: Custom, data: st.DataObject) -> None:
    """Any text becomes samples or a ParseError, also one that is nearly right."""
    seeds = {
        "queue": "12\n",
        "raid": "0:1 4e12\n",
        "app": '{"queues": [{"name": "in", "done": 5}]}',
        "text": '# HELP a b\n# TYPE a_total counter\na_total{c="d"} 1\ne 2\n',
        "files": f'{HEADS}\n/m/a.prom:one{{a="b"}} 1\n',
    }
    text = seeds[one.name]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    try:
        found = samples(one, text[:start] + data.draw(st.text(max_size=20)) + text[end:])
    except ParseError:
        return

    assert all(len(value) <= MOST_LABEL for _, labels, _ in found for value in labels.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", "writes more than 256 kB"),
        (said("", 1), "ends with status 1"),
        (said("12", 127), "is not there"),
        (said("12", 126), "may not be run"),
        (said("12", 137), "was killed, as is one whose time is over"),
        (said("12", 265), "was killed"),
    ],
)
def test_a_command_that_fails(text: str, expected: str) -> None:
    """The error says how it ended, and nothing is made of what it wrote."""
    gatherer = custom.gatherer(VALUE)

    with pytest.raises(ParseError, match=expected):
        gather.parse(gatherer, {gatherer.files[0]: text})


def gathering(*customs: Custom) -> tuple[Gathering, tuple[Gatherer, ...]]:
    """What a machine is asked for that gathers load, and these."""
    own = tuple(map(custom.gatherer, customs))
    return Gathering(("load", *(one.name for one in customs)), own), own


def test_a_series_that_another_has() -> None:
    """Text that claims a series of ours, or of another of people's own, is refused as a whole; the rest stands."""
    liar, other = Custom(name="liar", command="a"), Custom(name="other", command="b")
    asked, own = gathering(liar, other, VALUE)
    texts = {"/proc/loadavg": "1 2 3 4/5 6", own[2].files[0]: said("12")}

    found, gathered = asked.read(
        texts | {own[0].files[0]: said("node_load1 9\n"), own[1].files[0]: said('mail_queue_length{queue="out"} 1\n')}
    )

    assert [1.0, 2.0, 3.0] == [value for name, _, value in map(plain, found) if name.startswith("node_load")]
    problems = dict(gathered)
    assert problems["load"] is None
    assert problems["liar"] == "liar: node_load1 is gathered by load already"
    assert [problems["other"], problems["queue"]].count(None) == 1


def test_a_series_that_another_has_in_another_order() -> None:
    """Labels have no order: Prometheus would refuse the whole page."""
    asked, own = gathering(Custom(name="one", command="a"), Custom(name="two", command="b"))
    texts = {"/proc/loadavg": "1 2 3 4/5 6", own[0].files[0]: said('a{b="1",c="2"} 1\n')}

    _, gathered = asked.read(texts | {own[1].files[0]: said('a{c="2",b="1"} 2\n')})

    assert dict(gathered) == {"load": None, "one": None, "two": "two: a is gathered by one already"}


def test_an_interval_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command runs as often as its section says, also where each poll is a login; in between its series stand."""
    asked, (own,) = gathering(Custom(**{**as_dict(VALUE), "interval": 300.0}))
    texts = {"/proc/loadavg": "1 2 3 4/5 6", own.files[0]: said("12")}

    assert own.files[0] in asked.wanted(True)
    asked.read(texts)
    for begins in (False, True, False):
        assert own.files[0] not in asked.wanted(begins)
        found, _ = asked.read({"/proc/loadavg": "1 2 3 4/5 6"})
        assert ("mail_queue_length", {"queue": "out"}, 12.0) in list(map(plain, found))
    monkeypatch.setattr(gather, "monotonic", lambda: time.monotonic() + 300)
    assert own.files[0] in asked.wanted(False)


def as_dict(one: Custom) -> dict[str, Any]:
    """The options of a section."""
    return {name: getattr(one, name) for name in one.__slots__}


Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(text)` makes a configuration with one machine that gathers what is in the text."""
    for name in ("key", "known_hosts"):
        (tmp_path / name).touch()

    def write(text: str, labels: str = "dc = eu") -> Path:
        path = tmp_path / "collector.ini"
        path.write_text(
            f"{text}\n[web1]\nhost = 192.0.2.10\nuser = u\nkey_file = key\nknown_hosts = known_hosts\n"
            f"gather = time, +mine\nlabels = {labels}\n"
        )
        return path

    return write


def machine(path: Path) -> Machine:
    """The machine of a configuration."""
    (one,) = load(path, gatherers=dict.fromkeys(GATHERERS, ()), custom_problem=custom.problem).machines
    return one


def test_a_section(write: Write) -> None:
    """All options arrive, a command over two lines too."""
    one = machine(
        write(
            "[gather:mine]\ncommand = cd /srv &&\n  ./status --json\nread = json\neach = queues[*]\nvalue = depth\n"
            "metric = depth\ntype = gauge\nhelp = How deep.\nlabels = app=shop\nlabel_values = queue=name\n"
            "interval = 5m\ntimeout = 2s\n"
        )
    )

    assert one.gather == ("time", "mine")
    assert one.custom == (
        Custom(
            name="mine", command="cd /srv &&\n./status --json", timeout=2, interval=300.0, read="json", metric="depth",
            type="gauge", help="How deep.", labels=(("app", "shop"),), each="queues[*]", value="depth",
            label_values=(("queue", "name"),),
        ),
    )  # fmt: skip


def test_the_page_about_it(write: Write) -> None:
    """Every section that docs/custom.md shows is good."""
    page = (Path(__file__).parents[1] / "docs/custom.md").read_text()
    shown = re.findall(r"^```ini\n(.*?)^```", page, re.MULTILINE | re.DOTALL)

    assert len(shown) == 5
    for text in shown:
        section = text.partition("\n\n[")[0]
        name = section.partition("]")[0].removeprefix("[gather:")
        assert machine(write(section.replace(f"[gather:{name}]", "[gather:mine]"))).custom


@pytest.mark.parametrize(
    ("options", "labels", "expected"),
    [
        ("read = regex\nmetric = a\npattern = (", "dc=eu", "pattern: not a regular expression of RE2: missing ): ("),
        ("read = regex\nmetric = a\npattern = (?=a)(?P<value>b)", "dc=eu", "pattern: not a regular expression of RE2"),
        ("read = regex\nmetric = a\npattern = a", "dc=eu", "pattern: has no group of the name value"),
        ("read = regex\nmetric = a\npattern = (?P<dc>b)(?P<value>.)", "dc=eu", "'dc' is a label of what mine gathers"),
        ("read = json\nmetric = a\neach = a[", "dc=eu", "each: not a path of JMESPath"),
        ("read = json\nmetric = a\nlabel_values = a=b[", "dc=eu", "label_values: not a path of JMESPath"),
        ("read = json\nmetric = a\nlabels = dc=x", "dc=eu", "'dc' is a label of what mine gathers"),
    ],
)
def test_bad_expressions(options: str, labels: str, expected: str, write: Callable[..., Path]) -> None:
    """The message has the line, the option, and what is wrong with the pattern or path."""
    with pytest.raises(ConfigError) as caught:
        machine(write(f"[gather:mine]\ncommand = date\n{options}\n", labels=labels))

    assert len(caught.value.problems) == 1
    assert expected in caught.value.problems[0]


def test_no_re2(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package is not there a pattern is refused, and everything else is well."""
    monkeypatch.setattr(custom, "re2", None)

    with pytest.raises(ConfigError, match="needs the package google-re2"):
        machine(write("[gather:mine]\ncommand = a\nread = regex\nmetric = a\npattern = (?P<value>.)\n"))
    assert machine(write("[gather:mine]\ncommand = a\n")).custom


QUOTES = """printf '%s\\n' "it's 5" '!\\\\ + =' | sed -n 's/[^0-9]//gp'"""
"""A command of all that is special to anybody."""


@pytest.mark.needs("root", "namespaces", "setpriv", "sshd")
@pytest.mark.parametrize("is_restricted", [False, True], ids=["any command", "restricted"])
def test_on_a_machine(is_restricted: bool, key: Key, tmp_path: Path) -> None:
    """A real machine runs the commands, and gives the files; the worst of them takes away nothing but its own."""
    folder = Path(f"/tmp/collector-test-{os.getpid()}")
    folder.mkdir(mode=0o755)
    try:
        (folder / "good.prom").write_text("backup_age_seconds 5\n")
        (folder / "bad.prom").write_text("\x1d\x1e\x1c{{{\n")
        (folder / "huge.txt").write_bytes(b"x" * 1_000_000)
        customs = (
            Custom(name="quotes", command=QUOTES, read="value", metric="five"),
            Custom(name="files", files=(f"{folder}/*.prom",)),
            Custom(name="endless", command="yes", read="value", metric="a"),
            Custom(name="slow", command="sleep 100", timeout=1, read="value", metric="b"),
            Custom(name="huge", command=f"cat {folder}/huge.txt"),
            Custom(name="marks", command="printf '\\035\\036\\034'; echo 5", read="value", metric="c"),
            Custom(name="fails", command="exit 3", read="value", metric="d"),
            Custom(name="leaves", command="sleep 100 & echo 7", read="value", metric="seven"),
            Custom(name="eats", command="cat", read="prometheus"),
        )  # fmt: skip
        names = ("time", "load", *(one.name for one in customs))
        with Sshd(tmp_path, [key]) as server:
            if is_restricted:
                line = authorize.line(key.public, names, tuple(map(custom.gatherer, customs)))
                server.authorized_keys("sh").write_text(f"{line}\n")
            standing = poll(server.login(), gather=names, custom=customs)
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    snapshot = standing.snapshot
    assert snapshot is not None
    assert snapshot.failure is None
    problems = dict(snapshot.gathered)
    assert {name for name, problem in problems.items() if problem} == {"endless", "slow", "huge", "marks", "fails"}
    values = {name: value for name, labels, value in map(plain, snapshot.samples) if not labels}
    assert (values["five"], values["seven"], values["backup_age_seconds"]) == (5.0, 7.0, 5.0)
    assert values["node_textfile_scrape_error"] == 1.0
    assert "node_load1" in values
    page = of_machine(standing).decode()
    assert 'ssh_textfile_error_info{error="' in page

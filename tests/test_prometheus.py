"""What is shipped for Prometheus: configurations, alerts, and each expression of alerts and dashboards on real data.

The fleet is a real sshd on six addresses, polled by the real daemon, scraped by a real Prometheus with the shipped
files, in either of the ways that there are, and by polls now. One machine is down and one has a host key that nobody
knows, so that failures have data too.

No machine has all that is gathered: arrays, sensors, a bond. For alerts and dashboard of a single machine there is one
that says what the fixtures of all gatherers say.
"""

import json
import math
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

import gevent
import pytest
import yaml
from gevent.pywsgi import WSGIServer
from prometheus_client import CollectorRegistry
from rig.logins import write_ini
from rig.needs import program
from rig.polls import OPTIONS
from rig.said import CUT, paths, texts
from rig.sshd import Sshd
from rig.wait import until

from collector import errors, exposition, gather
from collector.config import DAEMON, Machine
from collector.gather import GATHERERS
from collector.metric import Gauge, Samples
from collector.snapshot import Fleet, Gathered, Snapshot, Standing

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "deploy/prometheus"
RULES = SHIPPED / "rules/collector.yml"
MACHINE_RULES = SHIPPED / "rules/machine.yml"
FLEET, MACHINE = (ROOT / f"deploy/grafana/dashboards/{name}.json" for name in ("fleet", "machine"))
PAGE = ROOT / "docs/prometheus.md"

CONFIGURATIONS = ["prometheus.yml", "prometheus-probe.yml"]
WAYS = [*CONFIGURATIONS, "prometheus-probe.yml?poll=now"]

MACHINES = ["ssh0", "ssh1", "ssh2", "ssh3", "down", "stranger"]

MARKS = {"Configuration taken", "Booted"}
"""Marks on the graphs of dashboards: they have data when something happens."""

EVERYTHING = "everything"
"""The machine that has everything."""
NOBODY: dict[str, Any] = {"host": "192.0.2.1", "port": 22, "user": "nobody", "key_file": Path("key"), "known_hosts": ()}
"""How it would be logged in to, if there were such a machine."""

OF_SEVERAL = ("server", "debian12", "laptop")
"""Which fixture is taken of a gatherer that has several: the first of these that there is."""

NOT_YET = {"node_timex_sync_status": 1, "node_timex_offset_seconds": 1e-4, "node_timex_maxerror_seconds": 0.01}
"""Metrics that alerts and dashboard name where a gatherer has them, and values that they may have."""


def promtool(*arguments: str | Path) -> str:
    """What promtool says, when it is content."""
    done = subprocess.run([program("promtool"), *arguments], check=False, capture_output=True, text=True)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


def alerts(path: Path) -> dict[str, dict[str, Any]]:
    """The alerts of a rule file, by their names."""
    groups = yaml.safe_load(path.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules}


each_rules = pytest.mark.parametrize("rules", [RULES, MACHINE_RULES], ids=lambda path: path.stem)


def cases_of(rules: Path) -> Path:
    """The file of promtool's tests of a rule file."""
    return SHIPPED / "tests" / rules.name


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_promtool_takes_the_configuration(name: str) -> None:
    """Debian's promtool finds nothing wrong with either configuration, nor with any of our rules."""
    said = promtool("check", "config", SHIPPED / name)

    assert [RULES, MACHINE_RULES] == sorted((SHIPPED / "rules").iterdir())
    for rules in (RULES, MACHINE_RULES):
        assert f"{rules.name}\n  SUCCESS: {len(alerts(rules))} rules found" in said


@each_rules
def test_promtool_tests_of_the_rules_pass(rules: Path) -> None:
    """Each alert fires, and keeps quiet, at the values of its tests."""
    assert "SUCCESS" in promtool("test", "rules", cases_of(rules))


@each_rules
def test_each_alert_has_a_case_that_fires_and_one_that_does_not(rules: Path) -> None:
    """No alert goes untested, and none is tested one way only."""
    tests = yaml.safe_load(cases_of(rules).read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case["exp_alerts"]}
    quiet = {case["alertname"] for case in cases if not case["exp_alerts"]}

    assert alerts(rules).keys() == fires
    assert alerts(rules).keys() == quiet


@each_rules
def test_each_alert_says_how_bad_it_is_and_what_it_is(rules: Path) -> None:
    """A severity, a summary and a description: what Alertmanager routes by, and what a person reads at night."""
    for name, rule in alerts(rules).items():
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert {"summary", "description"} == rule["annotations"].keys(), name


def test_each_alert_has_its_section_on_the_page() -> None:
    """docs/prometheus.md says what to do about every alert, and about no other."""
    sections = re.findall(r"^### (\w+)$", PAGE.read_text(), re.MULTILINE)

    assert [*alerts(RULES), *alerts(MACHINE_RULES)] == sections


def test_alerts_of_a_machine_go_with_those_of_agents() -> None:
    """No alert of a machine has a name as the node mixin's have (Node…), and none is about a machine with an agent."""
    for name, rule in alerts(MACHINE_RULES).items():
        assert re.match("Machine[A-Z]", name)
        assert rule["expr"].endswith("and on (job, instance) ssh_up"), name


def test_each_reason_is_on_the_page() -> None:
    """docs/prometheus.md says where to look for every reason that a poll fails for."""
    reasons = {kind.reason for kind in errors.PollError.__subclasses__()}

    assert set() == {reason for reason in reasons if f"`{reason}`" not in PAGE.read_text()}


def test_job_is_the_one_of_the_interface() -> None:
    """The job is called `node`, keeps the labels of the page, and asks where the collector listens unless told."""
    host, port = DAEMON["listen"]
    (job,) = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())["scrape_configs"]

    assert "node" == job["job_name"]
    assert job["honor_labels"] is True
    assert socket.gethostbyname("localhost") == host
    assert [{"targets": [f"localhost:{port}"]}] == job["static_configs"]


def test_probes_are_the_same_but_for_the_way() -> None:
    """The other way in has the same rules, and a job `node` of the same target, beside that of the machines."""
    page, probe = (yaml.safe_load((SHIPPED / name).read_text()) for name in CONFIGURATIONS)
    (job,) = page["scrape_configs"]
    own, machines = probe["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]

    assert {**page, "scrape_configs": None} == {**probe, "scrape_configs": None}
    shared = ("job_name", "scrape_interval", "static_configs")
    assert [job[name] for name in shared] == [own[name] for name in shared]
    assert [f"http://{target}/sd"] == [each["url"] for each in machines["http_sd_configs"]]
    assert target in [rule.get("replacement") for rule in machines["relabel_configs"]]


# The real fleet.


class Prometheus:
    """A running Prometheus; `url` is where it answers."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the HTTP API."""
        try:
            with urlopen(f"{self.url}/api/v1/{path}", urlencode(parameters).encode() if parameters else None) as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            with error:
                pytest.fail(f"{path} {parameters}: {error.read().decode()}")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now, those that are no number left out."""
        series = self.get("query", query=expression)["result"]
        return [each for each in series if not math.isnan(float(each["value"][1]))]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule that is loaded."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """An alert's active instances."""
        return [alert for alert in self.get("alerts")["alerts"] if alert["labels"]["alertname"] == name]


@contextmanager
def running(argv: list[str], log: Path, listens: str) -> Iterator[str]:
    """Run a program that listens on a free port; yields what the group of `listens` finds in its log."""
    with log.open("wb") as stream:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=ROOT)
    try:

        def address() -> str | None:
            assert process.poll() is None, log.read_text()
            found = re.search(listens, log.read_text())
            return found and found[1]

        yield until(address, f"{argv[0]} listens") or ""
    finally:
        process.terminate()
        process.wait()


def write_fleet(directory: Path, server: Sshd, closed: int) -> Path:
    """The configuration of `MACHINES`; `closed` is a port on which nobody listens. One gathers more than the others."""
    logins = dict(zip(MACHINES, server.logins("bash").values(), strict=True))
    nobody = directory / "known_hosts"
    nobody.touch()
    sections: dict[str, dict[str, object]] = {name: dict(login) for name, login in logins.items()}
    sections["ssh0"]["labels"] = "dc=eu, role=web"
    sections["ssh1"]["labels"] = "dc=us"
    sections["ssh2"]["jump"] = "ssh0"
    sections["ssh3"]["gather"] = "node"
    sections["down"].update(host="127.0.0.1", port=closed, labels="dc=eu")
    sections["stranger"]["known_hosts"] = nobody
    return write_ini(directory / "collector.ini", sections, listen="127.0.0.1:0", interval="1s")


def write_configuration(directory: Path, target: str, way: str = "prometheus.yml") -> Path:
    """The shipped configuration of a way in, for a target of ours and in a hurry."""
    name, _, poll = way.partition("?")
    text = (SHIPPED / name).read_text()
    if poll:
        commented = re.search(r"    # params:\n    #   poll: .*\n", text)
        assert commented
        text = text.replace(commented[0], commented[0].replace("# ", ""))
    (directory / "rules").mkdir()
    for rules in (RULES, MACHINE_RULES):
        (directory / "rules" / rules.name).write_text(rules.read_text().replace("interval: 5m", "interval: 1s"))
    for shipped, ours in {"localhost:9822": target, "15s": "1s"}.items():
        assert shipped in text
        text = text.replace(shipped, ours)
    path = directory / "prometheus.yml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """The way in: the name of a configuration, and what is asked for in it besides."""
    return str(request.param)


@pytest.fixture(scope="module")
def prometheus(way: str, shared_sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a collector that polls `MACHINES`, all of which have been tried."""
    directory = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # Not listening: whoever connects is refused, and nobody else gets the port.
        ini = write_fleet(directory, shared_sshd, closed.getsockname()[1])
        daemon = [sys.executable, "-m", "collector", "run", "--config", str(ini)]
        address = stack.enter_context(running(daemon, directory / "collector.log", r"serving http://([\d.:]+)"))
        yield stack.enter_context(prometheus_of(directory, write_configuration(directory, address, way)))


@contextmanager
def prometheus_of(directory: Path, configuration: Path) -> Iterator[Prometheus]:
    """A Prometheus of this configuration, which keeps its data in `directory`."""
    server = [
        program("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={directory / 'data'}",
        "--web.listen-address=127.0.0.1:0",
    ]
    with running(server, directory / "prometheus.log", r'msg="Listening on" address=([\d.:]+)') as address:
        yield Prometheus(f"http://{address}")


def fixture_of(gatherer: str) -> Samples:
    """What a gatherer makes of one of its fixtures."""
    there = {path.stem: path for path in paths(gatherer)}
    path = next((there[name] for name in OF_SEVERAL if name in there), paths(gatherer)[0])
    return gather.parse(GATHERERS[gatherer], texts(gatherer, path.read_text().partition(CUT)[0]))


def everything() -> Snapshot:
    """What a machine said that has everything, and yet one gatherer without data."""
    samples = [sample for name in GATHERERS for sample in fixture_of(name)]
    known = {metric.name for metric, _, _ in samples}
    samples += [Gauge(name, "Not yet.")(value) for name, value in NOT_YET.items() if name not in known]
    gathered = [Gathered(name, None) for name in GATHERERS]
    return Snapshot(time(), 0.01, Samples.of(samples), 0.1, 0.01, (*gathered, Gathered("nothing", "no such thing")))


def grown(snapshot: Snapshot, polls: int) -> Snapshot:
    """What it says some polls later: whatever may be a counter is greater by one for each."""
    samples = [metric(value + polls * (metric.kind != "gauge"), *labels) for metric, labels, value in snapshot.samples]
    return snapshot._replace(at=time(), samples=Samples.of(samples))


@contextmanager
def serving_everything() -> Iterator[str]:
    """Serve the page of the machine that has everything, which grows with each scrape; yields where."""
    said = everything()
    standing = Standing(Machine(**{**NOBODY, **OPTIONS, "name": EVERYTHING}), logins=1, login_seconds=0.1)

    def page(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        standing.polls += 1
        standing.failures = {"timeout": standing.polls}
        standing.snapshot, standing.last_success = grown(said, standing.polls), time()
        start("200 OK", [("Content-Type", "text/plain; version=0.0.4")])
        fleet = Fleet()
        fleet.replace([standing])
        return exposition.page(fleet, CollectorRegistry())

    server = WSGIServer(("127.0.0.1", 0), page, log=None)
    server.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.stop()


@pytest.fixture(scope="module")
def of_everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the machine that has everything."""
    directory = tmp_path_factory.mktemp("everything")
    with serving_everything() as address, prometheus_of(directory, write_configuration(directory, address)) as found:
        yield found


Labels = set[tuple[str, ...]]
"""The labels of some series, each with its name."""


@pytest.fixture(scope="module")
def seen() -> dict[str, Labels]:
    """What came in by each way that was tried."""
    return {}


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression of ours: where it stands, its text, and the labels that the legend of its lines shows."""

    where: str
    text: str
    labels: frozenset[str] = frozenset()

    def for_machine(self, machine: str) -> str:
        """The text with values for Grafana's variables, with one machine in detail."""
        values = {"job": ".+", "instance": ".+", "machine": machine, "__rate_interval": "30s", "__range": "1m"}
        return re.sub(r"\$(\w+)", lambda match: values[match[1]], self.text)


def of_dashboard(path: Path) -> list[Expression]:
    """The expressions of all panels, and of the marks on the graphs."""
    dashboard = json.loads(path.read_text())
    marks = [Expression(mark["name"], mark["expr"]) for mark in dashboard["annotations"]["list"]]
    return marks + [
        Expression(panel["title"], target["expr"], frozenset(re.findall(r"{{(\w+)}}", target.get("legendFormat", ""))))
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]


def of_rules(prometheus: Prometheus, path: Path) -> list[Expression]:
    """The expressions of a file's rules, as Prometheus has understood them."""
    return [Expression(rule["name"], rule["query"]) for rule in prometheus.rules() if rule["name"] in alerts(path)]


def outside_braces(text: str) -> list[str]:
    """The text in parts: those with an even number are code, the others are what stands in braces."""
    return re.split(r"(\{[^{}]*\})", text)


def always(text: str) -> str:
    """The expression as it would be if it never kept anything back, to see that what it looks at is there.

    `a > b` keeps the series for which it holds; `a > bool b` gives every series of a that has its b, as 0 or 1. What
    gives a zero where nothing is found gives nothing, and what was long ago is taken for what is.
    """
    parts = outside_braces(re.sub(r" offset \w+", "", text.replace(" or vector(0)", "")))
    comparison = r"(==|!=|<=|>=|<|>)(?! *bool)"
    return "".join(part if number % 2 else re.sub(comparison, r"\1 bool", part) for number, part in enumerate(parts))


def answers(prometheus: Prometheus, text: str, labels: frozenset[str]) -> bool:
    """Whether an expression gives a series, and its series have the labels."""
    series = prometheus.query(text)
    return bool(series) and all(labels <= each["metric"].keys() for each in series)


def is_answered(prometheus: Prometheus, expression: Expression, machines: list[str], *, shown: bool) -> bool:
    """Whether an expression has data for a machine, with whatever it keeps back and, if `shown`, as it stands."""
    return any(
        answers(prometheus, always(text), frozenset()) and (not shown or answers(prometheus, text, expression.labels))
        for text in dict.fromkeys(map(expression.for_machine, machines))
    )


def unanswered(
    prometheus: Prometheus, expressions: list[Expression], *, shown: bool, machines: list[str] = MACHINES
) -> set[str]:
    """What has no data of these expressions, once all have or a minute is over: where each stands, and its text."""
    silent: set[str] = set()

    def is_settled() -> bool:
        gevent.sleep(0.2)
        found = [each for each in expressions if not is_answered(prometheus, each, machines, shown=shown)]
        silent.clear()
        silent.update(f"{each.where}: {each.text}" for each in found)
        return not silent

    with suppress(AssertionError):
        until(is_settled, "every expression has data", seconds=60)
    return silent


def metrics(expressions: list[Expression]) -> set[str]:
    """The metrics that expressions name."""
    code = [part for each in expressions for part in outside_braces(each.text)[::2]]
    return set(re.findall(r"\b(?:ssh|node|collector|process)_\w+", " ".join(code)))


def of_panels(path: Path) -> list[Expression]:
    """The expressions of a dashboard's panels."""
    return [each for each in of_dashboard(path) if each.where not in MARKS]


def of_marks(path: Path) -> list[Expression]:
    """The expressions of the marks on a dashboard's graphs."""
    return [each for each in of_dashboard(path) if each.where in MARKS]


def test_every_panel_has_data(prometheus: Prometheus) -> None:
    """Every query of the fleet's dashboard returns data, with the labels that its legend shows."""
    assert set() == unanswered(prometheus, of_panels(FLEET), shown=True)


def test_every_rule_and_mark_looks_at_data(prometheus: Prometheus) -> None:
    """Every alert, fired or not, compares series that are there, and so do the marks on the graphs."""
    assert set() == unanswered(prometheus, of_rules(prometheus, RULES) + of_marks(FLEET), shown=False)


def test_every_metric_is_one_of_ours(prometheus: Prometheus) -> None:
    """Every metric that an alert or the fleet's dashboard names is on the daemon's page."""
    named = metrics([*of_dashboard(FLEET), *of_rules(prometheus, RULES)])

    def missing() -> set[str]:
        return named - set(prometheus.get("label/__name__/values"))

    until(lambda: not missing(), "every metric is there")


def test_page_of_a_machine_shows_the_real_one(prometheus: Prometheus) -> None:
    """What every machine has is on the page of one that gathers `node`; what some lack is shown by the fixtures."""
    lacking = (
        r"node_(cpu_scaling|disk|edac|filesystem_files|hwmon|md|network|nf_conntrack|pressure|thermal|timex|vmstat_pswp)"
        r"|ssh_poll_failures|ssh_gather_success{[^}]*} == 0"
    )
    everywhere = [each for each in of_panels(MACHINE) if not re.search(lacking, each.text)]

    assert set() == unanswered(prometheus, everywhere, shown=True, machines=["ssh3"])


def test_every_panel_has_data_of_a_machine_that_has_everything(of_everything: Prometheus) -> None:
    """Every query of the machine's dashboard returns data, with the labels that its legend shows."""
    assert set() == unanswered(of_everything, of_panels(MACHINE), shown=True, machines=[EVERYTHING])


def test_every_rule_of_a_machine_looks_at_data(of_everything: Prometheus) -> None:
    """Every alert about what a machine is made of compares series that gatherers make, and so do the marks."""
    expressions = of_rules(of_everything, MACHINE_RULES) + of_marks(MACHINE)

    assert set() == unanswered(of_everything, expressions, shown=False, machines=[EVERYTHING])
    assert alerts(MACHINE_RULES).keys() == {each.where for each in expressions} - MARKS


def test_machines_keep_their_names_and_labels(prometheus: Prometheus) -> None:
    """The instance of a series is the machine's section, its labels are the section's, and `up` is the collector's."""

    def labels() -> dict[str, Mapping[str, str]]:
        return {each["metric"].pop("instance"): each["metric"] for each in prometheus.query("ssh_up")}

    until(lambda: sorted(MACHINES) == sorted(labels()), "all machines are there")
    (up,) = prometheus.query('up{job="node"}')

    assert {"__name__": "ssh_up", "job": "node", "dc": "eu", "role": "web"} == labels()["ssh0"]
    assert {"__name__": "ssh_up", "job": "node"} == labels()["ssh2"]
    assert f"http://{up['metric']['instance']}/metrics" in [
        target["scrapeUrl"].partition("?")[0] for target in prometheus.get("targets")["activeTargets"]
    ]


def test_every_series_has_the_same_labels_in_each_way(
    prometheus: Prometheus, seen: dict[str, Labels], way: str
) -> None:
    """Whichever way a series comes in, it is the same series, so that rules, dashboards and history fit both."""
    until(lambda: prometheus.query('node_load1{instance="ssh3"}'), "all machines are there")
    until(lambda: prometheus.query('ssh_poll_failures_total{instance="stranger"}'), "and all failures")
    # A machine that is up may have failed once, in one way and not in the other.
    found = prometheus.query('{job="node", __name__=~"(node|ssh|collector)_.+", instance!~"ssh."}')
    found += prometheus.query('{job="node", __name__=~"(node|ssh|collector)_.+", instance=~"ssh.", reason=""}')
    names = ("instance", "job", "dc", "role", "gatherer", "reason", "jump", "interval", "le")
    seen[way] = {
        (each["metric"]["__name__"], *(each["metric"].get(name, "") for name in names if name != "instance"),
         each["metric"]["instance"] if each["metric"]["instance"] in MACHINES else "the collector")
        for each in found
    }  # fmt: skip
    for other, labels in seen.items():
        assert set() == labels ^ seen[way], f"{way} has not the same as {other}"


def test_each_machine_is_a_target_of_its_own(prometheus: Prometheus, way: str) -> None:
    """By probes Prometheus has a target for each machine, as often as its section says, and each scrape succeeds."""
    if way == "prometheus.yml":
        assert [] == prometheus.query('up{job="machines"}')
        return

    def are_up() -> bool:
        return sorted(MACHINES) == sorted(
            up["metric"]["instance"] for up in prometheus.query('up{job="machines"} == 1')
        )

    until(are_up, "every machine's scrape succeeds, also of those that are down")
    targets = [one for one in prometheus.get("targets")["activeTargets"] if one["scrapePool"] == "machines"]
    assert len(MACHINES) == len(targets)
    for target in targets:
        name = target["labels"]["instance"]
        assert ("1s", "1s") == (target["scrapeInterval"], target["scrapeTimeout"])
        assert {"target": [name], **({"poll": ["now"]} if "?" in way else {})} == parse_qs(
            urlsplit(target["scrapeUrl"])[3]
        )
        assert target["discoveredLabels"]["__meta_collector_port"].isdecimal()
    assert [] == prometheus.get("targets")["droppedTargets"]
    assert [] == prometheus.query('{__name__=~"exported_.+"}') + prometheus.query('{exported_instance!=""}')


def test_variables_have_values(prometheus: Prometheus) -> None:
    """What is chosen from at the top of the dashboards is there."""
    for variable in [each for path in (FLEET, MACHINE) for each in json.loads(path.read_text())["templating"]["list"]]:
        if variable["type"] == "query":
            query = Expression(variable["name"], variable["query"]).for_machine("ssh0")
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()  # type: ignore[union-attr]
            expected = {"job": ["node"], "instance": sorted(MACHINES)}[label]

            assert expected == sorted(prometheus.get(f"label/{label}/values?{urlencode({'match[]': series})}"))


def test_rules_are_evaluated(prometheus: Prometheus) -> None:
    """Prometheus evaluates every alert without an error."""
    until(lambda: all(rule["health"] != "unknown" for rule in prometheus.rules()), "every rule has been evaluated")

    health = {rule["name"]: rule["health"] for rule in prometheus.rules()}
    assert dict.fromkeys([*alerts(RULES), *alerts(MACHINE_RULES)], "ok") == health


def test_machine_that_is_down_is_told_with_its_reason(prometheus: Prometheus) -> None:
    """The alert for a machine that is down is on its way, with its labels and the reason in the text."""
    until(lambda: "refused" in str(prometheus.alerts("MachineDown")), "the reason is told")
    (alert,) = prometheus.alerts("MachineDown")

    expected = {"alertname": "MachineDown", "severity": "critical", "job": "node", "instance": "down", "dc": "eu"}
    assert expected == alert["labels"]
    assert "pending" == alert["state"]
    assert (
        "Every poll of down in the last five minutes failed. The reason: refused."
        == alert["annotations"]["description"]
    )


def test_refused_host_key_fires_at_once(prometheus: Prometheus) -> None:
    """A machine whose host key nobody knows has an alert that fires, and that says so."""
    until(lambda: prometheus.alerts("MachineHostKeyRefused"), "the alert fires")
    (alert,) = prometheus.alerts("MachineHostKeyRefused")

    assert "firing" == alert["state"]
    assert "The host key of stranger is refused: host_key_unknown" == alert["annotations"]["summary"]

"""Dashboards and rules that others have written for node_exporter: for how much of them there is data, its and ours.

    .venv/bin/python -m benchmarks.dashboards node-exporter-full.json nodes.json node_rules.yaml node_alerts.yaml
    .venv/bin/python -m benchmarks.dashboards --gather all --flag=--collector.systemd --system server ...

The files are not part of this project: dashboards (JSON) are Grafana's exports, as in rfmoz/grafana-dashboards, rules
are what Prometheus reads. Those of node_exporter's own docs/node-mixin are made by `jsonnet -S rules.jsonnet`, the
same with alerts, and `jsonnet -J vendor -m . dashboards.jsonnet`.

On this machine there are a real node_exporter and a real sshd that the collector polls, in the same namespaces, and for
each of the two a real Prometheus with the same rules. To both of these the machine is the same instance of the job
`node`; that there are two means that none answers with what the other one has.

The variables of a dashboard are resolved as Grafana does, by asking Prometheus, and each query of each panel is
evaluated for the whole run. A rule that has nothing to say returns nothing, and so does a panel that shows only what is
not 0: comparisons tell 0 or 1 here instead of leaving out, so that there is data where what they look at is there.

`--system NAME` lays the hardware of a machine of tests/fixtures over /sys for both: sensors, batteries, cpufreq, EDAC.
"""

import argparse
import json
import math
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from time import sleep, time
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from rig.keys import make_key
from rig.logins import write_ini
from rig.needs import program
from rig.sshd import Sshd
from rig.wait import until
from test_node_exporter import FLAGS, build, files_of, fixtures_of

from benchmarks.daemon import Daemon
from benchmarks.expressions import REFRESHED, Values, fill, selectors, unfiltered, variables
from benchmarks.table import table

MACHINE = "box"
"""The instance that it is to either Prometheus."""

STEP = 5
"""Seconds between two scrapes, two polls, two evaluations of the rules and two points of a graph."""

SAME = ("__name__", "instance", "job")
"""Labels that are no news."""

MOST = 3
"""How many series are shown of those that one side has alone."""

CONFIGURATION = """\
global: {{scrape_interval: {step}s, evaluation_interval: {step}s}}
rule_files: {rules}
scrape_configs:
  - job_name: node
    honor_labels: true
    static_configs:
      - targets: ["{address}"]
        labels: {labels}
"""

Series = frozenset[tuple[str, str]]
"""The labels of a series."""


@dataclass(frozen=True, slots=True)
class Query:
    """An expression as it is asked of one side: of which dashboard or group, and of which panel or rule there.

    `unset` are what its variables would have a value of, those that have none.
    """

    source: str
    part: str
    text: str
    unset: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a side has for a query if it keeps nothing back, and for each of its selectors, in order."""

    query: Query
    series: frozenset[Series]
    selected: tuple[tuple[str, frozenset[Series]], ...]


Answers = Sequence[tuple[Answer, Answer]]
"""Of each query, what node_exporter has and what we have."""


@dataclass(slots=True)
class Prometheus:
    """One that runs; `url` is where it answers, `began` when it did so first."""

    url: str
    began: float = field(default_factory=time)

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of the HTTP API. Raises ValueError with what Prometheus says."""
        try:
            with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}") as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            with error:
                raise ValueError(f"{parameters}: {error.read().decode()}") from error

    def query(self, expression: str) -> frozenset[Series]:
        """Return the series that an expression gave at any time, but for those that never were a number."""
        span = {"start": str(self.began), "end": str(time()), "step": str(STEP)}
        return frozenset(
            frozenset(series["metric"].items())
            for series in self.get("query_range", query=expression, **span)["result"]
            if not all(math.isnan(float(value)) for _, value in series["values"])
        )

    def values(self, label: str, series: str) -> list[str]:
        """Return the values of a label."""
        found: list[str] = self.get(f"label/{label}/values", **({"match[]": series} if series else {}))
        return found


def main() -> None:
    """Run both, compare, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="dashboards (.json) and rules (.yml, .yaml)")
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--gather", default="node", help="as in collector.ini")
    parser.add_argument("--flag", action="append", default=[], help="one more for node_exporter")
    parser.add_argument("--system", help="whose hardware, of tests/fixtures")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    files = [path.resolve(strict=True) for path in options.files]
    dashboards = [path for path in files if path.suffix == ".json"]
    rules = [path for path in files if path not in dashboards]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        directory = Path(folder)
        addresses = stack.enter_context(machine(directory, options.gather, options.flag, options.system))
        # Our page says itself which machine a series is of; what is said of no machine is not the machine's.
        labels = {"theirs": {"instance": MACHINE}, "ours": {}}
        sides = [
            stack.enter_context(scraping(directory / name, address, labels[name], rules))
            for name, address in addresses.items()
        ]
        until(lambda: all(side.query("node_load1") for side in sides), "both are scraped", 60)
        sleep(options.seconds)
        answers = compare(sides[0], sides[1], dashboards)
    print(show(answers))
    if options.json:
        options.json.write_text(json.dumps([told(pair) for pair in answers], indent=1))


@contextmanager
def machine(directory: Path, gather: str, flags: Sequence[str], system: str | None) -> Iterator[dict[str, str]]:
    """Give this machine an agent and a collector; yields where either answers."""
    with ExitStack() as stack:
        server = stack.enter_context(Sshd(directory, [make_key(directory / "key")]))
        inside = ["nsenter", f"--target={server.pid}", "--mount", "--pid"]
        if system:
            lay(directory / "hardware", system)
            layers = f"lowerdir={directory}/hardware/sys:/sys"
            subprocess.run([*inside, "mount", "-t", "overlay", "-o", layers, "overlay", "/sys"], check=True)
        ini = write_ini(
            directory / "collector.ini",
            {MACHINE: server.login("bash")},
            defaults={"gather": gather},
            listen="127.0.0.1:0",
            interval=f"{STEP}s",
        )
        # The first of FLAGS would keep it from telling where it listens.
        agent = [*inside, program("prometheus-node-exporter"), "--web.listen-address=127.0.0.1:0", *FLAGS[1:], *flags]
        listens = r'msg="Listening on" address=([\d.:]+)'
        yield {
            "theirs": stack.enter_context(running(agent, directory / "exporter.log", listens)),
            "ours": stack.enter_context(Daemon(ini)).address,
        }


def lay(root: Path, system: str) -> None:
    """Make a tree like that of /sys on a machine of tests/fixtures, to be seen there."""
    build(root, files_of(fixtures_of(system)))
    for link in root.rglob("*"):
        if link.is_symlink():
            target = link.readlink()
            link.unlink()
            link.symlink_to(Path("/") / target.relative_to(root))


@contextmanager
def scraping(directory: Path, address: str, labels: Mapping[str, str], rules: Sequence[Path]) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes an address; `labels` are those of the target."""
    directory.mkdir()
    configuration = directory / "prometheus.yml"
    rule_files = json.dumps([*map(str, rules)])
    configuration.write_text(
        CONFIGURATION.format(step=STEP, rules=rule_files, address=address, labels=json.dumps(labels))
    )
    argv = [
        program("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={directory / 'data'}",
        "--web.listen-address=127.0.0.1:0",
    ]
    with running(argv, directory / "log", r'(?s)msg="Listening on" address=([\d.:]+).+Server is ready') as listens:
        yield Prometheus(f"http://{listens}")


@contextmanager
def running(argv: Sequence[str], log: Path, listens: str) -> Iterator[str]:
    """Run a program that listens on a free port; yields what the group of `listens` finds in its log."""
    with log.open("wb") as stream:
        argv = ["setpriv", "--pdeathsig", "KILL", *argv]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True)
    try:

        def address() -> str | None:
            if process.poll() is not None:
                raise RuntimeError(f"{argv[3]} does not start:\n{log.read_text()}")
            found = re.search(listens, log.read_text())
            return found and found[1]

        yield until(address, f"{argv[3]} listens", 60) or ""
    finally:
        # nsenter forks.
        os.killpg(process.pid, 9)
        process.wait()


def compare(theirs: Prometheus, ours: Prometheus, dashboards: Sequence[Path]) -> Answers:
    """Ask both for all that the dashboards and the rules ask for."""
    sides = [[ask(side, query) for query in queries(side, dashboards)] for side in (theirs, ours)]
    return list(zip(*sides, strict=True))


def queries(side: Prometheus, dashboards: Sequence[Path]) -> Iterator[Query]:
    """Yield all that is asked of one side."""
    for path in dashboards:
        yield from panels(json.loads(path.read_text()), side)
    yield from of_rules(side)


def ask(side: Prometheus, query: Query) -> Answer:
    """Return what a side has for a query."""
    selected = tuple((selector, side.query(selector)) for selector in selectors(query.text))
    return Answer(query, side.query(unfiltered(query.text)), selected)


def panels(dashboard: Mapping[str, Any], side: Prometheus) -> Iterator[Query]:
    """Yield the queries of all panels, filled in for the machine of a Prometheus."""
    values = resolve(dashboard, side)
    unset = {one["name"]: asked_by(one) for one in dashboard["templating"]["list"] if not values[one["name"]]}
    for panel in flat(dashboard["panels"]):
        for target in panel.get("targets", []):
            if expression := target.get("expr"):
                lacking = tuple(asked for name, asked in unset.items() if name in variables(expression))
                yield Query(dashboard["title"], panel["title"], fill(expression, values).strip(), lacking)


def flat(found: Sequence[Mapping[str, Any]], row: str = "") -> Iterator[Mapping[str, Any]]:
    """Yield all panels, those of rows too; a title says in which row it stands."""
    for panel in found:
        if panel["type"] == "row":
            row = panel["title"]
        else:
            yield {**panel, "title": f"{row}: {panel.get('title', '')}" if row else panel.get("title", "")}
        yield from flat(panel.get("panels", []), row)


def resolve(dashboard: Mapping[str, Any], side: Prometheus) -> Values:
    """Return what the variables of a dashboard stand for when it is opened, and those that Grafana has anyway."""
    width = int(time() - side.began)
    values: dict[str, str | Sequence[str]] = {
        "__interval": f"{STEP}s",
        "__interval_ms": str(1000 * STEP),
        "__rate_interval": f"{4 * STEP}s",
        "__range": f"{width}s",
        "__range_s": str(width),
        "__range_ms": str(1000 * width),
    }
    for variable in dashboard["templating"]["list"]:
        values[variable["name"]] = chosen(variable, values, side)
    return values


def chosen(variable: Mapping[str, Any], values: Values, side: Prometheus) -> str | Sequence[str]:
    """Return what a variable stands for: all, where one may choose that, and else the first there is, or nothing."""
    several = variable.get("multi") or variable.get("includeAll")
    if variable.get("includeAll") and variable.get("allValue"):
        return str(variable["allValue"])
    if variable["type"] == "query":
        found = offered(fill(asked_by(variable), values), variable, side)
    else:
        found = [one.partition(" : ")[-1].strip() for one in asked_by(variable).split(",")]
    return found if several else "".join(found[:1])


def asked_by(variable: Mapping[str, Any]) -> str:
    """Return the query of a variable, or what there is to choose from."""
    query = variable.get("query") or ""
    return str(query["query"] if isinstance(query, Mapping) else query)


def offered(query: str, variable: Mapping[str, Any], side: Prometheus) -> list[str]:
    """Return the values that a query offers. Raises ValueError where it is of a sort that is not known here."""
    asked = REFRESHED.fullmatch(query.strip())
    if not asked:
        raise ValueError(f"what does {query} stand for?")
    found = side.values(asked["label"], asked["series"] or "")
    if pattern := (variable.get("regex") or "").strip("/"):
        matches = filter(None, (re.search(pattern, one) for one in found))
        found = [match[1] if match.re.groups else match[0] for match in matches]
    return found


def of_rules(side: Prometheus) -> Iterator[Query]:
    """Yield the expressions of all rules, as Prometheus has understood them."""
    for group in side.get("rules")["groups"]:
        for rule in group["rules"]:
            kind = "records" if rule["type"] == "recording" else "alerts"
            severity = rule.get("labels", {}).get("severity", "")
            yield Query(f"{group['name']} ({kind})", f"{rule['name']} {severity}".strip(), rule["query"])


def show(answers: Answers) -> str:
    """Return the table, and what differs."""
    head = ("dashboard, or group of rules", "panels or rules", "its", "ours", "queries", "its", "ours")
    rows = [(source, *counts([*each])) for source, each in groupby(answers, key=lambda pair: pair[0].query.source)]
    rows.append(("all", *counts(answers)))
    return "\n".join([table((*head, "metrics", "its", "ours"), rows), *differences(answers)])


def counts(answers: Answers) -> Iterator[int]:
    """Yield how many panels or rules there are, and how many of them have data of either; so of queries and metrics."""
    parts = [{part(pair[side].query) for pair in answers if pair[side].series} for side in (0, 1)]
    yield from (len({part(theirs.query) for theirs, _ in answers}), *map(len, parts))
    yield from (len(answers), *(sum(bool(pair[side].series) for pair in answers) for side in (0, 1)))
    names = [{name(it) for pair in answers for it, series in pair[side].selected if series} for side in (0, 1)]
    yield from (len({name(it) for theirs, _ in answers for it, _ in theirs.selected}), *map(len, names))


def part(query: Query) -> str:
    """Return where a query stands."""
    return f"{query.source} / {query.part}"


def name(selector: str) -> str:
    """Return the metric of a selector."""
    return selector.partition("{")[0] or selector


def differences(answers: Answers) -> Iterator[str]:
    """Yield lines: the metrics of one side only with the panels that ask for them, and series of one side only."""
    for side, title in enumerate(("node_exporter has data, we have none", "We have data, node_exporter has none")):
        yield f"\n{title}:\n"
        for metric, parts in alone(answers, side).items():
            yield f"* `{metric}`: {'; '.join(parts)}"
    yield "\nBoth have data, but not the same series:\n"
    yield from dict.fromkeys(line for pair in answers for line in others(*pair))


def alone(answers: Answers, side: int) -> dict[str, list[str]]:
    """Return the metrics that only one side has where they are asked for, and by what, in the order of the names.

    Where a variable has no value, the metric is the one by which it would; a query of which one side alone has data
    although both have all its metrics stands there itself.
    """
    found: dict[str, dict[str, None]] = {}
    for pair in answers:
        one, other = pair[side], pair[1 - side]
        both = zip(one.selected, other.selected, strict=True)
        lacking = [name(it) for (it, series), (_, others) in both if series and not others]
        if lacking and other.query.unset:
            lacking = list(other.query.unset)
        if one.series and not other.series and not lacking:
            lacking = [one.query.text]
        for metric in lacking:
            found.setdefault(metric, {})[part(one.query)] = None
    return {metric: list(parts) for metric, parts in sorted(found.items())}


def others(theirs: Answer, ours: Answer) -> Iterator[str]:
    """Yield a line for each selector that gives something on both sides, and not the same."""
    for (selector, its), (_, mine) in zip(theirs.selected, ours.selected, strict=True):
        if its and mine and its != mine:
            yield f"* `{selector}`: only its {labels(its - mine)}; only ours {labels(mine - its)}"
    same = [its == mine for (_, its), (_, mine) in zip(theirs.selected, ours.selected, strict=True)]
    if theirs.series and ours.series and theirs.series != ours.series and all(same):
        only = f"only its {labels(theirs.series - ours.series)}; only ours {labels(ours.series - theirs.series)}"
        yield f"* `{theirs.query.text}`: {only}"


def labels(found: frozenset[Series]) -> str:
    """Return the labels of some series in a few words."""
    shown = sorted(
        "{" + ", ".join(f'{key}="{value}"' for key, value in sorted(series) if key not in SAME) + "}"
        for series in found
    )
    return " ".join(shown[:MOST]) + (f" and {len(shown) - MOST} more" if len(shown) > MOST else "") or "nothing"


def told(pair: tuple[Answer, Answer]) -> dict[str, Any]:
    """Return a query with both answers, for JSON: how many series there are, in all and of each selector."""
    theirs, ours = pair
    both = zip(theirs.selected, ours.selected, strict=True)
    return {
        **asdict(theirs.query),
        "series": [len(theirs.series), len(ours.series)],
        "selected": {selector: [len(its), len(mine)] for (selector, its), (_, mine) in both},
    }


if __name__ == "__main__":
    main()

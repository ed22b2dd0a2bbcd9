"""What is shipped for Grafana: the dashboards are what their code makes, and hold together; the provisioning files fit.

That their queries have data is shown in test_prometheus.py.
"""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from rig.needs import program

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "deploy/grafana"
PAGE = ROOT / "docs/grafana.md"

BUILT_IN = {"__rate_interval", "__range", "__url_time_range", "__value.raw", "__field.labels.instance"}
"""Variables that Grafana has by itself."""

LABELS = {
    *("instance", "reason", "mountpoint", "device", "fstype", "device_error"),
    *("1", "0", "-1"),
    *("user", "nice", "system", "iowait", "irq", "softirq", "steal"),
}
"""Columns of a table that are labels, and lines that are called by a label's value."""

BY_DEFAULT = re.compile(r"\b(ssh_\w+|node_time_seconds|node_load\d+|node_memory_\w+)\b")
"""Metrics of every machine, unless its `gather` says otherwise."""

NAMES = ["fleet", "machine"]
DASHBOARDS = {name: json.loads((SHIPPED / f"dashboards/{name}.json").read_text()) for name in NAMES}
UIDS = {name: dashboard["uid"] for name, dashboard in DASHBOARDS.items()}


def shown(name: str) -> list[dict[str, Any]]:
    """The panels of a dashboard, without the heads of its rows."""
    return [panel for panel in DASHBOARDS[name]["panels"] if panel["type"] != "row"]


def rows(name: str) -> list[str]:
    """The heads of a dashboard's rows, without the machine's name."""
    return [panel["title"].split(":")[0] for panel in DASHBOARDS[name]["panels"] if panel["type"] == "row"]


PANELS = {f"{name}-{panel['id']}": panel for name in NAMES for panel in shown(name)}

each_dashboard = pytest.mark.parametrize("name", NAMES)
each_panel = pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
each_panel_of_fleet = pytest.mark.parametrize("panel", shown("fleet"), ids=[f"{each['id']}" for each in shown("fleet")])
each_panel_of_machine = pytest.mark.parametrize(
    "panel", shown("machine"), ids=[f"{each['id']}" for each in shown("machine")]
)


def variables(value: object) -> set[str]:
    """The variables that are used anywhere in `value`: $name, ${name} and ${name:format}."""
    found = re.findall(r"\$(?:(\w+)|\{([\w.]+)(?::\w+)?\})", json.dumps(value))
    return {plain or braced for plain, braced in found} - {"__all"}


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    """The cells of the grid that a panel covers, as (x, y)."""
    place = panel["gridPos"]
    return {
        (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    }


@each_dashboard
def test_dashboard_is_what_the_code_makes(name: str) -> None:
    """The committed JSON is, byte for byte, what the dashboard's code prints."""
    code, committed = SHIPPED / f"{name}.py", SHIPPED / f"dashboards/{name}.json"
    made = subprocess.run([sys.executable, code], check=True, capture_output=True, text=True).stdout

    assert made == committed.read_text(), f"python deploy/grafana/{name}.py > deploy/grafana/dashboards/{name}.json"


def test_every_dashboard_is_tested() -> None:
    """No dashboard is shipped that these tests do not know."""
    assert NAMES == sorted(path.stem for path in (SHIPPED / "dashboards").glob("*"))


def test_fleet_has_what_an_operator_looks_for() -> None:
    """There are panels for all that is measured: states, clocks, memory, load, polls, the collector."""
    wanted = {
        "State of every machine",
        "Why machines are down",
        "Clock offsets of the fleet",
        "Memory used",
        "Load",
        "Load per core",
        "Polls",
        "Failures by reason",
        "Logins",
        "Sweep, and one after another",
        "Lag of the hub",
        "Missed polls",
        "Processor",
    }

    assert set() == wanted - {panel["title"] for panel in shown("fleet")}


def test_machine_has_what_an_operator_looks_for() -> None:
    """There are panels for all that `gather = node` reads of a machine."""
    wanted = {
        *("State", "Uptime", "System", "Kernel", "Clock offset", "Gatherers without data"),
        *("Processor", "Single processors", "Load", "Frequency of processors", "Temperatures"),
        *("Memory", "Swapping", "Killed for want of memory"),
        *("Throughput", "Operations", "Latency", "Busy"),
        *("Traffic", "Packets", "Errors", "Drops"),
        *("File systems mounted", "Space used", "Inodes used"),
        *("Pressure on processors", "Pressure on disks", "Pressure on memory"),
    }

    assert set() == wanted - {panel["title"] for panel in shown("machine")}


@each_dashboard
def test_ids_are_unique(name: str) -> None:
    """No two panels have the same id."""
    ids = [panel["id"] for panel in DASHBOARDS[name]["panels"]]

    assert sorted(set(ids)) == sorted(ids)


@each_dashboard
def test_panels_lie_side_by_side(name: str) -> None:
    """No panel covers another or reaches beyond the 24 columns, and they come in the order of reading."""
    panels = DASHBOARDS[name]["panels"]
    for one, other in combinations(panels, 2):
        assert set() == cells(one) & cells(other), (one["title"], other["title"])
    assert all(0 <= x < 24 for panel in panels for x, _ in cells(panel))
    places = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in panels]
    assert sorted(places) == places


@each_dashboard
def test_lines_of_panels_are_full(name: str) -> None:
    """No gap is left in a line of panels, and those of one line are of one height."""
    lines: dict[int, list[dict[str, int]]] = {}
    for panel in shown(name):
        lines.setdefault(panel["gridPos"]["y"], []).append(panel["gridPos"])
    for line in lines.values():
        assert sum(place["w"] for place in line) == 24
        assert len({place["h"] for place in line}) == 1


@each_panel
def test_panel_is_complete(panel: dict[str, Any]) -> None:
    """A panel has a description, and queries that each have an expression and the chosen data source."""
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    names = [target["refId"] for target in panel["targets"]]

    assert panel["description"].endswith(".")
    assert chosen == panel["datasource"]
    assert names, "a panel without queries"
    assert sorted(set(names)) == sorted(names)
    for target in panel["targets"]:
        assert chosen == target["datasource"]
        assert target["expr"].strip()
        assert target["instant"] is not target["range"]


@each_dashboard
def test_every_query_is_one(name: str, tmp_path: Path) -> None:
    """Prometheus can read every query, once Grafana has put in what its variables stand for."""
    values = {"__rate_interval": "1m", "__range": "3h"}
    queries = [target["expr"] for panel in shown(name) for target in panel["targets"]]
    queries += [mark["expr"] for mark in DASHBOARDS[name]["annotations"]["list"]]
    plain = [re.sub(r"\$(\w+)", lambda match: values.get(match[1], "x"), query) for query in queries]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(plain)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": rules}]}))

    done = subprocess.run([program("promtool"), "check", "rules", path], check=False, capture_output=True, text=True)

    assert 0 == done.returncode, done.stdout + done.stderr


@each_panel
def test_rates_suit_the_time_shown(panel: dict[str, Any]) -> None:
    """How fast something grows is asked over as much time as lies between two points, and never over less than data."""
    for target in panel["targets"]:
        windows = re.findall(r"\b(?:rate|irate|delta|deriv)\([^\[]*\[(.*?)\]", target["expr"])
        assert {"$__rate_interval"} >= set(windows)


@each_panel
def test_overrides_are_for_something_that_is_there(panel: dict[str, Any]) -> None:
    """A look that is given to a line or column by its name goes to one that the queries make."""
    legends = {target.get("legendFormat") for target in panel["targets"]}
    columns = {f"Value #{target['refId']}" for target in panel["targets"] if target.get("format") == "table"}
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["id"] == "byName":
            assert override["matcher"]["options"] in legends | columns | LABELS
        for property in override["properties"]:
            if property["id"] == "custom.fillBelowTo":
                assert property["value"] in legends


@each_dashboard
def test_every_variable_is_defined(name: str) -> None:
    """Every variable in a query, title or link is the dashboard's or Grafana's, and none is for nothing."""
    defined = {variable["name"] for variable in DASHBOARDS[name]["templating"]["list"]}
    used = variables(DASHBOARDS[name])

    assert used - BUILT_IN <= defined
    assert defined - used <= {"filter"}, "a filter needs no mention: Grafana puts it into every query"


@each_dashboard
def test_all_machines_are_one_short_expression(name: str) -> None:
    """`All` stands for a pattern, not for a list of ten thousand names."""
    several = [variable for variable in DASHBOARDS[name]["templating"]["list"] if variable.get("multi")]

    assert {"fleet": ["job", "instance"], "machine": ["job"]}[name] == [variable["name"] for variable in several]
    assert {".+"} == {variable["allValue"] for variable in several}


@each_panel_of_fleet
def test_fleet_is_summed_up_or_cut(panel: dict[str, Any]) -> None:
    """No graph draws a line for every machine of a fleet: it sums up, or takes the worst, or is about one machine."""
    bounded = r"^(1 - )?(sum|count|count_values|min|max|quantile|topk|bottomk|histogram_quantile)\b"
    for target in panel["targets"]:
        a_machine_each = "$instance" in target["expr"] and target.get("format") != "table"
        assert not a_machine_each or re.match(bounded, target["expr"])


@each_panel_of_machine
def test_machine_is_about_one(panel: dict[str, Any]) -> None:
    """Every series that a query of the machine's page reads is that machine's."""
    for target in panel["targets"]:
        metrics = re.findall(r"\b(?:node|ssh)_\w+(?:\{([^}]*)\})?", target["expr"])
        assert metrics
        assert all(metric.startswith('job=~"$job", instance="$machine"') for metric in metrics), target["expr"]


@each_panel_of_machine
def test_empty_panel_says_what_it_needs(panel: dict[str, Any]) -> None:
    """A panel that not every machine has data for says what to gather, where it would look broken."""
    needs = [re.findall(r"\b(?:node|ssh)_\w+", target["expr"]) for target in panel["targets"]]
    always = any(all(BY_DEFAULT.fullmatch(metric) for metric in metrics) for metrics in needs)

    assert always or "gather = node" in panel["fieldConfig"]["defaults"]["noValue"]


def test_dashboards_lead_to_each_other() -> None:
    """From the fleet a machine, wherever it is named, leads to its page, and from there a link leads back."""
    ways = {name: {link["url"] for link in DASHBOARDS[name]["links"] if link["type"] == "link"} for name in NAMES}
    (table,) = (panel for panel in shown("fleet") if panel["title"] == "State of every machine")
    pages = [f"/d/{UIDS[name]}?" for name in ("machine", "fleet")]

    assert {"fleet": {f"/d/{UIDS['machine']}"}, "machine": {f"/d/{UIDS['fleet']}"}} == ways
    for name in NAMES:
        assert all(link["includeVars"] and link["keepTime"] for link in DASHBOARDS[name]["links"] if link["url"])
    (links,) = re.findall(r'"id": "links", "value": (\[.*?\])', json.dumps(table))
    assert pages == re.findall(r"/d/[\w-]+\?", links)
    assert all("var-machine=" in link["url"] for link in json.loads(links))


@each_dashboard
def test_dashboard_can_be_provisioned(name: str) -> None:
    """The dashboard has an address of its own, its links lead to one of ours, and it has no number of a database's."""
    links = re.findall(r"/d/([\w-]+)", (SHIPPED / f"dashboards/{name}.json").read_text())

    assert set(links) <= set(UIDS.values())
    assert len(NAMES) == len(set(UIDS.values()))
    assert DASHBOARDS[name].get("id") is None


def test_provisioning_files_fit() -> None:
    """Grafana finds the dashboards where the page says to put them, and a data source of the right kind."""
    page = PAGE.read_text()
    (provider,) = yaml.safe_load((SHIPPED / "provisioning/dashboards/collector.yml").read_text())["providers"]
    (source,) = yaml.safe_load((SHIPPED / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]

    assert "file" == provider["type"]
    assert f"-t {provider['options']['path']} deploy/grafana/dashboards/*.json" in page
    for uid in UIDS.values():
        assert f"/d/{uid}`" in page
    assert "prometheus" == source["type"]
    assert job["scrape_interval"] == source["jsonData"]["timeInterval"]


def test_page_names_the_rows() -> None:
    """docs/grafana.md says what each row of the dashboards answers."""
    told = re.findall(r"^\| (?!row )([A-Z][^|]*) \|", PAGE.read_text(), re.MULTILINE)

    assert rows("fleet") + rows("machine") == told

"""What is shipped for Grafana: the dashboard is what its code makes, and holds together; the provisioning files fit.

That its queries have data is shown in test_prometheus.py.
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

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "deploy/grafana"
COMMITTED = SHIPPED / "dashboards/fleet.json"

BUILT_IN = {"__rate_interval", "__range", "__url_time_range", "__value.raw", "__field.labels.instance"}
"""Variables that Grafana has by itself."""

LABELS = {"instance", "reason", "1", "0", "-1"}
"""Columns of a table that are labels, and lines that are called by a label's value."""

DASHBOARD = json.loads(COMMITTED.read_text())
PANELS = DASHBOARD["panels"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]
TITLES = [panel["title"] for panel in SHOWN]

each_panel = pytest.mark.parametrize("panel", SHOWN, ids=[f"{panel['id']}" for panel in SHOWN])


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


def test_dashboard_is_what_the_code_makes() -> None:
    """The committed JSON is, byte for byte, what dashboard.py prints."""
    made = subprocess.run([sys.executable, SHIPPED / "dashboard.py"], check=True, capture_output=True, text=True).stdout

    assert made == COMMITTED.read_text(), "python deploy/grafana/dashboard.py > deploy/grafana/dashboards/fleet.json"


def test_dashboard_has_what_an_operator_looks_for() -> None:
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

    assert set() == wanted - set(TITLES)


def test_ids_are_unique() -> None:
    """No two panels have the same id."""
    ids = [panel["id"] for panel in PANELS]

    assert sorted(set(ids)) == sorted(ids)


def test_panels_lie_side_by_side() -> None:
    """No panel covers another or reaches beyond the 24 columns, and they come in the order of reading."""
    for one, other in combinations(PANELS, 2):
        assert set() == cells(one) & cells(other), (one["title"], other["title"])
    assert all(0 <= x < 24 for panel in PANELS for x, _ in cells(panel))
    places = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in PANELS]
    assert sorted(places) == places


def test_lines_of_panels_are_full() -> None:
    """No gap is left in a line of panels, and those of one line are of one height."""
    lines: dict[int, list[dict[str, int]]] = {}
    for panel in SHOWN:
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


def test_every_variable_is_defined() -> None:
    """Every variable in a query, title or link is the dashboard's or Grafana's, and none is for nothing."""
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = variables(DASHBOARD)

    assert used - BUILT_IN <= defined
    assert defined - used == {"filter"}, "a filter needs no mention: Grafana puts it into every query"


def test_all_machines_are_one_short_expression() -> None:
    """`All` stands for a pattern, not for a list of ten thousand names."""
    several = [variable for variable in DASHBOARD["templating"]["list"] if variable.get("multi")]

    assert ["job", "instance"] == [variable["name"] for variable in several]
    assert {".+"} == {variable["allValue"] for variable in several}


@each_panel
def test_fleet_is_summed_up_or_cut(panel: dict[str, Any]) -> None:
    """No graph draws a line for every machine of a fleet: it sums up, or takes the worst, or is about one machine."""
    bounded = r"^(1 - )?(sum|count|count_values|min|max|quantile|topk|bottomk|histogram_quantile)\b"
    for target in panel["targets"]:
        a_machine_each = "$instance" in target["expr"] and target.get("format") != "table"
        assert not a_machine_each or re.match(bounded, target["expr"])


def test_dashboard_can_be_provisioned() -> None:
    """The dashboard has an address of its own, which its links lead to, and no number of some Grafana's database."""
    links = re.findall(r"/d/([\w-]+)\?", COMMITTED.read_text())

    assert {DASHBOARD["uid"]} == set(links)
    assert DASHBOARD.get("id") is None


def test_provisioning_files_fit() -> None:
    """Grafana finds the dashboard where the page says to put it, and a data source of the right kind."""
    page = (ROOT / "docs/grafana.md").read_text()
    (provider,) = yaml.safe_load((SHIPPED / "provisioning/dashboards/collector.yml").read_text())["providers"]
    (source,) = yaml.safe_load((SHIPPED / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (job,) = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]

    assert "file" == provider["type"]
    assert f"-t {provider['options']['path']} deploy/grafana/dashboards/fleet.json" in page
    assert f"/d/{DASHBOARD['uid']}`" in page
    assert "prometheus" == source["type"]
    assert job["scrape_interval"] == source["jsonData"]["timeInterval"]


def test_page_names_the_rows() -> None:
    """docs/grafana.md says what each row of the dashboard answers."""
    rows = [panel["title"].split(":")[0] for panel in PANELS if panel["type"] == "row"]
    told = re.findall(r"^\| (?!row )([A-Z][^|]*) \|", (ROOT / "docs/grafana.md").read_text(), re.MULTILINE)

    assert rows == told

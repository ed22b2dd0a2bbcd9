"""The benchmarks still run: each with tiny numbers; and README says what the committed results say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ROOT, report
from benchmarks.expressions import fill, selectors, unfiltered, variables
from benchmarks.growth import bend, within

SSHD = ("root", "namespaces", "setpriv", "sshd")


def run(directory: Path, name: str, *arguments: str) -> list[dict[str, object]]:
    """Run a benchmark, and return what it wrote."""
    path = directory / "results.json"
    argv = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--json", str(path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    results: list[dict[str, object]] = json.loads(path.read_text())
    return results


def test_growth(tmp_path: Path) -> None:
    """Simulated machines are logged in to once each and polled, and none is missed."""
    (row,) = run(tmp_path, "growth", "--sizes", "5", "--interval", "0.5", "--seconds", "1")
    polls = row.pop("polls")
    assert isinstance(polls, int)
    assert polls >= 5
    assert {"machines": 5, "logins": 5.0, "missed": 0.0, "failed": 0.0}.items() <= row.items()


@pytest.mark.needs(*SSHD)
def test_compare(tmp_path: Path) -> None:
    """The collector and a peer poll the same machines; the cheapest is the first of the table."""
    arguments = (
        "--machines",
        "3",
        "--rounds",
        "1",
        "--seconds",
        "1",
        "--only",
        "collector",
        "asyncssh_shell",
        "tutorial",
    )
    results = run(tmp_path, "compare", *arguments)
    assert {"collector", "asyncssh_shell", "tutorial"} == {result["name"] for result in results}
    assert "tutorial" == results[-1]["name"]
    assert all(isinstance(result["polls"], int) and result["polls"] >= 3 for result in results)


@pytest.mark.needs(*SSHD)
def test_compare_what_node_gathers(tmp_path: Path) -> None:
    """The collector of two trees and a peer fetch the same, of which nearly as many bytes come for each."""
    arguments = ("--machines", "3", "--rounds", "1", "--seconds", "2", "--interval", "0.5", "--gather", "node")
    only = ("--before", str(ROOT), "--only", "collector", "before", "asyncssh_exec")
    results = run(tmp_path, "compare", *arguments, *only)
    received = {result["name"]: result["received"] for result in results}
    assert {"collector", "before", "asyncssh_exec"} == received.keys()
    assert [received["collector"]] * 3 == pytest.approx(list(received.values()), rel=0.3)


@pytest.mark.needs(*SSHD)
def test_target(tmp_path: Path) -> None:
    """A poll by the probe costs the target less than an exec, and a session holds a few megabytes."""
    costs = {
        cost["name"]: cost for cost in run(tmp_path, "target", "--machines", "1", "--rounds", "1", "--seconds", "0.5")
    }
    assert {"probe", "sh", "exec"} <= costs.keys()
    assert all(isinstance(cost["mb"], float) and 0 < cost["mb"] < 50 for cost in costs.values())


@pytest.mark.needs(*SSHD, "tun")
def test_latency(tmp_path: Path) -> None:
    """Two machines behind a slow line are asked side by side."""
    figures = run(tmp_path, "latency", "--machines", "2", "--sweeps", "1", "--delay", "0.02")
    assert isinstance(figures, dict)
    assert {"machines": 2, "logins": 2}.items() <= figures.items()


DASHBOARD = {
    "title": "Dashboard",
    "templating": {
        "list": [
            {"name": "job", "type": "query", "query": "label_values(node_load1, job)"},
            {"name": "node", "type": "query", "query": {"query": 'label_values(node_load1{job="$job"}, instance)'}},
            {"name": "none", "type": "query", "query": "label_values(go_info, version)"},
        ]
    },
    "panels": [
        {"type": "row", "title": "Row"},
        {"type": "stat", "title": "load", "targets": [{"expr": 'node_load1{instance="$node",job="$job"} < 0'}]},
        {"type": "stat", "title": "agent", "targets": [{"expr": 'go_info{version="$none"}'}, {"expr": "node_none"}]},
    ],
}

RULES = """\
groups:
  - name: group
    rules:
      - {record: "job:load", expr: "sum by (job) (node_load1)"}
      - {alert: Load, expr: "node_load1 > 1e9 and on (instance) go_info"}
"""


@pytest.mark.needs(*SSHD, "nsenter", "prometheus", "prometheus-node-exporter")
def test_dashboards(tmp_path: Path) -> None:
    """What a panel or a rule looks at is found on the sides that have it, and on no other, also if it shows nothing."""
    dashboard, rules = tmp_path / "dashboard.json", tmp_path / "rules.yml"
    dashboard.write_text(json.dumps(DASHBOARD))
    rules.write_text(RULES)
    told = run(tmp_path, "dashboards", str(dashboard), str(rules), "--gather", "load", "--seconds", "1")
    assert [
        ("Row: load", [1, 1]),
        ("Row: agent", [1, 0]),
        ("Row: agent", [0, 0]),
        ("job:load", [1, 1]),
        ("Load", [1, 0]),
    ] == [(one["part"], one["series"]) for one in told]
    assert {"node_load1": [1, 1], "go_info": [1, 0]} == told[-1]["selected"]


def test_selectors() -> None:
    """Metrics with their braces are selectors; functions, aggregations, labels, numbers and words are not."""
    assert ['x:y{a="}"}', "{__name__='z'}", "q", "node_sum"] == selectors(
        """sum by (a) (rate(x:y{a="}"}[5m] offset 1h)) / on(instance) group_left sum without(b) ({__name__='z'}) # c
        > bool 1e3 and count(q) != inf or -label_replace(node_sum @ end(), "l", "$1", "m", "n") or q"""
    )


def test_unfiltered() -> None:
    """Each comparison is told rather than applied, and nothing else is taken for one."""
    assert 'a{b!="<"} > bool  0 and c <= bool 2' == unfiltered('a{b!="<"} > 0 and c <= bool 2')


def test_variables() -> None:
    """Variables are filled in in each way of writing them, several values as a pattern; others are left alone."""
    text = 'a{b="$b",c=~"${c:regex}|[[b]]"}[$d]'
    assert {"b", "c", "d"} == variables(text)
    assert r'a{b="x.y",c=~"(x\\.y|z)|x.y"}[$d]' == fill(text, {"b": "x.y", "c": ["x.y", "z"]})


def test_readme() -> None:
    """README's figures are those of the committed results."""
    readme = report.README.read_text()
    assert readme == report.replaced(readme, report.block(report.load()))


def test_bend() -> None:
    """A straight line fits itself, and one that bends shows by how much."""
    assert pytest.approx((1.0, 2.0, 0.0)) == bend([(1, 3.0), (2, 5.0), (10, 21.0)])
    assert bend([(1, 1.0), (2, 2.0), (3, 6.0)])[2] > 0.2


def test_quantile_of_buckets() -> None:
    """A quantile is read from a histogram as Prometheus reads it; the greatest is the last bucket's end."""
    buckets = [(1.0, 50.0), (2.0, 100.0), (4.0, 100.0)]
    assert 1.0 == within(buckets, 0.5)
    assert 1.5 == within(buckets, 0.75)
    assert 2.0 == within(buckets, 1.0)

"""All benchmarks, each in a process of its own: tables, JSON, a plot, and with --full README's figures.

    python -m benchmarks                # about 3 minutes; writes build/benchmarks.json and build/growth.svg
    python -m benchmarks --full         # about 50 minutes; writes benchmarks/results.json, docs/growth.svg and README
    python -m benchmarks --only growth

Run it on a machine that does nothing else: what others do there is in the figures' spread.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from rig.needs import lack

from benchmarks import ROOT, report

MODULES = {"node": "compare"}
"""The modules of those whose names are others."""

NODE = ("--gather", "node", "--only", "collector", "parallel_ssh")

QUICK = {
    "compare": ("--machines", "50", "--rounds", "2", "--seconds", "2"),
    "node": (*NODE, "--machines", "20", "--rounds", "1", "--seconds", "4", "--interval", "1"),
    "growth": ("--sizes", "100", "500", "1000", "--interval", "5", "--seconds", "10"),
    "target": ("--machines", "10", "--rounds", "1", "--seconds", "4"),
    "latency": ("--sweeps", "3"),
}

FULL = {
    "compare": ("--machines", "100", "--rounds", "7", "--seconds", "10"),
    "node": (*NODE, "--machines", "200", "--rounds", "3", "--seconds", "60", "--interval", "5"),
    "growth": ("--sizes", "100", "1000", "5000", "10000", "19000", "--seconds", "120", "--longest", "10000", "600"),
    "target": ("--machines", "10", "--rounds", "5", "--seconds", "20"),
    "latency": ("--sweeps", "10"),
}

LIMIT = 3600.0
"""Seconds that one benchmark may take."""


def main() -> int:
    """Run what is asked for; return 1 when a part of it failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="at length, and for README")
    parser.add_argument("--only", nargs="+", choices=tuple(QUICK), default=tuple(QUICK))
    options = parser.parse_args()
    for need in ("root", "namespaces", "sshd"):
        if problem := lack(need):
            print(f"The benchmarks cannot run here: {problem}", file=sys.stderr)
            return 1
    path = report.RESULTS if options.full else ROOT / "build" / "benchmarks.json"
    # What is not run now stays as it was: a part can be done again by itself.
    results = dict(report.load(path)) if options.full and path.exists() else {}
    results |= {"host": host()}
    failed = []
    for name in options.only:
        try:
            results[name] = run(name, FULL[name] if options.full else QUICK[name])
        except (subprocess.SubprocessError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed.append(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    print("\n\n".join(report.tables(results)))
    if rows := report.growth_of(results):
        report.plot(rows, report.PLOT if options.full else path.with_name("growth.svg"))
    if options.full and not failed:
        report.README.write_text(report.replaced(report.README.read_text(), report.block(results)))
    return 1 if failed else 0


def run(name: str, arguments: tuple[str, ...]) -> object:
    """Run one benchmark, and return what it wrote."""
    print(f"{name} …", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results")
        argv = [sys.executable, "-m", f"benchmarks.{MODULES.get(name, name)}", *arguments, "--json", str(path)]
        done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.DEVNULL, check=False, timeout=LIMIT)
        if done.returncode:
            print(f"{name} is not complete", file=sys.stderr)
        return json.loads(path.read_text())


def host() -> str:
    """Return what the figures were taken on."""
    models = (
        line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    )
    cores = list(models)
    return f"{len(cores)} cores of {cores[0]}, Python {platform.python_version()}, paramiko {version('paramiko')}"


if __name__ == "__main__":
    sys.exit(main())

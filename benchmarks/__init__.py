"""Every figure that README claims, measured; `make bench` runs it all, `make bench FULL=1` at length.

    __main__.py     everything: tables, results.json, docs/growth.svg, README's block
    compare.py      the collector beside what a user would pick instead, or beside another commit, on the same machines
                    in the same run; with --gather node also for what node_exporter gives by default
    peers/          one file each of those others
    growth.py       how the cost grows with the fleet: 100 to 19,000 simulated machines
    target.py       what a poll costs the machine that is asked, beside node_exporter
    page.py         what a scrape costs, and how long it keeps others waiting
    latency.py      six machines behind a round trip of 200 ms
    soak/           faults drawn at random for hours: whether polls get lost, or anything grows; `make soak`
    jump.py         a fleet behind one jump host: its death and return
    faults.py       what others notice of faults, and what failures leave behind
    known_hosts.py  what a big known_hosts costs
    ciphers.py      which cipher is the cheapest
    dashboards.py   for how much of others' dashboards and rules there is data, node_exporter's and ours
    expressions.py  what those ask for: PromQL taken apart
    fleet.py        thousands of SSH servers in one process
    simulated.py    one of them
    daemon.py       the collector as seen from outside
    processor.py    what processes have used
    stacks.py       where a process spends its time
    table.py        numbers for people
    report.py       results.json as tables, as a plot, and in README

Those down to dashboards.py, but for peers/, are programs of their own: `.venv/bin/python -m benchmarks.growth --help`.
They need root (namespaces, and users that no other program sees) and leave nothing running.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))  # For the rig.

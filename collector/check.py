"""The command `check`: whether the configuration is good; with `--connect` also whether each machine lets us in."""

from collections.abc import Sequence
from pathlib import Path

from collector import authorize
from collector.daemon import read
from collector.errors import HostKeyChanged, HostKeyRevoked, HostKeyUnknown
from collector.gather import MISSING
from collector.once import FAILED, MOST_TEXT, choose, sweep
from collector.probe import FORCED
from collector.report import GREEN, RED, YELLOW, Table, one_line, seconds
from collector.snapshot import Standing

BEFORE_HOST_KEY = (
    "dns",
    "refused",
    "unreachable",
    "connect_timeout",
    "banner",
    "kex",
    "incompatible",
    "throttled",
    "jump",
    "local",
)
MOST_MISSING = 3
"""Gatherers without data each of which is told in a line of its own: `gather = node` asks for much that few have."""
HOST_KEY = {HostKeyUnknown.reason: "unknown", HostKeyChanged.reason: "CHANGED", HostKeyRevoked.reason: "REVOKED"}


def run(path: Path, sections: Sequence[str], connect: bool) -> int:
    """Check a configuration, and its machines if told; print what was found. Raises ConfigError."""
    config, identities = read(path)
    posts = choose(config, identities, sections)
    if not connect:
        print(f"{path}: good, {len(posts)} machine{'s' * (len(posts) != 1)}")
        return 0
    width = max([8, *(len(post.standing.machine.name) for post in posts)])
    table = Table(
        [
            ("instance", width),
            ("login", 16),
            ("host key", 8),
            ("restricted", 10),
            ("round trip", -10),
            ("clock", -22),
            ("data", 1),
        ]
    )
    failed = False
    for post in sweep(posts):
        standing = post.standing
        cells, problems = row(standing)
        failed = failed or not standing.up
        table.row(cells, RED if not standing.up else YELLOW if problems else GREEN)
        for problem in problems:
            print(f"  {one_line(problem, MOST_TEXT)}")
    return FAILED if failed else 0


def row(standing: Standing) -> tuple[list[str], list[str]]:
    """Return the cells of one machine, and a line for each thing that is wrong with it."""
    snapshot, name = standing.snapshot, standing.machine.name
    assert snapshot is not None
    if snapshot.failure:
        reason = snapshot.failure.reason
        host_key = HOST_KEY.get(reason, "-" if reason in BEFORE_HOST_KEY else "known")
        return [name, reason, host_key, "", "", "", ""], [snapshot.failure.text]
    offset, error = snapshot.clock_offset or 0.0, snapshot.clock_offset_error or 0.0
    data = [gatherer if problem is None else f"({gatherer})" for gatherer, problem in snapshot.gathered]
    missing = {name: problem for name, problem in snapshot.gathered if problem and problem.endswith(MISSING)}
    problems = [problem for name, problem in snapshot.gathered if problem and name not in missing]
    if len(missing) > MOST_MISSING:
        problems.append(f"has nothing to read, or nothing that {standing.machine.user} may, for {', '.join(missing)}")
    else:
        problems += missing.values()
    problems += filter(None, [authorize.remark(standing)])
    restricted = "yes" if standing.ready and standing.ready.mode == FORCED else "no"
    clock = f"{seconds(offset)} ± {seconds(error)}"
    login = seconds(standing.login_seconds or 0.0)
    return [name, login, "known", restricted, seconds(2 * error), clock, " ".join(data)], problems

"""Fuzzes every parser: each target for its share of the time, in a process of its own.

    make fuzz ARGS="--seconds 600"
    make fuzz ARGS="--seconds 3600 gatherer-memory ssh-handshake"

What reached something new is kept in build/fuzz/TARGET/, and is where the next run begins. What broke a target is kept
beside it, and the run ends with 1. Needs atheris, which there is for x86_64 and Python 3.11 to 3.13.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from fuzz.targets import TARGETS

OUT = Path("build", "fuzz")

LIMITS = ("-timeout=20", "-rss_limit_mb=1024")
"""Seconds that one input may take, and megabytes that a process may."""

TOLD = 30
"""Lines that are shown of what a process said that broke."""


class Outcome(NamedTuple):
    """What came of a target: how many inputs were tried, and were new; what it said if it broke, and on which input."""

    runs: int
    new: int
    said: str
    inputs: tuple[Path, ...]


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="make fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="unless told, all of them")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, in all")
    parser.add_argument("--list", action="store_true", help="say what must hold of each target, and run none")
    parser.add_argument("--again", type=Path, metavar="FILE", help="run the one target on this input, without atheris")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are: {', '.join(TARGETS)}")
    if asked.again and len(asked.targets) != 1:
        parser.error("--again wants one target")
    return asked


def main() -> int:
    """Run the targets; return 1 if one of them broke."""
    asked = options()
    names = asked.targets or list(TARGETS)
    if asked.list:
        print("\n".join(f"{name:16} {TARGETS[name].claim}" for name in names))
        return 0
    if asked.again:
        TARGETS[names[0]].check(asked.again.read_bytes())
        print(f"{names[0]} holds on {asked.again}")
        return 0
    if not find_spec("atheris"):
        print("There is no atheris here: it knows Python 3.11 to 3.13 on x86_64. Try: make PYTHON=python3.13 fuzz")
        return 1
    print(f"{'target':16} {'runs':>10} {'a second':>9} {'new inputs':>10}  result", flush=True)
    seconds = max(1, round(asked.seconds / len(names)))
    return 1 if sum([tell(name, run(name, seconds), seconds) for name in names]) else 0


def run(name: str, seconds: int) -> Outcome:
    """Run a target for so many seconds."""
    corpus = OUT / name
    corpus.mkdir(parents=True, exist_ok=True)
    before = broken(name)
    with tempfile.TemporaryDirectory() as seeds:
        for number, seed in enumerate(TARGETS[name].seeds):
            Path(seeds, f"{number:03}").write_bytes(seed)
        argv = [
            *(sys.executable, "-m", "fuzz.engine", name, str(corpus), seeds, *LIMITS),
            *(f"-max_total_time={seconds}", f"-artifact_prefix={OUT / name}.", "-print_final_stats=1"),
        ]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    said = done.stdout.decode("utf-8", "replace")
    runs, new = (
        int(found[1]) if (found := re.search(rf"stat::{stat}: +(\d+)", said)) else 0
        for stat in ("number_of_executed_units", "new_units_added")
    )
    inputs = tuple(sorted(broken(name) - before))
    return Outcome(runs, new, said if done.returncode else "", inputs)


def broken(name: str) -> set[Path]:
    """Return the inputs that broke a target, or took too long or too much."""
    return {path for kind in ("crash", "timeout", "oom") for path in OUT.glob(f"{name}.{kind}-*")}


def tell(name: str, outcome: Outcome, seconds: int) -> bool:
    """Print a line for a target, and more if it broke; return whether it did."""
    result = "broke" if outcome.said else "holds"
    print(f"{name:16} {outcome.runs:10} {outcome.runs / seconds:9.0f} {outcome.new:10}  {result}", flush=True)
    if not outcome.said:
        return False
    # The traceback, where there is one; what libFuzzer says of it is below, and of no use to anybody.
    text = re.split(r"=== Uncaught Python exception: ===\n", outcome.said)[-1].partition("\n==")[0]
    print("\n".join(text.splitlines()[-TOLD:]))
    for path in outcome.inputs:
        print(f'The input is {path}; again: make fuzz ARGS="--again {path} {name}"', flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())

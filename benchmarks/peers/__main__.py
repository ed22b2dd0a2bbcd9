"""One peer as a process: says `ready` once it has connected, then polls at each line and says how many answered.

python -m benchmarks.peers NAME TARGETS.json
"""

import sys
from importlib import import_module
from pathlib import Path

from benchmarks.peers import Targets


def main() -> None:
    """Serve until standard input ends."""
    name, path = sys.argv[1:]
    poll = import_module(f"benchmarks.peers.{name}").connect(Targets.load(Path(path)))
    print("ready", flush=True)
    for _ in sys.stdin:
        print(poll(), flush=True)


if __name__ == "__main__":
    main()

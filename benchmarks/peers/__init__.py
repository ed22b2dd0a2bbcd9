"""What a user would pick instead of the collector: one file each, asked for the same data on the same machines.

Each has LABEL and `connect(targets)`, which logs in where the peer keeps its logins, and returns `poll`: it asks every
machine once and returns how many gave a whole answer. None of them parses it. `__main__.py` runs one of them as a
process of its own, so that its processor time can be seen from outside.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

COMMAND = "date +%s.%N; cat /proc/meminfo /proc/loadavg"
"""What a collector would ask for: time, memory, load. `exec`, as everywhere, has the user's login shell run it."""

NAMES = ("parallel_ssh", "asyncssh_exec", "asyncssh_shell", "tutorial", "control_master", "ansible")

Poll = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Targets:
    """The machines and the login on them; `directory` is the peer's own."""

    hosts: Sequence[str]
    port: int
    user: str
    key: str
    known_hosts: str
    directory: str
    command: str = COMMAND

    def save(self, path: Path) -> Path:
        """Write to a file what `load` reads."""
        path.write_text(json.dumps(asdict(self)))
        return path

    @classmethod
    def load(cls, path: Path) -> "Targets":
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text()))


def is_whole(answer: str | bytes) -> bool:
    """Tell whether an answer has all that was asked for."""
    text = answer if isinstance(answer, str) else answer.decode()
    return "MemTotal:" in text and "DirectMap" in text

"""The daemon as it is, but it counts what becomes of each due moment, and can be looked at.

    python -m benchmarks.soak.watched SOCKET run --config …

Whoever connects to SOCKET gets one line of JSON with the counts; on SOCKET.all one with all greenlets and transports,
as tests/faults/watched.py has it: that stops everything for a moment. Pauses are not cut short.
"""

from gevent import monkey

monkey.patch_all()

import json
import socket
import sys
from collections import Counter
from typing import Any

from faults.watched import look
from gevent.server import StreamServer

from collector import sweep
from collector.cli import main
from collector.pause import Pause
from collector.snapshot import Snapshot
from collector.sweep import Post, Sweep

COUNTS: Counter[str] = Counter(moments=0, begun=0, alone=0, succeeded=0, failed=0)
"""Due moments handed out; polls begun; moments at which a machine was left alone; polls that succeeded and failed."""


def count() -> None:
    """Have the sweep count."""
    send, visit, is_on = Sweep._send, sweep.visit, vars(Pause)["is_on"].fget

    def counted_send(self: Sweep, post: Post, *arguments: Any) -> None:
        COUNTS["moments"] += not post.is_gone
        send(self, post, *arguments)

    def counted_visit(post: Post, *arguments: Any) -> Snapshot:
        COUNTS["begun"] += 1
        snapshot = visit(post, *arguments)
        COUNTS["failed" if snapshot.failure else "succeeded"] += 1
        return snapshot

    def counted_is_on(self: Pause) -> bool:
        found = bool(is_on(self))
        COUNTS["alone"] += found
        return found

    changed: list[tuple[Any, str, object]] = [
        (Sweep, "_send", counted_send),
        (sweep, "visit", counted_visit),
        (Pause, "is_on", property(counted_is_on)),
    ]
    for place, name, value in changed:
        setattr(place, name, value)


def tell(connection: socket.socket, _: object) -> None:
    """Send the counts."""
    connection.sendall(json.dumps(COUNTS).encode() + b"\n")


if __name__ == "__main__":
    count()
    for path, handle in ((sys.argv[1], tell), (f"{sys.argv[1]}.all", look)):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        StreamServer(listener, handle).start()
    sys.exit(main(sys.argv[2:]))

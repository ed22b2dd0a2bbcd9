"""The daemon as it is, but for two things: pauses after failures are cut short, and it can be looked at.

    watched.py SOCKET SECONDS run --config …

Whoever connects to SOCKET gets one line of JSON: how many greenlets and transports there are, and how much of ours the
garbage collector has found. Machines are left alone for so many SECONDS at most, or waiting for the end of their pauses
would be all that the bench does.
"""

from gevent import monkey

monkey.patch_all()

import gc
import json
import socket
import sys
import traceback
from collections import Counter

from gevent import Greenlet
from gevent.server import StreamServer
from paramiko import Transport

from collector import errors
from collector.cli import main
from collector.errors import Backoff, PollError
from collector.ssh import resolve


def shorten(longest: float) -> None:
    """Cut all pauses that end by themselves, and the time for which addresses are fresh."""
    for leaf in PollError.__subclasses__():
        if leaf.backoff in (errors.SOON, errors.LATE):
            leaf.backoff = Backoff(longest / 4, longest)
    resolve.FRESH = longest


def where(one: "Greenlet[..., object]") -> str:
    """Name the function that a greenlet was started with, or the innermost of ours."""
    told = [frame.name for frame in traceback.extract_stack(one.gr_frame) if "gevent" not in frame.filename]
    return " ".join(told)


IDLE = "_work _wait"
"""Where those of a crew are that wait for a job; how many that are is by chance."""

GARBAGE: Counter[str] = Counter(garbage=0)
"""Objects that only the garbage collector has freed, since the start."""


def note(phase: str, info: dict[str, int]) -> None:
    """Count what the garbage collector finds; it calls this."""
    GARBAGE["garbage"] += info.get("collected", 0) if phase == "stop" else 0


def look(connection: socket.socket, _: object) -> None:
    """Count what is alive."""
    gc.collect()
    found = gc.get_objects()
    places = [where(one) for one in found if isinstance(one, Greenlet) and one.gr_frame]
    counts = Counter(f"greenlets in {place}" for place in places if place != IDLE)
    counts["transports"] = sum(issubclass(type(one), Transport) for one in found)  # isinstance would count proxies
    connection.sendall(json.dumps({**counts, **GARBAGE}).encode() + b"\n")


if __name__ == "__main__":
    gc.callbacks.append(note)
    shorten(float(sys.argv[2]))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
    StreamServer(listener, look).start()
    sys.exit(main(sys.argv[3:]))

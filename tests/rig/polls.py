"""A machine polled, as the daemon does it: `poll(server.login("fish"))` gives its standing."""

from typing import Any

from collector.config import Machine
from collector.polling import man
from collector.snapshot import Standing
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.sweep import settle, visit
from rig.logins import Login

GATHER = ("time", "memory", "load")
"""What is gathered unless a machine says otherwise."""

OPTIONS: dict[str, Any] = {
    "name": "ssh0",
    "gather": GATHER,
    "labels": (),
    "interval": 10.0,
    "interval_text": "10s",
    "timeout": 10.0,
    "login_timeout": 20.0,
}


def poll(login: Login, times: int = 2, **changes: Any) -> Standing:
    """Poll a machine so many times in one session, and hang up."""
    post = man(Machine(**{**OPTIONS, **login, **changes}), Connector(Identities(), logins=1))
    try:
        for _ in range(times):
            settle(post, visit(post))
    finally:
        post.session.close()
    return post.standing


def outcome(standing: Standing) -> str:
    """Say `up`, if every gatherer has data too, or the reason of the failure."""
    snapshot = standing.snapshot
    assert snapshot is not None
    if snapshot.failure:
        return snapshot.failure.reason
    return ", ".join(["up", *(f"no {name}" for name, problem in snapshot.gathered if problem)])

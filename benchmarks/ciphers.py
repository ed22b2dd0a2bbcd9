"""Which cipher is the cheapest: the processor of a poll with each, against a real sshd on loopback.

    .venv/bin/python -m benchmarks.ciphers

Needs root (the sshd runs in namespaces of its own). All machines are polled at once, again and again, in this process;
the ciphers take turns, so that what else the machine does falls on all of them alike.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import resource
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import gevent
from rig.keys import make_key
from rig.sshd import Sshd, loopback

from collector.config import Machine
from collector.config.algorithms import ALGORITHMS
from collector.polling import man
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.sweep import Post, settle, visit


def processor() -> float:
    """The seconds of processor that this process has had."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def poll(post: Post) -> None:
    """Poll one machine, and render what it said."""
    snapshot = visit(post)
    assert snapshot.failure is None, snapshot.failure
    settle(post, snapshot)


def poll_all(posts: list[Post]) -> float:
    """Poll all machines at once; returns milliseconds of processor a poll."""
    before = processor()
    gevent.joinall([gevent.spawn(poll, post) for post in posts], raise_error=True)
    return 1000 * (processor() - before) / len(posts)


def posts(server: Sshd, cipher: str, mac: str) -> list[Post]:
    """What polls every address of a server with a cipher."""
    plain: dict[str, Any] = {"gather": ("time", "memory", "load"), "labels": ()}
    plain |= {"interval": 15.0, "interval_text": "15s", "timeout": 10.0, "login_timeout": 30.0}
    connector = Connector(Identities(), logins=8)
    return [
        man(Machine(name=name, ciphers=(cipher,), macs=(mac,), **plain, **login), connector)
        for name, login in server.logins("bash").items()
    ]


def main() -> None:
    """Measure every cipher, AES-CTR with every MAC, and print the medians, the cheapest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    ciphers, macs = (ALGORITHMS[option].usual for option in ("ciphers", "macs"))
    suites = [(cipher, mac) for cipher in ciphers for mac in (macs[:1] if "gcm" in cipher else macs)]
    with tempfile.TemporaryDirectory() as folder:
        key = make_key(Path(folder) / "key")
        with Sshd(Path(folder), [key], addresses=loopback(options.machines)) as server:
            fleets = {suite: posts(server, *suite) for suite in suites}
            for fleet in fleets.values():
                poll_all(fleet)
            costs = {suite: [poll_all(fleet)] for suite, fleet in fleets.items()}
            for _ in range(options.rounds):
                for suite, fleet in fleets.items():
                    costs[suite].append(poll_all(fleet))
            for fleet in fleets.values():
                for post in fleet:
                    post.session.close()
    cheapest = min(map(median, costs.values()))
    for (cipher, mac), found in sorted(costs.items(), key=lambda item: median(item[1])):
        name = cipher if "gcm" in cipher else f"{cipher} {mac}"
        print(f"{median(found) / cheapest:5.2f}  {median(found):6.3f} ms  {name}")


if __name__ == "__main__":
    main()

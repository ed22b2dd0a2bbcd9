"""Rows: what firewalls, routers and reboots do to packets on the way to a machine, and the ward for them.

The machines are addresses of the far end of a line (rig/link.py), the daemon is at the near end. What a row drops it
drops where it arrives, in the other end's netfilter, so that whoever sent it is told nothing.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from rig.daemon import Daemon, NearDaemon
from rig.keys import Key, known_hosts
from rig.link import Link, Namespace
from rig.logins import Login
from rig.needs import program
from rig.sshd import Sshd
from rig.wait import until

from faults.fault import Fault, fault
from faults.ward import Seen, Ward

NEEDS = ("tun", "ip", "nft", "ss", "curl", "nsenter", "unshare")
"""What the ward needs beside what a real sshd does."""

OTHERS = 6

SILENT = "2001:db8::1"
"""An address behind which nobody is: what is sent there arrives nowhere."""


class Distant:
    """A machine at the far end of a line."""

    def __init__(self, link: Link, login: Login, name: str) -> None:
        self.login = login
        self._address = login["host"]
        self._link = link
        self._table = f"{name}_rules"

    @contextmanager
    def rules(self, to: tuple[str, ...], back: tuple[str, ...]) -> Iterator[None]:
        """Have rules of netfilter for what comes to it, and for what comes back; {port} is that of our session."""
        port = self._port()
        self._nft(self._link.far, "daddr", [rule.format(port=port) for rule in to])
        self._nft(self._link.near, "saddr", [rule.format(port=port) for rule in back])
        yield
        for end in self._link:
            _run(end, [program("nft"), "delete", "table", "ip", self._table])

    @contextmanager
    def route(self, kind: str) -> Iterator[None]:
        """Have a route to it that is none."""
        for change in ("add", "delete"):
            _run(self._link.near, [program("ip"), "route", change, kind, self._address])
            if change == "add":
                yield

    def _nft(self, end: Namespace, which: str, rules: list[str]) -> None:
        lines = ["type filter hook input priority 0;", f"ip {which} != {self._address} accept", *rules]
        text = "\n".join([f"table ip {self._table} {{", "chain rules {", *lines, "}", "}", ""])
        _run(end, [program("nft"), "-f", "-"], text)

    def _port(self) -> str:
        """Our own port of the session with it."""
        found = partial(_run, self._link.near, [program("ss"), "-Htn", "state", "established", "dst", self._address])
        return until(found, "there is a session").split()[2].rpartition(":")[2]


Befall = Callable[[Distant], AbstractContextManager[object]]


def lost(kind: str) -> Befall:
    """Have no way to the machine."""
    return lambda machine: machine.route(kind)


def ruled(*to: str, back: tuple[str, ...] = ()) -> Befall:
    """Have these rules for what comes to the machine, and for what comes back from it."""
    return lambda machine: machine.rules(to, back)


ENDED = "tcp sport {port} reject with tcp reset"
"""The session that there is has ended, as a machine says that knows nothing of it."""

SYN = "tcp flags & (syn | ack) == syn"

FAULTS: Mapping[str, Fault[Distant]] = {
    "attempts to connect are dropped": fault(ruled(ENDED, f"{SYN} drop"), "connect_timeout"),
    "the answers to them are dropped": fault(
        ruled(ENDED, back=("tcp flags & (syn | ack) == syn | ack drop",)), "connect_timeout"
    ),
    "all is dropped, both ways": fault(ruled("drop", back=("drop",)), "timeout", "connect_timeout"),
    "all is dropped in the middle of an answer": fault(
        ruled(back=("quota over 1600 bytes drop",)), "timeout", "connect_timeout"
    ),
    "large packets are dropped": fault(ruled(back=("meta length > 1200 drop",)), "timeout"),
    "the connection is forgotten on the way, and dropped": fault(ruled("tcp sport {port} drop"), "timeout", "up"),
    "the machine was started anew": fault(ruled(ENDED)),
    "a firewall resets": fault(ruled("reject with tcp reset"), "refused"),
    "a firewall says that it is prohibited": fault(
        ruled("reject with icmp admin-prohibited"), "timeout", "unreachable"
    ),
    "there is no way to it": fault(lost("unreachable"), "timeout", "unreachable"),
    "the way to it is a black hole": fault(lost("blackhole"), "timeout", "unreachable"),
    "the first of its addresses is silent": fault(ruled(ENDED), host="two.test"),
}


def observe(faults: Mapping[str, Fault[Distant]], key: Key, directory: Path) -> dict[str, Seen]:
    """Let the faults befall a machine each, heal them, and return what was seen."""
    with ExitStack() as stack:
        link = stack.enter_context(Link())
        _run(link.near, [program("ip"), "address", "add", f"{SILENT}0/64", "dev", "line0", "nodad"])
        addresses = link.far.addresses(OTHERS + len(faults))
        folder = directory / "far"
        folder.mkdir()
        server = stack.enter_context(Sshd(folder, [key], within=link.far, addresses=addresses))
        hosts = _hosts(directory / "hosts", dict(zip(addresses[OTHERS:], faults.values(), strict=True)))
        _know(server, [one.options["host"] for one in faults.values() if "host" in one.options])
        logins = [server.login("bash", address) for address in addresses]
        patients = {
            name: Distant(link, login, f"patient{number}")
            for number, (name, login) in enumerate(zip(faults, logins[OTHERS:], strict=True))
        }
        others = {f"ssh{number}": login for number, login in enumerate(logins[:OTHERS])}

        def launch(log: Path, *arguments: str, program: Sequence[str]) -> Daemon:
            script = 'mount --bind "$0" /etc/hosts; exec "$@"'
            shell = ["unshare", "--mount", "sh", "-ec", script, str(hosts)]
            return NearDaemon(link.near, log, *arguments, program=[*shell, *program])

        ward = Ward(faults, patients, others, directory, stack, launch=launch)
        ward.run()
    return ward.seen


def _hosts(path: Path, faults: Mapping[str, Fault[Distant]]) -> Path:
    """Write the names of the rows that have one: first an address that is silent, then the machine's."""
    named = [(address, one.options["host"]) for address, one in faults.items() if "host" in one.options]
    path.write_text("".join(f"{SILENT} {host}\n{address} {host}\n" for address, host in named))
    return path


def _know(server: Sshd, hosts: list[str]) -> None:
    """Know the server under these names too."""
    more = known_hosts(server.directory / "known_names", [(host, server.port) for host in hosts], server.publics)
    with server.known_hosts.open("a") as file:
        file.write(more.read_text())


def _run(within: Namespace, argv: list[str], text: str = "") -> str:
    return subprocess.run(within.command(argv), input=text, capture_output=True, text=True, check=True).stdout

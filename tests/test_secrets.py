"""Secrets stay secret: planted ones are looked for in all that is written and shown while everything goes wrong."""

import base64
import logging
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from faults import answers, handshakes, logins
from rig.daemon import Daemon
from rig.keys import make_key
from rig.logins import Login, write_ini
from rig.needs import program
from rig.scripted import SshServer, shell
from rig.servers import BANNER, RawServer, closes, kexinit, says, silent_port
from rig.users import PASSWORD
from rig.wait import until

from collector import exposition
from collector.config import IdentityFiles, Machine, load
from collector.errors import ConfigError, PollError
from collector.gather import Gathering
from collector.logs import FORMATS
from collector.polling import man
from collector.ssh.connector import Connector
from collector.ssh.identities import BadIdentity, Identities
from collector.ssh.resting import RestingTransport
from collector.sweep import settle, tell, visit

PASSPHRASE = "planted-passphrase-plugh"


class Planted:
    """A locked key, its passphrase and a password in files, and how to find them in a text."""

    def __init__(self, folder: Path) -> None:
        self.key = make_key(folder / "id", passphrase=PASSPHRASE.encode()).path
        self.passphrase = self._write(folder / "passphrase", PASSPHRASE)
        self.password = self._write(folder / "password", PASSWORD)
        self.identities: dict[str, dict[str, Path]] = {
            "key": {"key_file": self.key, "passphrase_file": self.passphrase},
            "password": {"key_file": self.key, "password_file": self.password},
        }

    @staticmethod
    def _write(path: Path, text: str) -> Path:
        path.touch(mode=0o600)
        path.write_text(f"{text}\n")
        return path

    @cached_property
    def secrets(self) -> list[str]:
        """The secrets as they could be written: text, base64, hexadecimal; of the key its lines and its seed."""
        argv = [program("ssh-keygen"), "-p", "-q", "-P", PASSPHRASE, "-N", "", "-f"]
        plain = self.key.with_name("plain")
        self._write(plain, self.key.read_text().rstrip("\n"))
        subprocess.run([*argv, str(plain)], check=True, capture_output=True)
        lines = plain.read_text().splitlines()[1:-1]
        plain.unlink()
        # openssh-key-v1 ends in the seed, the public half, the comment and the padding; the public half is no secret.
        body = base64.b64decode("".join(lines))
        public = base64.b64decode(self.key.with_name("id.pub").read_text().split()[1])[-32:]
        seed = body[: body.rindex(public)][-32:]
        locked = self.key.read_text().splitlines()[5:-1]
        found = [*lines[2:-1], *locked]
        for secret in (PASSWORD.encode(), PASSPHRASE.encode(), seed):
            found += [base64.b64encode(secret).decode().rstrip("="), secret.hex(), repr(secret)[2:-1]]
        return found

    def look(self, text: str) -> None:
        """Fail if a secret is in a text, without showing it."""
        found = [number for number, secret in enumerate(self.secrets) if secret in text]
        assert found == []


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """Secrets in files."""
    return Planted(tmp_path)


@pytest.fixture
def fleet(login: Callable[..., Login], planted: Planted, crashes: list[str]) -> Iterator[dict[str, dict[str, Any]]]:
    """Machines by name, each with a key and with a password; all but one of them go wrong, each in its own way."""
    sections: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:

        def add(name: str, there: Login, **changes: Any) -> None:
            for kind, options in planted.identities.items():
                slug = re.sub(r"\W+", "-", f"{name}-{kind}")
                sections[slug] = {**there, "login_timeout": "2s", "timeout": "900ms", **changes, **options}

        def serve(name: str, behaviour: Mapping[str, Any]) -> None:
            methods = {"methods": "publickey,password", "password": PASSWORD}
            add(name, login(stack.enter_context(SshServer(**methods | dict(behaviour)))))

        for name, (behaviour, _) in handshakes.SERVERS.items():
            add(name, login(stack.enter_context(RawServer(behaviour))))
        for name, (options, _) in {**handshakes.SCRIPTED, **logins.SCRIPTED}.items():
            serve(name, options)
        for name, (alter, _) in answers.ALTERED.items():
            serve(name, {"script": shell(alter)})
        serve("good", {"script": shell()})
        serve("wrong password", {"script": shell(), "password": "another"})
        serve("keyboard", {"methods": "keyboard-interactive", "questions": [[("Hi", True)]]})
        old = says(BANNER, kexinit(kex="diffie-hellman-group14-sha1"))
        add("nothing in common", login(stack.enter_context(RawServer(old))))
        other, good = stack.enter_context(SshServer()), stack.enter_context(SshServer())
        for name, text in {
            "unknown": "",
            "changed": other.publics[0],
            "revoked": f"@revoked {good.publics[0]}",
        }.items():
            there = login(good)
            host, port = good.address
            marker, key = ("@revoked ", text.removeprefix("@revoked ")) if "@" in text else ("", text)
            there["known_hosts"][0].write_text(f"{marker}[{host}]:{port} {key}\n" if text else "")
            add(f"{name} host key", there)
        with RawServer(closes) as gone:
            closed = login(gone)
        add("closed", closed)
        add("no name", {**closed, "host": "no.such.host.invalid"})
        # Nobody has a way to a group of machines by TCP: the kernel says so without sending anything.
        add("no way", {**closed, "host": "224.0.0.1"})
        sections["way"] = {**closed, **planted.identities["key"], "enabled": "no"}
        add("behind", login(good), jump="way")
        add("no agent", login(good), agent="yes")
        add("full", {**closed, "port": stack.enter_context(silent_port())})
        yield sections
    # Scripts of servers whose client has hung up on them in the middle.
    crashes[:] = [crash for crash in crashes if "_Transport._run" not in crash]


NOT_HERE = {"bug"}
"""What this fleet does not provoke, but a test below."""


def reasons(daemon: Daemon) -> set[str]:
    """The reasons for which polls have failed so far."""
    return set(re.findall(r'ssh_poll_failures_total\{[^}]*reason="(\w+)"', daemon.get("/metrics")[1]))


@pytest.mark.needs("ssh-keygen")
@pytest.mark.limit(120)
@pytest.mark.parametrize("form", FORMATS)
def test_nothing_of_the_daemon_shows_a_secret(
    form: str, fleet: dict[str, dict[str, Any]], planted: Planted, tmp_path: Path
) -> None:
    """With every failure provoked, logs at level debug and all pages of a running daemon hold no secret."""
    ini = write_ini(tmp_path / "collector.ini", fleet, listen="127.0.0.1:0", interval="1s", web_reload="yes")
    every_reason = {leaf.reason for leaf in PollError.__subclasses__()} - NOT_HERE
    arguments = ["run", "--config", str(ini), "--log-level", "debug", "--log-format", form]
    with Daemon(tmp_path / "log", *arguments, SSH_AUTH_SOCK=str(tmp_path / "no agent")) as daemon:
        until(lambda: daemon.get("/-/ready")[0] == 200, "every machine has been polled", 60)
        until(lambda: every_reason <= reasons(daemon), "every reason is provoked", 60)
        for kind in planted.identities:
            until(lambda: daemon.metric(f'ssh_up{{instance="good-{kind}"}}') == 1.0, "the good one is up", 60)  # noqa: B023
        daemon.get("/-/reload", "POST")
        probes = [f"/probe?{urlencode({'target': name})}" for name in fleet]
        shown = [f"/probe?target=good-{kind}&debug=true" for kind in planted.identities]
        paths = ("/metrics", "/", "/machines.json", "/-/ready", "/sd", *probes, *shown)
        pages = [daemon.get(path)[1] for path in paths]
        assert f"{planted.key}" not in daemon.get("/sd")[1]
        # A file that goes bad while the daemon runs is told in the log.
        planted.password.write_text(f"{PASSWORD}\n{PASSWORD}\n")
        until(lambda: "holds more than one line" in daemon.log, "the change is noticed", 60)
        log = daemon.log

    for text in (*pages, log):
        planted.look(text)


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("command", [["once"], ["once", "--format", "json"], ["check", "--connect"]], ids=" ".join)
def test_nothing_that_is_printed_shows_a_secret(
    command: list[str], fleet: dict[str, dict[str, Any]], planted: Planted, tmp_path: Path
) -> None:
    """What the commands print about failures holds no secret."""
    ini = write_ini(tmp_path / "collector.ini", fleet)
    argv = [sys.executable, "-m", "collector", *command, "--config", str(ini), "--log-level", "debug"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "good-password" in done.stdout
    planted.look(done.stdout + done.stderr)


def everything(start: object) -> Iterator[object]:
    """Yield an object of ours and all that it holds, as deep as it goes."""
    seen: set[int] = set()
    left = [start]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, (bytes, str, int, float, type, type(None))):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            left += one
        elif type(one).__module__.startswith("collector"):
            slots = [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]
            left += [getattr(one, name, None) for name in (*slots, *getattr(one, "__dict__", {}))]


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("kind", ["key", "password"])
def test_no_object_shows_a_secret(
    kind: str, planted: Planted, login: Callable[..., Login], caplog: pytest.LogCaptureFixture
) -> None:
    """The repr of all that polls a machine, with its connection open, and what it raises hold no secret."""
    caplog.set_level(logging.DEBUG)
    options: dict[str, Any] = {"name": "ssh0", "gather": ("time",), "labels": (), "interval_text": "1s"}
    with SshServer(shell(), methods="publickey,password", password=PASSWORD) as server:
        there = {
            **options,
            "interval": 1.0,
            "timeout": 5.0,
            "login_timeout": 5.0,
            **login(server),
            **planted.identities[kind],
        }
        connector = Connector(Identities(), logins=1)
        post = man(Machine(**there), connector)
        snapshot = visit(post)
        settle(post, snapshot)
        tell(post.standing, snapshot)
        assert snapshot.failure is None
        held = [*everything(post), *everything(connector)]
        kinds = {type(one) for one in held}
        assert {Machine, Connector, Identities, RestingTransport} <= kinds
        planted.look("\n".join(map(repr, held)))
        planted.look("\n".join(str(one) for one in held if type(one).__module__.startswith("collector")))
        planted.look(str(exposition.render(post.standing)))

        post.gathering = cast(Gathering, None)
        tell(post.standing, visit(post))
        assert "bug while polling" in caplog.text

        server.refusals = frozenset({"auth"})
        server.password = "another"
        post.session.close()
        with pytest.raises(PollError) as caught:
            post.session.poll()
        planted.look("".join(traceback.format_exception(caught.value)))
        post.session.close()
    planted.look(caplog.text)


@pytest.mark.needs("ssh-keygen")
def test_no_bad_file_shows_its_secret(planted: Planted, tmp_path: Path) -> None:
    """What is wrong with a key, a passphrase or a password is told without a word of it, traceback included."""
    usual = IdentityFiles(planted.key, None, planted.passphrase, None, False)
    wrong = planted._write(tmp_path / "wrong", PASSWORD)
    half = planted._write(tmp_path / "half", planted.key.read_text()[:300])
    two = planted._write(tmp_path / "two", f"{PASSWORD}\n{PASSPHRASE}")
    open_to_all = planted._write(tmp_path / "open", PASSWORD)
    open_to_all.chmod(0o644)
    bad = [
        usual._replace(passphrase_file=None),
        usual._replace(passphrase_file=wrong),
        usual._replace(key_file=half),
        usual._replace(key_file=wrong),
        usual._replace(certificate_file=planted.key),
        usual._replace(certificate_file=planted.password),
        usual._replace(password_file=two),
        usual._replace(password_file=open_to_all),
        usual._replace(key_file=planted.password, agent=True),
    ]
    for files in bad:
        with pytest.raises(BadIdentity) as caught:
            Identities()[files]
        planted.look("".join(traceback.format_exception(caught.value)))


def test_secret_in_the_wrong_place_is_not_repeated(planted: Planted, tmp_path: Path) -> None:
    """Whoever writes the secret itself into collector.ini is told so, and does not find it in the log."""
    path = tmp_path / "collector.ini"
    lines = (f"password = {PASSWORD}", f"passphrase = {PASSPHRASE}")
    files = (f"password_file = {PASSWORD}", f"[web2]\nhost = 192.0.2.2\npassphrase_file = {PASSPHRASE}")
    for text in (lines, files):
        path.write_text("\n".join(("[web1]", "host = 192.0.2.1", f"key_file = {planted.key}", *text)))
        with pytest.raises(ConfigError) as caught:
            load(path, gatherers={"time": (), "memory": (), "load": ()})
        assert len(caught.value.problems) >= 2
        planted.look(str(caught.value))

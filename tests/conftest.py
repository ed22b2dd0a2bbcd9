"""What all tests share: gevent before anything else, what a test may need and take, the servers of the rig (rig/)."""

from gevent import monkey

monkey.patch_all()

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import gevent
import pytest
from rig import logins
from rig.installation import make_install
from rig.keys import Key, make_key
from rig.limit import SECONDS, limit
from rig.logins import Login, Server
from rig.needs import in_ci, require
from rig.sshd import Sshd, loopback

from collector.ssh.wire import TunedPacketizer

STDERR = pytest.StashKey[int]()

SSHD = ("root", "namespaces", "setpriv", "sshd", "ssh")
"""What the fixtures with a real sshd need."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of our own."""
    parser.addoption("--regen", action="store_true", help="write the expected part of the golden fixtures anew")
    parser.addoption("--every-byte", action="store_true", help="strike connections at each byte, which takes minutes")


def pytest_report_header(config: pytest.Config) -> str:
    """Say what is left out."""
    if config.getoption("--every-byte"):
        return "connections are struck at every byte, in every way"
    return "connections are struck at every byte before the keys, and at some of the others: --every-byte for all"


def pytest_configure(config: pytest.Config) -> None:
    """Name our marks, keep the true standard error."""
    config.addinivalue_line("markers", "needs(*names): root, namespaces, tun or programs; skips, or fails in CI")
    config.addinivalue_line("markers", f"limit(seconds): how long it may take; {SECONDS:g} unless told")
    if in_ci() and config.getoption("--regen"):
        raise pytest.UsageError("--regen is for people who read the difference afterwards, not for CI")
    config.stash[STDERR] = os.dup(2)  # Before pytest captures it.


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give back what pytest_configure took."""
    os.close(config.stash[STDERR])


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Look at what the test needs before any fixture is made."""
    with _limited(item):
        for mark in item.iter_markers("needs"):
            require(*mark.args)
        return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Limit the test itself."""
    with _limited(item):
        return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Limit the end of its fixtures."""
    with _limited(item):
        return (yield)


@contextmanager
def _limited(item: pytest.Item) -> Iterator[None]:
    mark = item.get_closest_marker("limit")
    with limit(mark.args[0] if mark else SECONDS, item.config.stash[STDERR]):
        yield


@pytest.fixture
def regen(request: pytest.FixtureRequest) -> bool:
    """Whether golden fixtures are to be written anew."""
    return bool(request.config.getoption("--regen"))


@pytest.fixture(autouse=True)
def crashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A greenlet that dies of an exception fails the test; gevent would only print it.

    A test that expects one looks at this list, and empties it.
    """
    hub = gevent.get_hub()
    seen: list[str] = []
    tell = hub.print_exception

    def note(
        context: object, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seen.append(f"{context!r}: {error!r}")
        tell(context, kind, error, trace)

    monkeypatch.setattr(hub, "print_exception", note)
    yield seen
    if seen:
        pytest.fail("greenlets died:\n" + "\n".join(seen), pytrace=False)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """The client's key that every server of the rig lets in."""
    return make_key(tmp_path_factory.mktemp("key") / "id_ed25519")


@pytest.fixture
def login(key: Key, tmp_path: Path) -> Callable[..., Login]:
    """`login(server, user="sh")`: how to log in to a server or proxy of the rig."""

    def login(server: Server, user: str = "sh") -> Login:
        return logins.login(server, key, tmp_path, user)

    return login


@pytest.fixture
def sshd(key: Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Sshd]]:
    """`sshd(users=…, addresses=…, MaxStartups="1:100:1", …)` starts a real server; see rig/sshd.py for all it takes."""
    require(*SSHD)
    with ExitStack() as stack:
        yield lambda **wanted: stack.enter_context(Sshd(tmp_path_factory.mktemp("sshd"), [key], **wanted))


@pytest.fixture(scope="session")
def shared_sshd(key: Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A real server on six addresses with the users `sh` and `bash`, for all tests that leave it as it is."""
    require(*SSHD)
    with Sshd(tmp_path_factory.mktemp("sshd"), [key], addresses=loopback(6)) as server:
        yield server


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which `make install` has put everything, for all tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("installed")
    make_install(folder)
    return folder


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many messages of each number have been read."""
    counts: Counter[int] = Counter()
    read = TunedPacketizer.read_message

    def read_message(self: TunedPacketizer) -> Any:
        kind, message = read(self)
        counts[kind] += 1
        return kind, message

    monkeypatch.setattr(TunedPacketizer, "read_message", read_message)
    return counts

"""The HTTP server under clients that are many, fast or endless: other programs, so that they do not wait for us."""

import itertools
import os
import resource
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import gevent
import pytest
from gevent.event import Event
from prometheus_client import CollectorRegistry
from rig.certificates import Authority
from rig.wait import until
from test_web import Answer, connect, drain, fetch, machine, serving
from test_web_config import ask, tls, trusting
from test_web_config import serving as serving_tls

from collector import exposition
from collector.metric import Gauge, Samples
from collector.snapshot import Fleet, Snapshot
from collector.web import Limits, Server, Site

FLOOD = """
import socket, sys, threading
port, data, again = int(sys.argv[1]), bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])

def swallow(connection):
    try:
        while connection.recv(1 << 20):
            pass
    except OSError:
        pass

while True:
    try:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            threading.Thread(target=swallow, args=(connection,), daemon=True).start()
            connection.sendall(data)
            while True:
                connection.sendall(again * (1 + 262144 // len(again)))
    except OSError:
        pass
"""
"""A program that sends some bytes, then others for ever, as fast as they are taken, and begins anew when cut off."""

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@contextmanager
def flooding(server: Server, data: bytes, again: bytes) -> Iterator[None]:
    """Flood a server from another process."""
    flood = subprocess.Popen([sys.executable, "-c", FLOOD, str(server.server_port), data.hex(), again.hex()])
    try:
        yield
    finally:
        flood.kill()
        flood.wait()


@pytest.mark.parametrize(
    ("data", "again"),
    [
        pytest.param(HEAD + b"Content-Length: 1000000000000\r\n\r\n", b"x", id="body of a terabyte"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", id="chunks without end"),
        pytest.param(b"GET /", b"a", id="request line without end"),
        pytest.param(HEAD + b"A: ", b"b", id="header without end"),
        pytest.param(HEAD, b"A: b\r\n", id="headers without end"),
        pytest.param(b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="requests without end"),
        pytest.param(b"", b"\r\n", id="empty lines without end"),
        pytest.param(b"", b"\x16\x03\x01\xff\xff", id="TLS to HTTP"),
    ],
)
def test_a_client_that_never_ends_stops_nobody(data: bytes, again: bytes) -> None:
    """However fast and long somebody sends, everybody else has a turn: timers fire, and others are answered."""
    with serving(linger=0.2) as server, flooding(server, data, again):
        until(lambda: server._waiting or server._answering, "the flood has begun")
        for _ in range(50):
            assert fetch(server, "/").body == b"hello"


@pytest.mark.parametrize("secured", [False, True])
def test_a_client_that_reads_as_fast_as_we_write_stops_nobody(tmp_path: Path, secured: bool) -> None:
    """While a long answer goes out as fast as it can be written, others have their turn, many times."""
    whole = bytes(100_000_000)
    turns: list[int] = []

    def large(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(whole)))])
        return [whole]

    def count() -> None:
        while True:
            gevent.sleep(0)
            turns.append(1)

    authority = Authority(tmp_path)
    authority.issue("server")
    reader = f"""
import socket, ssl
context = ssl.create_default_context(cafile={str(authority.certificate)!r})
with socket.create_connection(("127.0.0.1", PORT)) as connection:
    if {secured}:
        connection = context.wrap_socket(connection, server_hostname="localhost")
    connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    total = 0
    while data := connection.recv(1 << 20):
        total += len(data)
    print(total)
"""
    with serving_tls(tls(tmp_path), large) if secured else serving(large) as server:
        argv = [sys.executable, "-c", reader.replace("PORT", str(server.server_port))]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            until(lambda: server._answering, "the answer has begun")
            counting = gevent.spawn(count)
            until(lambda: process.poll() is not None, "the answer has ended")
            counting.kill()
            assert process.stdout
            assert int(process.stdout.read()) > len(whole)
    assert len(turns) > 300


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("secured", [False, True])
def test_two_thousand_idle_connections(tmp_path: Path, secured: bool) -> None:
    """With 2,000 connections that say nothing health is answered, and afterwards every descriptor is given back."""
    authority = Authority(tmp_path)
    authority.issue("server")
    site = Site(Fleet(), lambda openmetrics: [], lambda: True, None)
    before = descriptors()
    with serving_tls(tls(tmp_path), site) if secured else serving(site) as server:
        with ExitStack() as stack:
            for _ in range(2000):
                stack.enter_context(connect(server))
            healthy = "/-/healthy"
            answer = ask(server, trusting(authority), healthy) if secured else fetch(server, healthy)
            assert 200 == answer.status
            assert len(server._waiting) <= Limits().connections
        until(lambda: not server._waiting, "the server has let go of them")
    assert descriptors() <= before + 1


VALUE = Gauge("node_value", "A value.", "number")


@pytest.fixture(scope="module")
def large_fleet() -> Fleet:
    """10,000 machines with fifty series each."""
    fleet = Fleet(machine(f"ssh{number}") for number in range(10_000))
    samples = Samples.of(VALUE(float(number), str(number)) for number in range(50))
    for standing in fleet:
        standing.snapshot = Snapshot(at=0.0, seconds=0.01, samples=samples)
        standing.block = exposition.render(standing)
    return fleet


def resident() -> int:
    """The bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("secured", [False, True])
def test_slow_scrapes_of_a_large_page_share_it(tmp_path: Path, large_fleet: Fleet, secured: bool) -> None:
    """A hundred scrapes at once that hardly read hold a few pages in memory, not a hundred; health is answered."""
    authority = Authority(tmp_path)
    authority.issue("server")
    context = trusting(authority)
    opened = Event()
    opened.set()

    def page(openmetrics: bool) -> Iterator[bytes]:
        opened.wait()
        yield from exposition.page(large_fleet, CollectorRegistry(), openmetrics)

    def get(path: str) -> Answer:
        return ask(server, context, path) if secured else fetch(server, path)

    def scrape(stack: ExitStack) -> sockets.socket:
        connection = stack.enter_context(connect(server, receive_buffer=4096))
        if secured:
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname="localhost"))
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection

    site = Site(large_fleet, page, lambda: True, None)
    with serving_tls(tls(tmp_path), site) if secured else serving(site) as server, ExitStack() as stack:
        whole = len(get("/metrics").body)
        before = resident()
        opened.clear()
        scrapes = [scrape(stack) for _ in range(100)]
        until(lambda: len(server._answering) == 100, "all scrapes are being answered")
        opened.set()
        assert all(connection.recv(100) for connection in scrapes)
        assert 200 == get("/-/healthy").status
        assert len(server._answering) == 100
        assert whole > 20_000_000
        assert resident() - before < 5 * whole


def test_health_is_answered_while_nothing_else_can_be() -> None:
    """With as many answers under way as may be whoever asks more is told to come back, but not who asks for health."""
    release = Event()

    def page(openmetrics: bool) -> list[bytes]:
        release.wait()
        return []

    with serving(Site(Fleet(), page, lambda: True, None), connections=3) as server:
        scrapes = [gevent.spawn(fetch, server, "/metrics") for _ in range(3)]
        until(lambda: len(server._answering) == 3, "all places are taken")
        statuses = {path: fetch(server, path).status for path in ("/-/healthy", "/-/ready", "/metrics", "/")}
        release.set()
        assert {"/-/healthy": 200, "/-/ready": 200, "/metrics": 503, "/": 503} == statuses
        assert [200] * 3 == [scrape.get().status for scrape in scrapes]


def test_pages_that_nobody_else_reads_are_thrown_away() -> None:
    """Whoever reads slowly an answer that others no longer get is cut off when such answers take too much memory."""

    def large(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "50000000")])
        return [bytes(50_000_000)]

    with serving(large, pages=120_000_000) as server, ExitStack() as stack:
        slow = []
        for _ in range(3):
            slow.append(stack.enter_context(connect(server, receive_buffer=4096)))
            slow[-1].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert slow[-1].recv(100)
        until(lambda: len(server._answering) == 2, "one of them has been cut off")
        with pytest.raises(ConnectionResetError):
            drain(slow[0], 65536)
        drain_some = slow[1].recv(65536) and slow[2].recv(65536)
        assert drain_some
        slow[1].close()
        until(lambda: len(server._pages) == 1, "who has gone keeps nothing")


def test_a_page_that_costs_much_is_not_made_for_each() -> None:
    """Scrapes one after another get the same page as long as a small part of our time goes into making it."""
    made: list[int] = []

    def page(openmetrics: bool) -> list[bytes]:
        made.append(1)
        time.sleep(0.2)
        return [b"%d" % len(made)]

    with serving(Site(Fleet(), page, lambda: True, None)) as server:
        assert [b"1"] * 3 == [fetch(server, "/metrics").body for _ in range(3)]
        until(lambda: fetch(server, "/metrics").body == b"2", "the page is made anew")


HOLD = """
import socket, sys
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(200)]
print("held", flush=True)
sys.stdin.read()
"""
"""A program that holds 200 connections until its standard input ends."""

ASK = """
import sys, urllib.request
print(urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/").read().decode(), flush=True)
"""


@contextmanager
def few_descriptors(more: int) -> Iterator[None]:
    """Let this process have so many more descriptors than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = set(map(int, os.listdir("/proc/self/fd")))
    free = (number for number in itertools.count() if number not in used)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, more, None)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_there_is_still_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """When connections have taken all descriptors the oldest give way to who asks; it is told once, not for each."""
    with serving() as server, ExitStack() as stack:

        def program(text: str) -> tuple[IO[bytes], IO[bytes]]:
            argv = [sys.executable, "-c", f"input()\n{text}", str(server.server_port)]
            process = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            assert process.stdin
            assert process.stdout
            return process.stdin, process.stdout

        programs = [program(HOLD), program(ASK)]
        with few_descriptors(30):
            for (stdin, stdout), said in zip(programs, (b"held\n", b"hello\n"), strict=True):
                stdin.write(b"\n")
                stdin.flush()
                assert said == stdout.readline()
        assert ["cannot accept a connection: Too many open files"] == [record.message for record in caplog.records]

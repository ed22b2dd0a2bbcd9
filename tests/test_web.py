"""The HTTP server and its site, over real sockets: any client is answered or cut off, and nobody else waits for it."""

import gzip
import json
import logging
import socket as sockets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st
from rig.wait import until

from collector.config import Machine
from collector.snapshot import Failure, Fleet, Snapshot
from collector.web import Limits, Server, Site, bind, serve
from collector.web.negotiate import OPENMETRICS, TEXT, wants_gzip, wants_openmetrics

GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
KEPT = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """A response: its status code, its headers with names in small letters, its body."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(server: Server, receive_buffer: int = 0) -> sockets.socket:
    """A connection to a server, with a small receive buffer where one is named."""
    connection = sockets.socket()
    if receive_buffer:
        connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_buffer)
    connection.connect(("127.0.0.1", server.server_port))
    return connection


def rest(connection: sockets.socket) -> bytes:
    """All that comes until the other side ends it, in whichever way."""
    parts = []
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def drain(connection: sockets.socket, most: int) -> None:
    """Read, at most so many bytes at a time, until the other side ends it; raises if that is no proper end."""
    while connection.recv(most):
        pass


def chatter(connection: sockets.socket, data: bytes) -> None:
    """Send the same again and again, until that raises."""
    while True:
        connection.sendall(data)
        gevent.sleep(0.001)


def parsed(data: bytes) -> Answer:
    """A whole response that ends with its connection."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines)
    return Answer(int(line.split()[1]), {name.lower(): value for name, value in pairs}, body)


def ask(server: Server, request: bytes = GET) -> Answer:
    """The answer to some bytes."""
    with connect(server) as connection:
        connection.sendall(request)
        return parsed(rest(connection))


def fetch(server: Server, path: str, method: str = "GET", **headers: str) -> Answer:
    """The answer to a well-formed request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ask(server, "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))


def hello(_: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """An application that says hello."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


@contextmanager
def serving(application: Callable[..., Any] = hello, **limits: float) -> Iterator[Server]:
    """A server on a free port of loopback."""
    server = serve(bind("127.0.0.1", 0), application, Limits(**limits))  # type: ignore[arg-type]
    server.start()
    try:
        yield server
    finally:
        server.stop(timeout=1)


# Reading: clients that are slow, endless or broken


def test_a_request_that_drips_is_cut_off_as_a_whole() -> None:
    """Slowloris: a byte now and then does not prolong the time that a whole request has."""
    with serving(read=0.3) as server, connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        answers = gevent.spawn(rest, connection)
        with suppress(ConnectionError):
            while not answers.ready():
                connection.sendall(b"X-A: b\r\n")
                gevent.sleep(0.02)
        assert parsed(answers.get()).status == 408


def test_who_says_nothing_is_told_so_and_cut_off() -> None:
    """A connection that sends nothing at all ends too."""
    with serving(read=0.1) as server, connect(server) as connection:
        assert parsed(rest(connection)).status == 408


def test_an_idle_connection_is_closed_without_a_word() -> None:
    """A kept connection that asks nothing more is closed, with no answer to a question that was not put."""
    with serving(idle=0.1) as server, connect(server) as connection:
        connection.sendall(KEPT)
        assert rest(connection).endswith(b"\r\n\r\nhello")


def test_a_request_in_single_bytes_is_answered() -> None:
    """How a request is cut into packets makes no difference."""
    with serving() as server, connect(server) as connection:
        connection.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        for byte in GET:
            connection.sendall(bytes([byte]))
            gevent.sleep(0)
        assert parsed(rest(connection)).body == b"hello"


def test_two_requests_at_once_get_two_answers() -> None:
    """Requests may be sent before the answers to those before them."""
    with serving() as server, connect(server) as connection:
        connection.sendall(KEPT + GET)
        assert rest(connection).count(b"hello") == 2


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"GET /\r\n\r\n", 400, id="HTTP/0.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, id="HTTP/2 preface"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS hello"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no Host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two Hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400, id="folded header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, id="space before the colon"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", 400, id="NUL in a header"),
        pytest.param(b"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="target is no path"),
        pytest.param(b"GET /" + b"a" * 20000, 414, id="endless request line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 2000, 431, id="header flood"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 100_000, 431, id="endless header"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\nabc", 413, id="huge body"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, id="negative length"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400, id="two lengths"
        ),
    ],
)
def test_what_is_not_right_is_refused(request_: bytes, status: int) -> None:
    """A broken or excessive request gets a 4xx or 505 and the connection's end, without waiting for the rest of it."""
    with serving() as server:
        answer = ask(server, request_)
    assert (status, "close") == (answer.status, answer.headers["connection"])


def test_an_endless_body_is_not_drained() -> None:
    """A chunked body without end is refused at its announcement, and the connection ends while more is being sent."""
    with serving(linger=0.1) as server, connect(server) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        answers = gevent.spawn(rest, connection)
        with pytest.raises(ConnectionError):
            chatter(connection, b"5\r\nhello\r\n")
        assert parsed(answers.get()).status == 411


def test_an_empty_body_is_no_body() -> None:
    """A POST that announces nothing is answered."""
    with serving() as server:
        assert ask(server, b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n").status == 200


def test_any_bytes_leave_the_server_alive() -> None:
    """Whatever is sent, the answer is none or a proper one, never a 500, and the next client is served."""
    valid = st.sampled_from([GET, KEPT, b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"])
    cut = st.builds(
        lambda data, at, junk: data[:at] + junk + data[at:], valid, st.integers(0, 80), st.binary(max_size=40)
    )
    site = Site(Fleet(), lambda openmetrics: [], lambda: True, None)
    with serving(site) as server:

        @settings(max_examples=300, deadline=None)
        @given(st.one_of(st.binary(max_size=400), cut, st.lists(cut, max_size=3).map(b"".join)))
        def survives(data: bytes) -> None:
            with connect(server) as connection:
                connection.sendall(data)
                connection.shutdown(sockets.SHUT_WR)
                answer = rest(connection)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
            assert b"HTTP/1.1 500" not in answer
            assert b"Traceback" not in answer

        survives()
        assert fetch(server, "/-/healthy").status == 200


# Answering: clients that do not read, applications that fail


def test_who_reads_byte_by_byte_is_cut_off() -> None:
    """A slow reader holds the answer in memory until the deadline only, and cannot take half of it for the whole."""
    whole = bytes(32_000_000)

    def large(_: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(whole)))])
        return [whole]

    with serving(large, write=0.3) as server, connect(server, receive_buffer=4096) as connection:
        connection.sendall(GET)
        with pytest.raises(ConnectionResetError):
            drain(connection, 1)


def test_a_mistake_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of the application is a 503 to the client, and one line with its traceback in the log."""

    def broken(_: dict[str, Any], __: Callable[..., Any]) -> list[bytes]:
        raise ZeroDivisionError("secret")

    with serving(broken) as server:
        answer = ask(server)
    assert (503, "5") == (answer.status, answer.headers["retry-after"])
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


@pytest.mark.usefixtures("caplog")
def test_a_mistake_in_the_middle_resets_the_connection() -> None:
    """Half an answer cannot be taken for a whole one, even where the client cannot know its length."""

    def broken(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"half"
        raise ZeroDivisionError

    with serving(broken) as server, connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            drain(connection, 65536)


# Many clients


def test_the_oldest_idle_connection_makes_room() -> None:
    """Over the cap, whoever has longest not sent a whole request is closed, and the newest is served."""
    with serving(connections=3) as server, ExitStack() as stack:
        first, second, third = (stack.enter_context(connect(server)) for _ in range(3))
        second.sendall(b"GET / HTTP/1.1\r\n")
        assert ask(server).body == b"hello"
        assert rest(first) == b""
        third.sendall(GET)
        assert parsed(rest(third)).body == b"hello"
        second.sendall(b"Host: x\r\nConnection: close\r\n\r\n")
        assert parsed(rest(second)).body == b"hello"


def test_a_flood_of_connections_keeps_nobody_out() -> None:
    """Accepting never stops: with hundreds of connections that ask nothing, one that asks is answered."""
    with serving(connections=8) as server, ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connect(server))
        assert ask(server).body == b"hello"


def test_when_all_are_busy_the_newest_is_told_to_come_back() -> None:
    """With as many answers under way as may be, one more request gets 503 with Retry-After; the others go on."""
    release, busy = Event(), []

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        busy.append(environ)
        release.wait()
        return hello(environ, start_response)

    with serving(slow, connections=2) as server:
        asking = [gevent.spawn(ask, server) for _ in range(2)]
        until(lambda: len(busy) == 2, "both requests being answered")
        refused = ask(server)
        release.set()
        assert (503, True) == (refused.status, "retry-after" in refused.headers)
        assert [b"hello"] * 2 == [greenlet.get().body for greenlet in asking]


# Start and stop


def test_stop_lets_answers_end() -> None:
    """At the end no new connection is taken, idle ones are closed, and an answer under way comes whole."""
    release, busy = Event(), Event()

    def slow(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        busy.set()
        release.wait()
        return hello(environ, start_response)

    with serving(slow) as server, connect(server) as idle:
        port = server.server_port
        asking = gevent.spawn(ask, server)
        busy.wait()
        stopping = gevent.spawn(server.stop, timeout=30)
        assert rest(idle) == b""
        with pytest.raises(ConnectionRefusedError):
            sockets.create_connection(("127.0.0.1", port))
        release.set()
        assert asking.get().body == b"hello"
        stopping.get()


def test_stop_does_not_wait_for_ever() -> None:
    """An answer that takes longer than the stop may is cut off."""

    def endless(_: dict[str, Any], __: Callable[..., Any]) -> list[bytes]:
        Event().wait()
        return []

    with serving(endless) as server, connect(server) as connection:
        connection.sendall(GET)
        until(lambda: server._answering, "the request being answered")
        server.stop(timeout=0.05)
        assert rest(connection) == b""


def test_no_name_server_is_asked_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken DNS does not delay the start."""

    def never(*_: object) -> str:
        raise AssertionError("getfqdn was called")

    monkeypatch.setattr("gevent.socket.getfqdn", never)
    with serving() as server:
        assert ask(server).status == 200


def test_no_host_is_every_address() -> None:
    """Without a host the port is open on IPv4 and IPv6 alike."""
    with bind("", 0) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1") if sockets.has_dualstack_ipv6() else ("127.0.0.1",):
            sockets.create_connection((host, port)).close()


def test_a_port_in_use_is_refused_by_its_name() -> None:
    """Two collectors cannot share a port, and the error says which it was."""
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: "):
            bind("127.0.0.1", port)


# The site


def machine(name: str, **changes: Any) -> Machine:
    """A machine of a configuration."""
    settings: dict[str, Any] = {
        "host": "192.0.2.1",
        "port": 22,
        "user": "monitor",
        "key_file": Path("key"),
        "known_hosts": (Path("known_hosts"),),
        "gather": ("time", "memory", "load"),
        "labels": (),
        "interval": 15.0,
        "interval_text": "15s",
        "timeout": 10.0,
        "login_timeout": 30.0,
    }
    return Machine(name=name, **{**settings, **changes})


def pages(openmetrics: bool) -> Iterator[bytes]:
    """A page of each kind, in pieces, one of which is empty."""
    yield from (b"openmetrics\n" * 20_000, b"", b"its end\n") if openmetrics else (b"text\n" * 50_000, b"its end\n")


@pytest.fixture
def site() -> Iterator[Server]:
    """A site with two machines, one of which is down; reloading is off."""
    fleet = Fleet([machine("ssh0"), machine("ssh1")])
    fleet["ssh0"].snapshot = Snapshot(at=1000.0, seconds=0.02)
    fleet["ssh1"].snapshot = Snapshot(at=1000.0, seconds=0.5, failure=Failure("refused", "nobody listens"))
    with serving(Site(fleet, pages, lambda: True, None, lambda: 1003.0)) as server:
        yield server


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        pytest.param("", False, id="none"),
        pytest.param("*/*", False, id="curl"),
        pytest.param("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False, id="browser"),
        pytest.param(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            True,
            id="Prometheus 2.42",
        ),
        pytest.param(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
            "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
            "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            True,
            id="Prometheus 3",
        ),
        pytest.param(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
            "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
            "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            True,
            id="Prometheus 3 with protobuf",
        ),
        pytest.param("text/plain;version=0.0.4,application/openmetrics-text;q=0.9", False, id="text is preferred"),
        pytest.param("application/openmetrics-text;q=0,*/*", False, id="OpenMetrics is refused"),
        pytest.param("application/openmetrics-text;version=0.0.1", False, id="an old OpenMetrics"),
        pytest.param("application/openmetrics-text;version=abc", False, id="version is a word"),
        pytest.param("text/plain;version=1..0", False, id="version is malformed"),
        pytest.param("application/openmetrics-text;q=high", False, id="quality is a word"),
        pytest.param("application/openmetrics-text;q=nan", False, id="quality is no number"),
        pytest.param(";;,,;q=,=", False, id="rubbish"),
    ],
)
def test_accept_chooses_the_format(site: Server, accept: str, openmetrics: bool) -> None:
    """OpenMetrics goes to who prefers it by name and version; text to everybody else, whatever the header says."""
    assert wants_openmetrics(accept) is openmetrics
    answer = fetch(site, "/metrics", Accept=accept)
    assert (200, OPENMETRICS if openmetrics else TEXT) == (answer.status, answer.headers["content-type"])
    assert answer.body == b"".join(pages(openmetrics))


@given(st.text(), st.text())
def test_any_header_is_understood_somehow(accept: str, encoding: str) -> None:
    """No text in a header is an error."""
    assert wants_openmetrics(accept) in (True, False)
    assert wants_gzip(encoding) in (True, False)


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("br", False),
        ("gzip;q=x", False),
    ],
)
@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
def test_gzip_is_the_same_page(site: Server, accept: str, encoding: str, compressed: bool) -> None:
    """A compressed page holds what the plain one does, and caches are told what it depends on."""
    plain = fetch(site, "/metrics", Accept=accept)
    answer = fetch(site, "/metrics", Accept=accept, Accept_Encoding=encoding)
    assert (compressed, False) == ("content-encoding" in answer.headers, "content-encoding" in plain.headers)
    assert plain.body == (gzip.decompress(answer.body) if compressed else answer.body)
    for headers in (answer.headers, plain.headers):
        assert {"accept", "accept-encoding"} == {word.strip().lower() for word in headers["vary"].split(",")}


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics", "/metrics?machines=no", "/probe?target=ssh0", "/sd", "/-/healthy", "/-/ready", "/machines.json"],
)
def test_head_is_get_without_the_body(site: Server, path: str) -> None:
    """HEAD has the headers of GET, the length of its body among them, and no body."""
    get, head = fetch(site, path), fetch(site, path, "HEAD")
    assert (200, 200, b"") == (get.status, head.status, head.body)
    assert str(len(get.body)) == head.headers["content-length"]
    assert {**get.headers, "date": ""} == {**head.headers, "date": ""}


@pytest.mark.parametrize("path", ["/metrics", "/probe?target=ssh0", "/sd"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_not_allowed(site: Server, method: str, path: str) -> None:
    """A method that a path does not have is a 405 that names those it has."""
    answer = fetch(site, path, method)
    assert 405 == answer.status
    assert {"GET", "HEAD"} == set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize("path", ["/x", "/metrics/", "/static/", "/static/../site.py", "/static/%2e%2e/site.py", "//"])
def test_other_paths_are_not_found(site: Server, path: str) -> None:
    """There is nothing on any other path, and no way out of the folder of static files."""
    assert 404 == fetch(site, path).status


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
def test_machines_can_be_left_out(accept: str) -> None:
    """The daemon's own metrics are a page of their own, without the machines; other queries change nothing."""

    def own(openmetrics: bool) -> list[bytes]:
        return [b"own openmetrics\n" if openmetrics else b"own text\n"]

    with serving(Site(Fleet(), pages, lambda: True, None, own=own)) as server:
        answer = fetch(server, "/metrics?machines=no", Accept=accept)
        assert (b"own openmetrics\n" if accept else b"own text\n") == answer.body
        assert (OPENMETRICS if accept else TEXT) == answer.headers["content-type"]
        for query in ("machines=yes", "x=1", "collect[]=time", "%ff", "&&=", "machines"):
            assert b"".join(pages(bool(accept))) == fetch(server, f"/metrics?{query}", Accept=accept).body


def test_reload_takes_post_only() -> None:
    """Nothing that follows links can reload the configuration."""
    with serving(Site(Fleet(), pages, lambda: True, list)) as server:
        answer = fetch(server, "/-/reload")
    assert (405, "POST") == (answer.status, answer.headers["allow"])


def test_reload_that_is_off_says_how_to_turn_it_on(site: Server) -> None:
    """Reloading over HTTP is off unless the configuration says otherwise; the refusal says where."""
    answer = fetch(site, "/-/reload", "POST")
    assert answer.status in (403, 404)
    assert b"web_reload" in answer.body


def test_reload_says_what_is_wrong() -> None:
    """A bad configuration is a 400 with every problem, each on its line; a good one a 200."""
    problems = ["a.ini:1: [x] y: no", "a.ini:2: [x] z: neither \udcff"]
    with serving(Site(Fleet(), pages, lambda: True, lambda: problems)) as server:
        bad = fetch(server, "/-/reload", "POST", Content_Length="0")
        problems = []
        good = fetch(server, "/-/reload", "POST")
    assert 400 == bad.status
    assert {b"a.ini:1: [x] y: no", b"a.ini:2: [x] z: neither ?"} <= set(bad.body.splitlines())
    assert 200 == good.status


def test_reload_is_not_for_pages_of_others() -> None:
    """A page of another site cannot make a browser reload the configuration; our own and curl can."""
    calls: list[str] = []

    def reload() -> list[str]:
        calls.append("reload")
        return []

    with serving(Site(Fleet(), pages, lambda: True, reload)) as server:
        for origin in ("http://evil", "null", "http://x.y"):
            assert 403 == fetch(server, "/-/reload", "POST", Origin=origin).status
        assert [] == calls
        assert 200 == fetch(server, "/-/reload", "POST", Origin="http://x").status
    assert ["reload"] == calls


def test_reload_is_never_cut_off_in_the_middle() -> None:
    """A reload that outlasts the client's deadline is still done to its end: half a reload is neither configuration."""
    seen: list[str] = []

    def reload() -> list[str]:
        try:
            told.wait()
            seen.append("whole")
        except BaseException as error:
            seen.append(repr(error))
            raise
        return []

    told = Event()
    with serving(Site(Fleet(), pages, lambda: True, reload), write=0.1) as server:
        assert 503 == fetch(server, "/-/reload", "POST").status
        told.set()
        until(lambda: seen, "the end of the reload")
    assert ["whole"] == seen


def test_ready_follows_the_fleet() -> None:
    """Not ready is a 503 while the process is healthy."""
    ready = False
    with serving(Site(Fleet(), pages, lambda: ready, None)) as server:
        assert (503, 200) == (fetch(server, "/-/ready").status, fetch(server, "/-/healthy").status)
        ready = True
        assert 200 == fetch(server, "/-/ready").status


@pytest.mark.parametrize(("again", "pages"), [(0, 2), (1e9, 1)])
def test_many_scrapes_at_once_cost_few_pages(monkeypatch: pytest.MonkeyPatch, again: float, pages: int) -> None:
    """Scrapes that come while a page is being made share the next one, or that one if it was long in the making."""
    monkeypatch.setattr("collector.web.site.AGAIN", again)
    release, made = Event(), []

    def page(_: bool) -> list[bytes]:
        made.append(1)
        release.wait()
        return [b"%d" % len(made)]

    with serving(Site(Fleet(), page, lambda: True, None)) as server:
        first = gevent.spawn(fetch, server, "/metrics")
        until(lambda: made, "the first page being made")
        others = [gevent.spawn(fetch, server, "/metrics") for _ in range(20)]
        until(lambda: len(server._answering) == 21, "all of them being answered")
        release.set()
        assert [b"1", *[b"%d" % pages] * 20] == [greenlet.get().body for greenlet in [first, *others]]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_page_that_fails_does_not_fail_the_next(caplog: pytest.LogCaptureFixture, encoding: str) -> None:
    """An exception in the midst of a page is a 503 for that scrape, not half a page; the next one is tried anew."""
    outcomes: list[bytes | None] = [None, b"good"]

    def page(_: bool) -> Iterator[bytes]:
        yield b"half"
        outcome = outcomes.pop(0)
        if outcome is None:
            raise ZeroDivisionError
        yield outcome

    with serving(Site(Fleet(), page, lambda: True, None)) as server:
        assert [503, 200] == [fetch(server, "/metrics", Accept_Encoding=encoding).status for _ in range(2)]
    assert [logging.ERROR] == [record.levelno for record in caplog.records]


def test_the_page_runs_nothing_from_elsewhere(site: Server) -> None:
    """The status page forbids inline and foreign scripts, and has none; its types are not guessed."""
    answer = fetch(site, "/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "nosniff" == answer.headers["x-content-type-options"]
    assert b"style=" not in answer.body
    assert b"http:" not in answer.body
    assert b"//" not in answer.body.replace(b"<!--", b"")


def test_the_page_reads_without_javascript(site: Server) -> None:
    """What is served has the machines in it already, with why one is down."""
    text = fetch(site, "/").body.decode()
    assert "1 of 2" in text
    assert "nobody listens" in text


def test_names_and_errors_are_only_text() -> None:
    """What a machine is called or says cannot become markup, neither in the page nor by way of its query."""
    evil = "<script>alert(1)</script>\"'&"
    fleet = Fleet([machine(evil, labels=(("role", evil),))])
    fleet[evil].snapshot = Snapshot(at=0.0, seconds=0.0, failure=Failure("closed", f"{evil}\x00\udcff"))
    with serving(Site(fleet, pages, lambda: True, None)) as server:
        for path in ("/", "/?search=%3Cscript%3E%22", "/?show=%3Cscript%3E%22&sort=%22%3E&order=%3Cscript%3E"):
            answer = fetch(server, path)
            assert 200 == answer.status
            assert b"<script>" not in answer.body
            assert b"&lt;script&gt;" in answer.body or b"search=" in path.encode()
        assert evil == json.loads(fetch(server, "/machines.json").body)["rows"][0]["name"]


def test_only_some_of_many_machines_are_sent() -> None:
    """With 10,000 machines the page has some of them, says so, and finds any of them by name."""
    fleet = Fleet(machine(f"ssh{number}") for number in range(10_000))
    for standing in fleet:
        standing.snapshot = Snapshot(at=0.0, seconds=0.01)
    fleet["ssh4711"].snapshot = Snapshot(at=0.0, seconds=0.01, failure=Failure("auth", "no"))
    with serving(Site(fleet, pages, lambda: True, None)) as server:
        everything = json.loads(fetch(server, "/machines.json").body)
        found = json.loads(fetch(server, "/machines.json?search=ssh9999").body)
        down = json.loads(fetch(server, "/machines.json?show=down").body)
    assert 200 == len(everything["rows"])
    assert "200 of 10,000" in everything["note"].replace("\N{NO-BREAK SPACE}", " ")
    assert ["ssh9999"] == [row["name"] for row in found["rows"]]
    assert ["ssh4711"] == [row["name"] for row in down["rows"]]

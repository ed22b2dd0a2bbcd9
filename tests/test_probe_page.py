"""GET /probe: one machine for Prometheus' multi-target pattern, by the daemon's own site, over real sockets."""

import gzip
import math
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from rig.certificates import Authority
from rig.daemon import Daemon
from rig.logins import Login, write_ini
from rig.scripted import SshServer, shell
from rig.servers import RawServer, says_nothing
from rig.wait import until
from test_asked import Gate
from test_sweep import Rig, machine, rig
from test_web import Answer, fetch, rest, serving
from test_web import machine as never_polled
from test_web_config import PASSWORD, ask, basic, tls, trusting, users
from test_web_config import serving as protected

from collector import exposition
from collector.polling import Asked
from collector.snapshot import Fleet, Snapshot
from collector.web import Site, bind
from collector.web.negotiate import OPENMETRICS, TEXT
from collector.web.probe import MARGIN, MOST_WAITING, PATIENCE, Query, may_debug, no_such_machine, patience

__all__ = ["rig"]

SCRAPE_TIMEOUT = "X_Prometheus_Scrape_Timeout_Seconds"


def site_of(rig: Rig) -> Site:
    """The site, as the daemon makes it."""
    fleet = rig.polling.fleet
    page = lambda openmetrics: exposition.page(fleet, CollectorRegistry(), openmetrics)  # noqa: E731
    return Site(fleet, page, lambda: True, None, ask=rig.polling.ask)


@contextmanager
def probing(rig: Rig) -> Iterator[Callable[..., Answer]]:
    """`probe("target=ssh0", Accept="…")` against a server of the fleet."""
    with serving(site_of(rig)) as server:
        yield lambda query, **headers: fetch(server, f"/probe?{query}", **headers)


def series(answer: Answer) -> dict[str, float]:
    """The series of a page in the text format."""
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_one_machine_without_its_labels(rig: Rig, login: Callable[..., Login]) -> None:
    """The page has what the machine said and what is known of it, without `instance`, labels and the daemon's own."""
    with SshServer(shell()) as server, probing(rig) as probe:
        rig.apply(machine(login(server), labels=(("dc", "eu"),)), machine(login(server), "ssh1"))
        until(lambda: rig.polling.fleet.complete, "both are polled")
        answer = probe("target=ssh0")
        found = series(answer)

        assert (200, TEXT) == (answer.status, answer.headers["content-type"])
        assert 1.0 == found["ssh_up"]
        assert {"node_load1", "node_time_seconds", "ssh_polls_total", 'ssh_gather_success{gatherer="time"}'} <= set(
            found
        )
        assert not [name for name in found if "instance=" in name or "dc=" in name]
        assert not [name for name in found if name.startswith(("collector_", "process_", "python_"))]


def test_formats_and_encodings(rig: Rig, login: Callable[..., Login]) -> None:
    """OpenMetrics goes to who prefers it, compressed to who takes that, and caches are told what it depends on."""
    with SshServer(shell()) as server, probing(rig) as probe:
        rig.apply(machine(login(server), gather=("time", "memory", "load"), interval=60.0))
        rig.polling.ask("ssh0", 10)
        answer = probe("target=ssh0", Accept="application/openmetrics-text", Accept_Encoding="gzip")

        assert (OPENMETRICS, "gzip") == (answer.headers["content-type"], answer.headers["content-encoding"])
        assert {"accept", "accept-encoding"} == set(answer.headers["vary"].lower().split(", "))
        assert answer.body == probe("target=ssh0", Accept="application/openmetrics-text", Accept_Encoding="gzip").body
        assert {"ssh_up", "ssh_polls", "node_load1"} <= {
            family.name for family in text_string_to_metric_families(gzip.decompress(answer.body).decode())
        }


def test_a_machine_that_is_down_is_a_good_answer(rig: Rig, login: Callable[..., Login]) -> None:
    """It is 200 with `ssh_up 0` and the reason, as on /metrics, by a poll now too; and so is one not yet polled."""
    with RawServer(says_nothing) as server:
        there = login(server)
    with probing(rig) as probe:
        rig.apply(machine(there, interval=3600.0))
        new = probe("target=ssh0")
        assert (200, {"ssh_up": 0.0, "ssh_polls_total": 0.0, "ssh_logins_total": 0.0}) == (new.status, series(new))
        for query in ("target=ssh0&poll=now", "target=ssh0", "target=ssh0&poll=now"):
            answer = probe(query)
            assert 200 == answer.status
            assert 0.0 == series(answer)["ssh_up"]
            assert 1.0 == series(answer)['ssh_poll_failures_total{reason="refused"}']


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "/probe?target=SECTION"),
        ("target=", 400, "/probe?target=SECTION"),
        ("poll=now", 400, "/probe?target=SECTION"),
        ("target=ssh0&target=ssh0", 400, "target is there twice"),
        ("target=ssh0&module=x", 400, "no parameter 'module'; there are target, poll, debug"),
        ("target=ssh0&poll=later", 400, "poll can be now"),
        ("target=ssh0&poll", 400, "poll can be now"),
        ("target=ssh0&debug=yes", 400, "debug can be true or false"),
        ("target=%ff", 400, "not UTF-8"),
        ("&".join(["target=ssh0"] * 30), 400, "more than 20 parts"),
        ("target=ssh1", 404, "no machine 'ssh1'; did you mean ssh0?"),
        ("target=sh0", 404, "no machine 'sh0'; did you mean ssh0?"),
        ("target=qwertyuiop", 404, "no machine 'qwertyuiop'; /sd has all"),
        ("target=%0d%0aSet-Cookie:%20x", 404, r"no machine '\r\nSet-Cookie: x'"),
        ("target=%1b[31m%3Cscript%3E", 404, r"no machine '\x1b[31m<script>'"),
        (f"target={'x' * 7000}", 404, "xxx…'"),
    ],
)
def test_bad_questions_get_one_clear_line(
    rig: Rig, login: Callable[..., Login], query: str, status: int, words: str
) -> None:
    """What is asked wrongly is a 4xx with a line that says what is wrong; nothing of it goes into a header."""
    with RawServer(says_nothing) as server:
        rig.apply(machine(login(server), interval=3600.0))
    with probing(rig) as probe:
        answer = probe(query)
    text = answer.body.decode()

    assert (status, 1) == (answer.status, text.count("\n"))
    assert words in text
    assert "set-cookie" not in answer.headers
    assert len(text) < 300


@given(st.text(max_size=60).map(quote) | st.text("tarpolldebugnwu=&%+;0fF", max_size=60))
def test_any_query_is_understood_or_refused(text: str) -> None:
    """No query makes anything but a Query or a ValueError of one line."""
    try:
        assert Query.parse(text).target
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_poll_now_is_a_poll_of_now(rig: Rig, login: Callable[..., Login]) -> None:
    """The answer is of a poll that began after the question, of a machine that is seldom polled."""
    with SshServer(shell()) as server, probing(rig) as probe:
        rig.apply(machine(login(server), interval=3600.0))

        assert {"ssh_up": 1.0, "ssh_polls_total": 1.0}.items() <= series(probe("target=ssh0&poll=now")).items()


def test_a_poll_that_takes_too_long_is_a_503(rig: Rig, login: Callable[..., Login]) -> None:
    """Old news are not passed off as new: within Prometheus' patience there is an answer, and it says that it is none.

    The poll goes on, and its result is there for the next one who asks.
    """
    gate = Gate()
    with SshServer(shell(gate)) as server, probing(rig) as probe:
        rig.apply(machine(login(server), interval=3600.0))
        assert 200 == probe("target=ssh0&poll=now").status
        gate.opened.clear()
        post = rig.polling._posts["ssh0"]
        post.ended = post.asked = -math.inf
        with gevent.Timeout(5):
            late = probe("target=ssh0&poll=now", **{SCRAPE_TIMEOUT: "0.6"})
        assert 503 == late.status
        assert b"ssh0 was not polled within 0.3 s; the poll goes on" in late.body
        assert 1.0 == series(probe("target=ssh0"))["ssh_polls_total"]
        gate.opened.set()

        until(lambda: series(probe("target=ssh0"))["ssh_polls_total"] == 2.0, "what came of it")


def test_a_machine_that_was_down_is_still_down(rig: Rig, login: Callable[..., Login]) -> None:
    """One that does not answer, and did not before, is `ssh_up 0` when the time is over: its alert shall not lapse."""
    with RawServer(says_nothing) as server, probing(rig) as probe:
        rig.apply(machine(login(server), interval=3600.0, login_timeout=0.3))
        post = rig.polling._posts["ssh0"]
        assert 0.0 == series(probe("target=ssh0&poll=now"))["ssh_up"]
        post.pause.release()
        post.ended = post.asked = -math.inf
        answer = probe("target=ssh0&poll=now", **{SCRAPE_TIMEOUT: "0.2"})

        assert post.is_busy
        assert (200, 0.0) == (answer.status, series(answer)["ssh_up"])
        until(lambda: not post.is_busy, "the end of the login")


def test_many_who_wait_keep_nobody_out(rig: Rig, login: Callable[..., Login]) -> None:
    """Half of all connections may wait for polls; others are told so, and other pages are answered meanwhile."""
    gate = Gate()
    with SshServer(shell(gate)) as server, serving(site_of(rig)) as http:
        rig.apply(machine(login(server), interval=3600.0))
        gate.opened.clear()
        asking = [gevent.spawn(fetch, http, "/probe?target=ssh0&poll=now") for _ in range(MOST_WAITING)]
        until(lambda: len(http._answering) == MOST_WAITING, "all of them wait")
        refused = fetch(http, "/probe?target=ssh0&poll=now")
        assert (503, b"Too many wait for polls already.\n") == (refused.status, refused.body)
        assert [200, 200] == [fetch(http, path).status for path in ("/metrics", "/probe?target=ssh0")]
        gate.opened.set()

        assert {200} == {greenlet.get().status for greenlet in asking}
        assert 1 == rig.polls("ssh0")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, PATIENCE),
        ("10", 10 - MARGIN),
        ("10.000000", 10 - MARGIN),
        ("0.5", 0.25),
        ("1e3", PATIENCE),
        ("0", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("10s", None),
        ("10,10", None),
    ],
)
def test_patience_is_prometheus(header: str | None, seconds: float | None) -> None:
    """An answer is there half a second before Prometheus gives up; what is no time is refused."""
    if seconds is None:
        with pytest.raises(ValueError, match="X-Prometheus-Scrape-Timeout-Seconds"):
            patience(header)
    else:
        assert seconds == patience(header)


def test_the_nearest_of_many_is_found() -> None:
    """Among 10,000 names that are much alike the one is found that differs least."""
    names = [f"web{number:04}.example.org" for number in range(10_000)]

    assert "did you mean web1234.example.org?" in no_such_machine("wbe1234.example.org", names)
    assert "did you mean web1234.example.org?" in no_such_machine("web1234.example.com", names)


# debug=true


def test_debug_shows_how_a_poll_went(rig: Rig, login: Callable[..., Login]) -> None:
    """It has timings, algorithms, gatherers, what the machine said, and the metrics; but not the session's token."""
    with SshServer(shell()) as server, probing(rig) as probe:
        rig.apply(machine(login(server), interval=3600.0))
        answer = probe("target=ssh0&debug=true")
        text = answer.body.decode()

        assert (200, "no-store") == (answer.status, answer.headers["cache-control"])
        assert answer.headers["content-type"].startswith("text/plain")
        titles = ("Timings", "Agreed on", "Gatherers", "Said before the probe was ready", "Answered", "Metrics")
        assert list(titles) == [line for line in text.splitlines() if line in titles]
        assert text.startswith("ssh0 is up.\n")
        for words in (r"^login +0\.\d{6} s$", r"^waited for a slot +0\.\d+ s$", r"^question to answer +0\.\d+ s$"):
            assert re.search(words, text, re.MULTILINE), words
        assert re.search(r"^TOKEN READY ", text, re.MULTILINE)
        assert re.search(r"^TOKEN 1 \d+", text, re.MULTILINE)
        assert rig.polling._posts["ssh0"].session._token not in text
        assert "\nssh_up 1.0\n" in text


def test_debug_shows_what_cannot_be_parsed(rig: Rig, login: Callable[..., Login]) -> None:
    """A gatherer that makes nothing of its file says why, and what the machine said stands below, harmless."""

    def evil(chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield next(chunks)
        for chunk in chunks:
            yield re.sub(rb"(\x1d)[\d.]+ [\d.]+ [\d.]+ \S+ \d+", b"\\1\x1b]0;evil\x07<script>\xff\\\\x\r", chunk)

    with SshServer(shell(evil)) as server, probing(rig) as probe:
        rig.apply(machine(login(server), interval=3600.0))
        answer = probe("target=ssh0&debug=true")

        assert "nosniff" == answer.headers["x-content-type-options"]
        assert re.search(rb"^load +load: ", answer.body, re.MULTILINE)
        assert rb"\x1b]0;evil\x07<script>\xff\\x\r" in answer.body
        assert all(letter.isprintable() or letter == "\n" for letter in answer.body.decode())


def test_debug_of_a_failure(rig: Rig, login: Callable[..., Login]) -> None:
    """A failure is told with its reason, and a machine in its pause is not asked for somebody's curiosity."""
    with RawServer(says_nothing) as server:
        there = login(server)
    with probing(rig) as probe:
        rig.apply(machine(there, interval=3600.0))
        first, second = (probe("target=ssh0&debug=true").body.decode() for _ in range(2))

        assert first.startswith("ssh0 is down: refused: ")
        assert "Timings" in first
        assert "It was not asked now" in second
        assert "Timings" not in second
        assert 1 == rig.polls("ssh0")


def asker(**environ: str) -> dict[str, str]:
    """A request from this machine."""
    return {"REMOTE_ADDR": "127.0.0.1", "SSL_CLIENT_VERIFY": "NONE", **environ}


@pytest.mark.parametrize(
    ("environ", "may"),
    [
        (asker(), True),
        (asker(REMOTE_ADDR="127.1.2.3"), True),
        (asker(REMOTE_ADDR="::1"), True),
        (asker(REMOTE_ADDR="::ffff:127.0.0.1"), True),
        (asker(REMOTE_ADDR="::ffff:192.0.2.1"), False),
        (asker(REMOTE_ADDR="192.0.2.1"), False),
        (asker(REMOTE_ADDR="2001:db8::1"), False),
        (asker(REMOTE_ADDR="fe80::1%eth0"), False),
        (asker(HTTP_X_FORWARDED_FOR="192.0.2.1"), False),
        (asker(HTTP_FORWARDED="for=127.0.0.1"), False),
        (asker(HTTP_VIA="1.1 proxy"), False),
        (asker(REMOTE_ADDR="192.0.2.1", HTTP_REMOTE_USER="alice", HTTP_SSL_CLIENT_VERIFY="SUCCESS"), False),
        (asker(REMOTE_ADDR="192.0.2.1", REMOTE_USER="alice"), True),
        (asker(REMOTE_ADDR="192.0.2.1", SSL_CLIENT_VERIFY="SUCCESS"), True),
        (asker(HTTP_VIA="1.1 proxy", REMOTE_USER="alice"), True),
    ],
)
def test_who_may_see_it(environ: dict[str, str], may: bool) -> None:
    """Who asks from this machine, unless a proxy says that somebody else does, and who has been let in by name."""
    assert may is may_debug(environ)


@pytest.fixture
def site() -> Site:
    """A site of a machine that has answered."""
    fleet = Fleet([never_polled("ssh0")])
    fleet["ssh0"].snapshot = Snapshot(at=1000.0, seconds=0.02)
    return Site(fleet, lambda openmetrics: [], lambda: True, None, ask=lambda name, seconds, trace: Asked.POLLED)


def test_strangers_are_told_who_may(site: Site) -> None:
    """Somebody behind a proxy gets a 403 that says who may, for a machine that is not there too; the rest is theirs."""
    with serving(site) as server:
        for target in ("ssh0", "nobody"):
            answer = fetch(server, f"/probe?target={target}&debug=true", X_Forwarded_For="192.0.2.1")
            assert 403 == answer.status
            assert b"password or certificate" in answer.body
        for query in ("debug=false", "poll=now"):
            assert 200 == fetch(server, f"/probe?target=ssh0&{query}", X_Forwarded_For="192.0.2.1").status


def test_a_password_lets_in_from_anywhere(site: Site, tmp_path: Path) -> None:
    """With basic_auth_users everybody who gets as far has shown a password, and may see it through a proxy too."""
    with protected(users(tmp_path, alice=PASSWORD), site) as server:
        path, far = "/probe?target=ssh0&debug=true", {"X_Forwarded_For": "192.0.2.1"}
        assert 401 == fetch(server, path, **far).status
        assert 200 == fetch(server, path, Authorization=basic("alice", PASSWORD), **far).status


@pytest.mark.parametrize(("kind", "shown", "status"), [
    ("RequireAndVerifyClientCert", True, 200),
    ("VerifyClientCertIfGiven", True, 200),
    ("VerifyClientCertIfGiven", False, 403),
    ("", False, 403),
])  # fmt: skip
def test_a_certificate_lets_in_from_anywhere(site: Site, tmp_path: Path, kind: str, shown: bool, status: int) -> None:
    """A client's certificate that was verified is as good as a password; TLS alone is not."""
    authority = Authority(tmp_path)
    authority.issue("server")
    more = (f"  client_auth_type: {kind}", f"  client_ca_file: {authority.certificate.name}") if kind else ()
    client = authority.issue("client") if shown else None
    with protected(tls(tmp_path, *more), site) as server:
        answer = ask(
            server, trusting(authority, client), "/probe?target=ssh0&debug=true", **{"X-Forwarded-For": "192.0.2.1"}
        )
        assert status == answer.status


# Of a whole daemon


def test_the_daemon_has_all_of_it(tmp_path: Path, login: Callable[..., Login]) -> None:
    """The daemon as a process: the list, a poll now, its own metrics alone; and a reload changes the list."""
    with SshServer(shell()) as server:
        there = login(server)
        times: dict[str, Any] = {"listen": "127.0.0.1:0", "interval": "1h", "timeout": "5s"}
        ini = write_ini(tmp_path / "collector.ini", {"ssh0": {**there, "labels": "dc=eu"}}, **times)
        with Daemon(tmp_path / "log", "run", "--config", str(ini)) as daemon:
            assert '"targets": ["ssh0"]' in daemon.get("/sd")[1]
            status, text = daemon.get("/probe?target=ssh0&poll=now")
            assert (200, True) == (status, "\nssh_up 1.0\n" in text)
            status, text = daemon.get("/metrics?machines=no")
            assert "\ncollector_machines 1.0\n" in text
            assert "ssh_up" not in text
            assert "dc=" not in text
            write_ini(ini, {"ssh1": there}, **times)
            daemon.process.send_signal(1)
            until(lambda: '["ssh1"]' in daemon.get("/sd")[1], "the new machine is in the list")
            assert 404 == daemon.get("/probe?target=ssh0")[0]
            assert 0 == daemon.end()
            assert "Traceback" not in daemon.log


def test_the_first_answer_is_whole(tmp_path: Path, login: Callable[..., Login]) -> None:
    """Who asks before the machines are set up waits: an empty list would take all targets away, and is not ready."""
    with RawServer(says_nothing) as server, bind("127.0.0.1", 0) as listener:
        there, port = login(server), listener.getsockname()[1]
        times: dict[str, Any] = {"listen": f"127.0.0.1:{port}", "interval": "1h", "timeout": "5s"}
        ini = write_ini(tmp_path / "collector.ini", {f"ssh{number}": there for number in range(1000)}, **times)
        listener.close()
        with Daemon(tmp_path / "log", "run", "--config", str(ini)):
            first = until(lambda: asked_at(port, "/sd"), "it answers")
            assert b"503" in asked_at(port, "/-/ready").partition(b"\r\n")[0]
    assert 1000 == first.count(b'"targets"')


def asked_at(port: int, path: str) -> bytes:
    """The answer of whoever listens on a port, if anybody does."""
    try:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            return rest(connection)
    except ConnectionRefusedError:
        return b""

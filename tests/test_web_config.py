"""The web configuration: what its file may say, and TLS, client certificates and passwords over real connections."""

import base64
import logging
import os
import re
import shutil
import socket as sockets
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bcrypt
import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig.certificates import Authority, Pair, lock
from rig.needs import program
from rig.wait import until
from test_web import Answer, connect, drain, fetch, parsed, rest

from collector.config import load as load_ini
from collector.config.document import LARGEST, LONGEST
from collector.config.web import COSTS, load, read
from collector.errors import ConfigError
from collector.snapshot import Fleet
from collector.web import Limits, Protection, Server, Site, bind, serve
from collector.web.passwords import MOST, MOST_OF_ONE, THREADS

FIXTURES = Path(__file__).parent / "fixtures/web_config"
FILES = sorted(FIXTURES.glob("*.yml"))
BAD = [path for path in FILES if path.name.startswith("bad-")]

STRICTER = {
    "bad-cipher-13-only": "Go cannot choose among the suites of TLS 1.3 either; it would refuse TLS 1.2",
    "bad-cipher-without-forward-secrecy": "newer toolkits refuse it too",
    "bad-client-ca": "nobody could come in",
    "bad-curves": "Python's ssl takes one curve or all",
    "bad-empty": "an empty file protects nothing, and is what an editor leaves for a moment",
    "bad-header-lines": "a header is one line",
    "bad-merge-key": "no use for it",
    "bad-no-certificate": "it would be served without TLS",
    "bad-no-tls": "what is half written would serve without TLS",
    "bad-no-users": "what is half written would serve without passwords",
    "bad-old-version": "TLS 1.2 is the least",
    "bad-two-documents": "the second one would be ignored",
    "bad-type-without-client-ca": "any public authority's certificates would do",
    "bad-unverified-any": "a certificate that nobody verifies keeps nobody out, and Python's ssl cannot do it",
    "bad-unverified-request": "as above",
    "bad-user-colon": "nobody could log in",
    "bad-user-costly": "a guess would take half a minute",
    "bad-versions": "nobody could connect",
}
"""What we refuse and Debian's promtool does not, and why."""
NEWER = {"good-sans": "client_allowed_sans came with a later toolkit than that of Debian 12's promtool"}
"""What Debian's promtool refuses and we do not."""

PASSWORD = "correct horse: battery"


def hashed(password: str) -> str:
    """The bcrypt hash of a password, as cheap as may be."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COSTS[0])).decode()


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the fixtures name: an authority, a server's pair, and files that are not right."""
    folder = tmp_path_factory.mktemp("pems")
    authority = Authority(folder)
    server = authority.issue("server")
    authority.issue("other")
    lock(server.key, folder / "locked.key")
    (folder / "empty.pem").touch()
    (folder / "pem").mkdir()
    for path in FILES:
        shutil.copy(path, folder)
    return folder


# The file


def expected_of(path: Path) -> list[str]:
    """The messages in the comment lines at the head of a file."""
    lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    return [line.removeprefix("# ") for line in lines if line.startswith(f"# {path.name}")]


def problems(path: Path) -> list[str]:
    """What is wrong with a file."""
    try:
        load(path)
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_file_says_all_that_is_wrong(path: Path, pems: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head of each bad file is exactly what is said of it; of a good file nothing is said."""
    monkeypatch.chdir(pems)
    expected = expected_of(path)
    assert bool(expected) is (path in BAD)
    assert expected == problems(Path(path.name))


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_promtool_agrees(path: Path, pems: Path) -> None:
    """`promtool check web-config` takes and refuses the same files, but for those that are listed with the reason."""
    argv = [program("promtool"), "check", "web-config", str(pems / path.name)]
    theirs = subprocess.run(argv, capture_output=True, check=False).returncode == 0
    assert theirs is ((path not in BAD or path.stem in STRICTER) and path.stem not in NEWER)


def test_paths_begin_at_the_file(pems: Path) -> None:
    """A relative path in the file begins at its folder, as in the toolkit; certificates may also stand in the file."""
    assert load(pems / "good-tls.yml").context is not None
    texts = {field: (pems / name).read_text() for field, name in {"cert": "server.crt", "key": "server.key"}.items()}
    lines = [f"  {field}: |\n" + re.sub("^", "    ", text, flags=re.MULTILINE) for field, text in texts.items()]
    inline = pems / "inline.yml"
    inline.write_text("\n".join(["tls_server_config:", *lines]))
    assert load(inline).context is not None


@pytest.mark.limit(20)
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A FIFO, a directory, a device and a huge file are said to be such; none is read for ever."""
    fifo, huge, nul = tmp_path / "fifo", tmp_path / "huge", tmp_path / "web.yml"
    os.mkfifo(fifo)
    huge.write_bytes(b"#" * (LARGEST + 1))
    nul.write_text('tls_server_config: {cert_file: "\\0", key_file: fifo}')
    for path, fault in {
        fifo: "Is no regular file",
        tmp_path: "Is a directory",
        Path("/dev/zero"): "Is no regular file",
        huge: "Is too large",
        tmp_path / "missing": "No such file or directory",
    }.items():
        assert [f"{path}: cannot be read: {fault}; name a file that is there and may be read"] == problems(path)
    assert 2 == len(problems(nul))


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    "tls_server_config",
                    "basic_auth_users",
                    "http_server_config",
                    "headers",
                    "cert_file",
                    "cipher_suites",
                    ":",
                    " ",
                    "\n",
                    "  ",
                    "- ",
                    "[",
                    "]",
                    "{",
                    "}",
                    "&a ",
                    "*a",
                    "!!bool ",
                    "!!set ",
                    "? ",
                    "~",
                    "'",
                    '"',
                    "|",
                    "\t",
                    "yes",
                ]
            ),
            max_size=30,
        ).map(lambda words: "".join(words).encode()),
    )
)
def test_any_text_is_good_or_bad(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    """Whatever is in the file, it is read, or what is wrong with it is said; and wrong it is if it does not protect."""
    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.write_bytes(text)
    config, found, _ = read(path)
    assert found or config.guards or b"http_server_config" in text


def test_deep_nesting_is_no_crash(tmp_path: Path) -> None:
    """A file that is all brackets is refused like any other."""
    path = tmp_path / "deep.yml"
    path.write_text("[" * LONGEST)
    assert "nested too deeply" in problems(path)[0]
    path.write_text("[" * (LONGEST + 1))
    assert "longer than 64 KiB" in problems(path)[0]


def test_no_secret_is_said(tmp_path: Path, pems: Path) -> None:
    """Neither what is wrong nor what is shown of a configuration holds a key, a hash, or what stands in their place."""
    path = tmp_path / "web.yml"
    path.write_text("basic_auth_users:\n  alice: hunter2\n  $2y$10$hunter2: x\ntls_server_config:\n  key: hunter2\n")
    assert 3 == len(problems(path))
    assert "hunter2" not in str(problems(path))
    assert "$2y$10$qRTB" not in repr(load(pems / "good-users.yml"))


def test_check_reads_it_too(pems: Path, tmp_path: Path) -> None:
    """What is wrong with the web configuration is said with all else that is wrong with the configuration."""
    ini = tmp_path / "collector.ini"
    ini.write_text(f"[collector]\nweb_config = {pems}/bad-no-users.yml\nlitsen = :0\n[web1]\nhost = 192.0.2.10\n")
    argv = [sys.executable, "-m", "collector", "check", "--config", str(ini)]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert 2 == said.returncode
    assert [":3: [collector] litsen: ", ":2: basic_auth_users: "] == re.findall(r":\d: \S+ ?\S*: ", said.stderr)[:2]


def test_web_config_is_relative_to_the_ini(pems: Path, tmp_path: Path) -> None:
    """`web_config` is a path like any other: from the folder of the ini, or a credential of the service."""
    (tmp_path / "known_hosts").touch()
    (tmp_path / "key").touch()
    shutil.copy(pems / "good-users.yml", tmp_path / "web.yml")
    for text in ("web.yml", "credential:web.yml"):
        ini = tmp_path / "collector.ini"
        files = f"key_file = {tmp_path}/key\nknown_hosts = {tmp_path}/known_hosts\n"
        ini.write_text(f"[collector]\nweb_config = {text}\n[web1]\nhost = 192.0.2.10\nuser = u\n{files}")
        assert (
            tmp_path / "web.yml"
            == load_ini(ini, gatherers={"time": (), "memory": (), "load": ()}, credentials=tmp_path).web_config
        )


# The server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs the certificates of a test."""
    return Authority(tmp_path)


def page(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """An application that shows what it got to see of the request."""
    body = " ".join(sorted(name for name in environ if name.startswith("HTTP_"))).encode() or b"-"
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Frame-Options", "deny")])
    return [body]


@contextmanager
def serving(file: Path, application: Callable[..., Any] = page, **limits: float) -> Iterator[Server]:
    """A server with a web configuration, on a free port of loopback."""
    server = serve(bind("127.0.0.1", 0), application, Limits(**limits), Protection(file))  # type: ignore[arg-type]
    server.start()
    try:
        yield server
    finally:
        server.stop(timeout=1)


def tls(folder: Path, *more: str) -> Path:
    """A web configuration with TLS, with server.crt and server.key of its folder."""
    path = folder / "web.yml"
    lines = ["tls_server_config:", "  cert_file: server.crt", "  key_file: server.key", *more]
    path.write_text("\n".join([*lines, ""]))
    return path


def trusting(authority: Authority, client: Pair | None = None) -> ssl.SSLContext:
    """A client's context, with a certificate of its own or none."""
    context = ssl.create_default_context(cafile=authority.certificate)
    if client:
        context.load_cert_chain(client.certificate, client.key)
    return context


def ask(server: Server, context: ssl.SSLContext, path: str = "/", **headers: str) -> Answer:
    """The answer to a request over TLS."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: x",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    with context.wrap_socket(connect(server), server_hostname="localhost") as connection:
        connection.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        return parsed(rest(connection))


def serial(server: Server, context: ssl.SSLContext) -> object:
    """The serial number of the certificate that a server shows."""
    with context.wrap_socket(connect(server), server_hostname="localhost") as connection:
        certificate: Any = connection.getpeercert()
        return certificate["serialNumber"]


def test_pages_come_over_tls(tmp_path: Path, authority: Authority) -> None:
    """A client that trusts the authority gets the page over TLS 1.3, properly ended; 30 MB of it as well as 3 bytes."""
    authority.issue("server")
    whole = os.urandom(1_000_000) * 30

    def large(_: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(len(whole)))])
        return [whole]

    with serving(tls(tmp_path), large) as server:
        context = trusting(authority)
        with context.wrap_socket(
            connect(server), server_hostname="localhost", suppress_ragged_eofs=False
        ) as connection:
            assert ("TLSv1.3", "http/1.1") == (connection.version(), connection.selected_alpn_protocol() or "http/1.1")
            connection.sendall(
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            parts = rest(connection).split(b"\r\n\r\n", 1)
        assert whole == parts[1][: len(whole)]
        assert parts[1].endswith(whole)


def test_http_to_the_tls_port_is_told_so(tmp_path: Path, authority: Authority) -> None:
    """Who speaks HTTP where HTTPS is spoken gets a 400 that says so, as from Go's servers; nobody gets the page."""
    authority.issue("server")
    with serving(tls(tmp_path)) as server:
        answer = fetch(server, "/")
    assert (400, b"Client sent an HTTP request to an HTTPS server.\n") == (answer.status, answer.body)


@pytest.mark.parametrize(
    ("more", "version", "works"),
    [
        ((), ssl.TLSVersion.TLSv1_2, True),
        (("  min_version: TLS13",), ssl.TLSVersion.TLSv1_2, False),
        (("  max_version: TLS12",), ssl.TLSVersion.TLSv1_3, False),
        (("  curve_preferences: [X25519]",), ssl.TLSVersion.TLSv1_3, False),
        (("  curve_preferences: [CurveP384]",), ssl.TLSVersion.TLSv1_3, True),
        (("  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]",), ssl.TLSVersion.TLSv1_2, False),
        (("  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]",), ssl.TLSVersion.TLSv1_2, True),
    ],
)
def test_versions_ciphers_and_curves(
    tmp_path: Path, authority: Authority, more: tuple[str, ...], version: ssl.TLSVersion, works: bool
) -> None:
    """What the file chooses is what is offered: another version, cipher suite or curve ends the handshake."""
    authority.issue("server")
    context = trusting(authority)
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    if version == ssl.TLSVersion.TLSv1_3:
        context.set_ecdh_curve("secp384r1")
    with serving(tls(tmp_path, *more)) as server:
        if works:
            assert 200 == ask(server, context).status
        else:
            with pytest.raises(ssl.SSLError, match="ALERT"):
                ask(server, context)


@pytest.mark.parametrize("client", [None, "known", "named", "stranger"])
@pytest.mark.parametrize("kind", ["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert", "sans"])
def test_client_certificates(tmp_path: Path, authority: Authority, kind: str, client: str | None) -> None:
    """Only certificates of the authority come in, and of these only those with a name that may, if there are such."""
    (tmp_path / "strange").mkdir()
    stranger = Authority(tmp_path / "strange", "elsewhere").issue("stranger")
    names = ("prometheus", "2001:db8::1", "me@example.org", "spiffe://example.org/prometheus")
    pairs = {
        "known": authority.issue("known"),
        "named": authority.issue("named", names),
        "stranger": stranger,
        None: None,
    }
    authority.issue("server")
    more = ["  client_ca_file: authority.crt", "  client_auth_type: " + kind]
    if kind == "NoClientCert":
        more = []
    elif kind == "sans":
        more[1:] = ["  client_auth_type: RequireAndVerifyClientCert", "  client_allowed_sans: [2001:db8::1]"]
    outcomes: dict[str, dict[str | None, int | None]] = {
        "NoClientCert": {None: 200, "known": 200, "named": 200, "stranger": 200},
        "VerifyClientCertIfGiven": {None: 200, "known": 200, "named": 200, "stranger": None},
        "RequireAndVerifyClientCert": {None: None, "known": 200, "named": 200, "stranger": None},
        "sans": {None: None, "known": 403, "named": 200, "stranger": None},
    }
    expected = outcomes[kind][client]
    with serving(tls(tmp_path, *more)) as server:
        if expected:
            assert expected == ask(server, trusting(authority, pairs[client])).status
        else:
            with pytest.raises(ssl.SSLError, match=r"ALERT_(CERTIFICATE_REQUIRED|UNKNOWN_CA)"):
                ask(server, trusting(authority, pairs[client]))


@pytest.mark.parametrize("name", ["prometheus", "2001:db8::1", "me@example.org", "spiffe://example.org/prometheus"])
def test_any_kind_of_name_may_be_allowed(tmp_path: Path, authority: Authority, name: str) -> None:
    """A host's name, an address, a mail address and a URI are compared as they are written."""
    authority.issue("server")
    client = authority.issue("client", ("other", name))
    more = ["  client_auth_type: RequireAndVerifyClientCert", "  client_ca_file: authority.crt"]
    with serving(tls(tmp_path, *more, f"  client_allowed_sans: ['{name}']")) as server:
        assert 200 == ask(server, trusting(authority, client)).status


def test_a_silent_handshake_costs_nobody_else(tmp_path: Path, authority: Authority) -> None:
    """Who connects and does not shake hands, or drips, is cut off in time, and meanwhile makes room for others."""
    authority.issue("server")
    with serving(tls(tmp_path), connections=3, read=0.5) as server:
        silent = [connect(server) for _ in range(3)]
        silent[1].sendall(b"\x16\x03\x01\x02\x00\x01")
        assert 200 == ask(server, trusting(authority)).status
        for connection in silent:
            assert b"" == rest(connection)
            connection.close()
        until(lambda: not server._waiting, "all connections are gone")


def test_a_slow_reader_over_tls_is_cut_off(tmp_path: Path, authority: Authority) -> None:
    """A slow reader has until the deadline, and cannot take half of the answer for the whole."""
    authority.issue("server")

    def large(_: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [bytes(32_000_000)]

    with serving(tls(tmp_path), large, write=0.3) as server:
        raw = connect(server, receive_buffer=4096)
        with trusting(authority).wrap_socket(
            raw, server_hostname="localhost", suppress_ragged_eofs=False
        ) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with pytest.raises(OSError, match=r"reset|EOF"):
                drain(connection, 1)


def test_any_bytes_leave_the_tls_server_alive(tmp_path: Path, authority: Authority) -> None:
    """Whatever comes instead of a handshake, or in the midst of one, the next client is served."""
    authority.issue("server")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        trusting(authority).wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    with serving(tls(tmp_path), linger=0.1) as server:

        @settings(max_examples=200, deadline=None)
        @given(st.integers(0, len(hello)), st.binary(max_size=300))
        def survives(cut: int, junk: bytes) -> None:
            with connect(server) as connection:
                connection.sendall(hello[:cut] + junk)
                connection.shutdown(sockets.SHUT_WR)
                assert b"HTTP/1.1 500" not in rest(connection)

        survives()
        assert 200 == ask(server, trusting(authority)).status


def test_a_session_is_resumed(tmp_path: Path, authority: Authority) -> None:
    """A client that comes again need not do the whole handshake."""
    authority.issue("server")
    context = trusting(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(tls(tmp_path)) as server:
        session = None
        for resumed in (False, True):
            with context.wrap_socket(connect(server), server_hostname="localhost", session=session) as connection:
                assert resumed is connection.session_reused
                session = connection.session


# Changes while it runs


def test_replaced_certificates_are_served_at_once(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """A new pair is shown from the next handshake on; half of it leaves the old pair in force, and is told once."""
    caplog.set_level(logging.INFO, "collector.web.protection")
    old = authority.issue("server")
    context = trusting(authority)
    with serving(tls(tmp_path)) as server:
        first = serial(server, context)
        new = authority.issue("new")
        shutil.copy(new.certificate, old.certificate)
        assert [first] * 3 == [serial(server, context) for _ in range(3)]
        assert not server.protection.readable
        shutil.copy(new.key, old.key)
        second = serial(server, context)
        assert first != second
        assert server.protection.readable
        old.certificate.unlink()
        assert second == serial(server, context)
        authority.issue("server")
        assert second != serial(server, context)
    levels = [record.levelname for record in caplog.records]
    assert ["ERROR", "INFO", "ERROR", "INFO"] == levels
    assert "is not the key of the certificate" in caplog.records[0].message


@pytest.mark.parametrize(
    "lost", ["", "basic_auth_users:\n", "tls_server_config:\n", "http_server_config: {http2: true}\n", "a: [\n"]
)
def test_half_a_file_lets_nobody_in(tmp_path: Path, lost: str) -> None:
    """A file that is cut in the middle of being written changes nothing, even if it would be a good one."""
    file = users(tmp_path, alice=PASSWORD)
    with serving(file) as server:
        file.write_text(lost)
        assert 401 == fetch(server, "/").status
        assert 200 == fetch(server, "/", Authorization=basic("alice", PASSWORD)).status
        assert not server.protection.readable


def test_each_guard_stays_until_a_restart(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """What would let in who is kept out, or turn TLS on, waits for a restart, and the log says so."""
    authority.issue("server")
    client = trusting(authority, authority.issue("client", ("client",)))
    ca, verify = "  client_ca_file: authority.crt", "  client_auth_type: RequireAndVerifyClientCert"
    alice = f"basic_auth_users: {{alice: '{hashed(PASSWORD)}'}}"
    full = [ca, verify, "  client_allowed_sans: [client]", alice]
    file = tls(tmp_path, *full)
    with serving(file) as server:
        for less in ([], full[:1] + full[3:], full[:2] + full[3:], full[:3]):
            tls(tmp_path, *less)
            assert 401 == ask(server, client).status
            assert not server.protection.readable
        file.write_text(alice)
        assert 401 == ask(server, client).status
    gone = [record.message.partition(": ")[2] for record in caplog.records]
    text = f"{file}: {{}} has gone: that takes effect with a restart"
    names = [
        "basic_auth_users",
        "client_allowed_sans",
        "client_auth_type: RequireAndVerifyClientCert",
        "tls_server_config",
    ]
    assert {text.format(name) for name in names} <= set(gone)
    with serving(file) as server:
        tls(tmp_path, alice)
        assert 401 == fetch(server, "/").status
        assert not server.protection.readable


# Passwords


def users(folder: Path, **passwords: str) -> Path:
    """A web configuration with users alone."""
    path = folder / "web.yml"
    lines = [f"  {name}: {hashed(password)}" for name, password in passwords.items()]
    path.write_text("\n".join(["basic_auth_users:", *lines, ""]))
    return path


def basic(user: str, password: str) -> str:
    """An Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What bcrypt said each time that it was asked."""
    said: list[bool] = []
    real = bcrypt.checkpw

    def checkpw(password: bytes, hashed_password: bytes) -> bool:
        said.append(real(password, hashed_password))
        return said[-1]

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    return said


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/sd", "/-/healthy", "/-/ready", "/machines.json", "/static/status.css", "/x"]
)
def test_every_path_wants_a_password(tmp_path: Path, path: str) -> None:
    """No page is for strangers, health included, as with the toolkit; the right password opens all of them."""
    site = Site(Fleet(), lambda openmetrics: [], lambda: True, None)
    with serving(users(tmp_path, alice=PASSWORD), site) as server:
        stranger = fetch(server, path)
        assert (401, 'Basic realm="collector"') == (stranger.status, stranger.headers["www-authenticate"])
        assert b"Unauthorized\n" == stranger.body
        assert (404 if path == "/x" else 200) == fetch(server, path, Authorization=basic("alice", PASSWORD)).status
        assert 401 == fetch(server, path, "POST").status
        assert b"" == fetch(server, path, "HEAD").body


@pytest.mark.parametrize(
    "header",
    [
        basic("alice", "wrong"),
        basic("alice", ""),
        basic("nobody", PASSWORD),
        basic("", PASSWORD),
        basic("alice" + PASSWORD, ""),
        basic("Alice", PASSWORD),
        basic("alice", PASSWORD + "\0"),
        basic("alice", PASSWORD + " "),
        basic("alice", "ä" * 100),
        basic("alice", PASSWORD).replace("Basic", "Bearer"),
        basic("alice", PASSWORD) + ",Basic eDp5",
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"alice").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:\x00").decode(),
    ],
)
def test_wrong_credentials_are_refused(
    tmp_path: Path, header: str, caplog: pytest.LogCaptureFixture, compared: list[bool]
) -> None:
    """Whatever is not a user and that user's password is a 401, each time, also after the right one was shown."""
    caplog.set_level(logging.DEBUG)
    with serving(users(tmp_path, alice=PASSWORD, bob="other")) as server:
        assert 401 == fetch(server, "/", Authorization=header).status
        asked = len(compared)
        assert 200 == fetch(server, "/", Authorization=basic("alice", PASSWORD)).status
        assert 401 == fetch(server, "/", Authorization=header).status
        assert [401, 401] == [fetch(server, "/", Authorization=header).status for _ in range(2)]
    assert 4 * asked + 1 == len(compared), "a wrong password is worked out each time"
    assert [] == caplog.records


def test_a_password_is_worked_out_once(tmp_path: Path, compared: list[bool]) -> None:
    """A scrape a second costs one comparison, until the file changes; a user who is not there always costs one."""
    file = users(tmp_path, alice=PASSWORD)
    with serving(file) as server:
        for _ in range(20):
            assert 200 == fetch(server, "/", Authorization=basic("alice", PASSWORD)).status
        assert [True] == compared
        for _ in range(2):
            assert 401 == fetch(server, "/", Authorization=basic("nobody", PASSWORD)).status
        assert 3 == len(compared)
        users(tmp_path, alice="changed")
        assert 401 == fetch(server, "/", Authorization=basic("alice", PASSWORD)).status
        assert 200 == fetch(server, "/", Authorization=basic("alice", "changed")).status
        users(tmp_path, bob="changed")
        assert 401 == fetch(server, "/", Authorization=basic("alice", "changed")).status
        assert 200 == fetch(server, "/", Authorization=basic("bob", "changed")).status


def test_long_passwords(tmp_path: Path) -> None:
    """Of a password 72 bytes count, as for every bcrypt; what is longer is no error."""
    with serving(users(tmp_path, alice="x" * 72)) as server:
        assert [200, 200, 401] == [
            fetch(server, "/", Authorization=basic("alice", "x" * length)).status for length in (72, 200, 71)
        ]


def test_the_page_does_not_see_the_password(tmp_path: Path) -> None:
    """The application is called without the header that has the password."""
    with serving(users(tmp_path, alice=PASSWORD)) as server:
        assert b"HTTP_CONNECTION HTTP_HOST" == fetch(server, "/", Authorization=basic("alice", PASSWORD)).body


def guess(server: Server, password: str, host: int) -> Answer:
    """The answer to a password of alice's from 127.0.0.`host`."""
    there = ("127.0.0.1", server.server_port)
    with sockets.create_connection(there, source_address=(f"127.0.0.{host}", 0)) as connection:
        connection.sendall(f"GET / HTTP/1.0\r\nAuthorization: {basic('alice', password)}\r\n\r\n".encode())
        return parsed(rest(connection))


def test_guessing_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While guesses fill all threads and places to wait who is known is answered, and one guess more is a 503.

    The guesses of one address fill some of the places only.
    """
    held, release = os.pipe()
    working: list[int] = []
    real = bcrypt.checkpw

    def slow(password: bytes, hashed_password: bytes) -> bool:
        working.append(1)
        os.read(held, 1)
        return real(password, hashed_password)

    with serving(users(tmp_path, alice=PASSWORD)) as server:
        assert 200 == guess(server, PASSWORD, 1).status
        monkeypatch.setattr(bcrypt, "checkpw", slow)
        guesses = [gevent.spawn(guess, server, str(number), 2) for number in range(MOST_OF_ONE)]
        until(lambda: len(server._answering) == MOST_OF_ONE, "one address has all the places that it may have")
        try:
            assert 503 == guess(server, "more", 2).status
            others = range(MOST - MOST_OF_ONE)
            guesses += [gevent.spawn(guess, server, str(number), 3 + number // MOST_OF_ONE) for number in others]
            until(lambda: len(server._answering) == MOST, "all places are taken")
            refused = guess(server, "more", 100)
            assert (503, "5") == (refused.status, refused.headers["retry-after"])
            assert 200 == guess(server, PASSWORD, 2).status
            assert THREADS == len(working)
        finally:
            os.write(release, bytes(100))
        assert {401} == {each.get().status for each in guesses}
        assert 401 == guess(server, "more", 2).status
    for end in (held, release):
        os.close(end)


def test_headers_are_added(tmp_path: Path) -> None:
    """The headers of the file are on every answer, in place of the page's own; a blank one is left out."""
    file = tmp_path / "web.yml"
    headers = "{Strict-Transport-Security: max-age=1, X-Frame-Options: sameorigin, X-XSS-Protection: ''}"
    alice = hashed(PASSWORD)
    file.write_text(f"http_server_config:\n  headers: {headers}\nbasic_auth_users: {{alice: '{alice}'}}\n")
    with serving(file) as server:
        for header in ("", basic("alice", PASSWORD)):
            answer = fetch(server, "/", Authorization=header)
            names = ("strict-transport-security", "x-frame-options", "x-xss-protection")
            assert ["max-age=1", "sameorigin", None] == [answer.headers.get(name) for name in names]

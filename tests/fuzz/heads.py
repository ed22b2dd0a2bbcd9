"""Heads of HTTP requests, the headers by which a client says what it takes, and what /probe is asked."""

import re

from collector.web.debug import said
from collector.web.negotiate import ranges, wants_gzip, wants_openmetrics
from collector.web.probe import PATIENCE, Query, patience
from collector.web.request import MOST_HEADERS, Refusal, Request, parse_line
from collector.web.server import rendered

KEY = re.compile(r"HTTP_[A-Z0-9!#$%&'*+.^`|~_]+")


def request(data: bytes) -> None:
    """A head is a Request without a body, with clean headers, or a Refusal that is one whole answer."""
    first, *others = [line.removesuffix(b"\r") for line in data.split(b"\n")[: MOST_HEADERS + 1]]
    try:
        one = parse_line(first)
        for line in others:
            if not line:
                break
            one.add(line)
        one.check()
    except Refusal as refusal:
        head, body = rendered(refusal).split(b"\r\n\r\n")
        assert re.match(rb"HTTP/1\.1 [45]\d\d [ -~]+\r\n", head)
        assert body == f"{refusal.text}\n".encode()
        return
    check(one)


def check(one: Request) -> None:
    """Hold a request to what the rest of the server takes for granted."""
    assert one.version in ("HTTP/1.0", "HTTP/1.1")
    assert one.path.startswith("/") or one.path == "*"
    assert (one.method + one.query).isascii()
    assert not set(one.method + one.query) & set(" \r\n")
    assert isinstance(one.keep_alive, bool)
    assert "HTTP_TRANSFER_ENCODING" not in one.headers
    assert int(one.headers.get("HTTP_CONTENT_LENGTH", "0")) == 0
    if one.version == "HTTP/1.1":
        assert "," not in one.headers["HTTP_HOST"]
    for key, value in one.headers.items():
        assert KEY.fullmatch(key)
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value)
        assert value == value.rstrip(" \t")


def negotiate(data: bytes) -> None:
    """Any header has an answer; each element of it that counts has a name, and a quality from 0 to 1."""
    header = data.decode("latin-1")
    for name, parameters, quality in ranges(header):
        assert name
        assert "q" not in parameters
        assert 0 <= quality <= 1
    assert wants_openmetrics(header) in (False, True)
    assert wants_gzip(header) in (False, True)
    # What is nothing adds nothing.
    assert wants_openmetrics(f"{header},;") == wants_openmetrics(header)
    assert wants_gzip(f",{header}") == wants_gzip(header)


def probe(data: bytes) -> None:
    """A query is a Query of one machine, or one line that says what is wrong; so is what Prometheus says of itself."""
    text = data.decode("latin-1")
    for read in (Query.parse, patience):
        try:
            found = read(text)
        except ValueError as error:
            assert str(error).isprintable()
            assert len(str(error)) < 300
            continue
        assert found.target if isinstance(found, Query) else 0 < found <= PATIENCE
    for line in said(bytearray(data)):
        assert line.isascii()
        assert line.isprintable()


REQUESTS = (
    b"GET /metrics HTTP/1.1\r\nHost: h:9822\r\nAccept-Encoding: gzip\r\n\r\n",
    b"GET http://h/metrics?x=1%20 HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
    b"POST /-/reload HTTP/1.1\nHost: h\nContent-Length: 0\n\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /%2e%2e/%ff HTTP/1.1\r\nHost: a\r\nHost: b\r\nX_Y: z\r\n\r\n",
    b"OPTIONS * HTTP/2.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 120,
    b"\x16\x03\x01",
)

QUERIES = (
    b"target=ssh0&poll=now&debug=true",
    b"target=%C3%A4%2Fb+c&debug=false",
    b"target=a&target=b",
    b"target=%ff&x=%0d%0a",
    b"9.5",
    b"1e999",
)

ACCEPTS = (
    b"application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    b'text/plain; version="0.0.4"; q=1.000, TEXT/*',
    b"gzip;q=0.5, identity;q=0, *;q=2",
    b"x-gzip, deflate;q=;q, ;;=,\xff",
)

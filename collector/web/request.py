"""The head of an HTTP/1.x request, read strictly (RFC 9112): what is not clearly right is refused.

The daemon never wants a body, so a request that announces one is refused before a byte of it is read.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/(\d)\.(\d)")
HEADER = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)

MOST_LINE = 8192
MOST_HEADERS = 100


class Refusal(Exception):
    """The request is answered with `status` and one line of `text`, and the connection is closed."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(status)
        self.status = status
        self.text = text


@dataclass(slots=True)
class Request:
    """A request's head. `headers` has the names as WSGI spells them, HTTP_ACCEPT, repeated ones joined by commas."""

    method: str
    path: str
    query: str
    version: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants the connection kept open after the answer."""
        words = {word.strip().lower() for word in self.headers.get("HTTP_CONNECTION", "").split(",")}
        return "close" not in words and (self.version == "HTTP/1.1" or "keep-alive" in words)

    def add(self, line: bytes) -> None:
        """Add a header line. A name with an underscore is dropped: it could pass for the one with a hyphen."""
        words = HEADER.fullmatch(line)
        if words is None:
            raise Refusal("400 Bad Request", "A header line is malformed.")
        name, value = (part.decode("latin-1") for part in words.groups())
        if "_" not in name:
            key = f"HTTP_{name.upper().replace('-', '_')}"
            value = value.rstrip(" \t")
            self.headers[key] = f"{self.headers[key]},{value}" if key in self.headers else value

    def check(self) -> None:
        """Refuse what cannot be answered: a body, or in HTTP/1.1 no host or several."""
        if "HTTP_TRANSFER_ENCODING" in self.headers:
            raise Refusal("411 Length Required", "A request with a body is not taken.")
        length = self.headers.get("HTTP_CONTENT_LENGTH", "0")
        if not re.fullmatch(r"[0-9]+", length):
            raise Refusal("400 Bad Request", "Content-Length is not a number.")
        if length.strip("0"):
            raise Refusal("413 Content Too Large", "A request with a body is not taken.")
        if self.version == "HTTP/1.1" and ("," in (host := self.headers.get("HTTP_HOST", ",")) or " " in host):
            raise Refusal("400 Bad Request", "HTTP/1.1 wants one Host header.")


def parse_line(line: bytes) -> Request:
    """Read the request line, `GET /metrics?x=1 HTTP/1.1`; the target may be absolute, as proxies send it."""
    words = REQUEST_LINE.fullmatch(line)
    if words is None:
        raise Refusal("400 Bad Request", "The request line is malformed.")
    method, target, major, minor = (word.decode("ascii") for word in words.groups())
    if major != "1":
        raise Refusal("505 HTTP Version Not Supported", "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    if origin := ORIGIN.match(target):
        target = target[origin.end() :]
        target = target if target.startswith("/") else f"/{target}"
    if not target.startswith("/") and target != "*":
        raise Refusal("400 Bad Request", "The request's target is not a path.")
    path, _, query = target.partition("?")
    return Request(method, unquote(path, "latin-1"), query, "HTTP/1.0" if minor == "0" else "HTTP/1.1")

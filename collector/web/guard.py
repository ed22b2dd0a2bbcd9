"""Who is let in to the pages (HTTP basic authentication, RFC 7617), and the headers that all of them are sent with."""

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

from collector.web.passwords import Busy, Passwords
from collector.web.protection import Protection

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[str, str]]

CHALLENGE = ("WWW-Authenticate", 'Basic realm="collector"')


class Guard:
    """A WSGI application around another, as the web configuration of the moment says.

    Who has shown a password is named to the application as REMOTE_USER.
    """

    def __init__(self, application: Application, protection: Protection) -> None:
        self._application = application
        self._protection = protection
        self._passwords = Passwords()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Let the application answer, without the password, whom it may; every path is guarded, as in Prometheus."""
        config = self._protection.now()
        shown = credentials(environ.pop("HTTP_AUTHORIZATION", ""))

        def start(status: str, headers: Headers, *more: Any) -> Any:
            # What the file says goes before what a page says of itself.
            ours = {name.lower() for name, _ in config.headers}
            others = [pair for pair in headers if pair[0].lower() not in ours]
            return start_response(status, [*others, *config.headers], *more)

        try:
            if not config.users:
                return self._application(environ, start)
            if shown and self._passwords.is_right(config.users, *shown, environ["REMOTE_ADDR"]):
                environ["REMOTE_USER"] = shown[0].decode("latin-1")
                return self._application(environ, start)
        except Busy:
            return refuse(start, environ, "503 Service Unavailable", ("Retry-After", "5"))
        return refuse(start, environ, "401 Unauthorized", CHALLENGE)


def credentials(header: str) -> tuple[bytes, bytes] | None:
    """Return user and password of an Authorization header; None if there are none, or they make no sense."""
    scheme, _, token = header.partition(" ")
    try:
        user, colon, password = base64.b64decode(token.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if scheme.lower() == "basic" and colon else None


def refuse(
    start_response: Callable[..., Any], environ: dict[str, Any], status: str, header: tuple[str, str]
) -> list[bytes]:
    """Answer with the status alone."""
    body = f"{status.partition(' ')[2]}\n".encode()
    length = ("Content-Length", str(len(body)))
    start_response(
        status, [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"), length, header]
    )
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

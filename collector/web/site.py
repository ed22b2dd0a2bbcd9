"""The pages of the daemon, as a WSGI application (PEP 3333)."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib.resources import files
from io import BytesIO
from typing import Any, cast
from urllib.parse import parse_qsl

import gevent
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore

from collector.polling import Asked
from collector.snapshot import Fleet
from collector.web import status
from collector.web.discovery import listing
from collector.web.negotiate import OPENMETRICS, TEXT, wants_gzip, wants_openmetrics
from collector.web.overview import Overview, Query, view
from collector.web.pack import packed
from collector.web.probe import Ask, Probe
from collector.web.response import Environ, Response, not_allowed, say

STATIC = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
FILES = files("collector.web") / "static"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "connect-src 'self'",
        "img-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
WORTH_GZIP = 1024
"""Bytes below which compressing saves nothing."""

AGAIN = 4
WORTH_KEEPING, LONGEST_KEPT = 0.05, 1.0
"""Seconds for which a page is kept."""

NO_MACHINES = ("machines", "no")
"""What may be in the query of /metrics: then the machines are left out of it."""


class Shared:
    """Makes a page for all who ask at once: who asks while one is being made shares the next.

    So a thousand scrapes at once cost two pages, in time and in memory. A page that is long in the making is kept for
    `AGAIN` times as long, a second at most, so that scrapes one right after another cannot take all of our time. Who
    asked while it was being made gets it, too: it is fresher than for who asks a moment later.
    """

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._turn = BoundedSemaphore()
        self._next: AsyncResult[bytes] | None = None
        self._kept: bytes | None = None

    def __call__(self) -> bytes:
        """Return a page begun after this call, or one that is kept by then.

        Who begins it sees its exceptions as they are.
        """
        if self._kept is not None:
            return self._kept
        if self._next is not None:
            return cast(bytes, self._next.get())
        mine = self._next = AsyncResult()
        try:
            with self._turn:
                self._next = None
                made = self._kept if self._kept is not None else self._anew()
        except BaseException as error:
            self._next = None if self._next is mine else self._next
            mine.set_exception(RuntimeError(f"the page could not be made: {error!r}"))
            raise
        mine.set(made)
        return made

    def _anew(self) -> bytes:
        begun = time.monotonic()
        made = self._make()
        seconds = min(LONGEST_KEPT, AGAIN * (time.monotonic() - begun))
        if seconds >= WORTH_KEEPING:
            self._kept = made
            gevent.spawn_later(seconds, self._forget)
        return made

    def _forget(self) -> None:
        self._kept = None


class Site:
    """The application: `fleet` is what the status page shows, `page(openmetrics)` yields the pieces of /metrics.

    `ready()` tells whether every machine was polled once; `reload()` returns what is wrong with the configuration, and
    is None where the web may not reload it. `own(openmetrics)` is /metrics without the machines, and `ask` has one of
    them polled.
    """

    def __init__(
        self,
        fleet: Fleet,
        page: Callable[[bool], Iterable[bytes]],
        ready: Callable[[], bool],
        reload: Callable[[], list[str]] | None,
        clock: Callable[[], float] = time.time,
        *,
        own: Callable[[bool], Iterable[bytes]] = lambda openmetrics: (),
        ask: Ask = lambda name, seconds, trace: Asked.LEFT_ALONE,
    ) -> None:
        self._fleet = fleet
        self._ready = ready
        self._reload = reload
        self._clock = clock
        self._overview = Overview()
        pages: dict[tuple[str, bool], Callable[[], Iterable[bytes]]] = {
            **{("machines", openmetrics): partial(page, openmetrics) for openmetrics in (False, True)},
            **{("own", openmetrics): partial(own, openmetrics) for openmetrics in (False, True)},
            ("listing", False): lambda: listing([standing.machine for standing in fleet]),
        }
        self._pages = {
            (*which, is_packed): Shared(partial(_made, make, is_packed))
            for which, make in pages.items()
            for is_packed in (False, True)
        }
        static = {f"/static/{name}": asset(name) for name in ("status.css", "status.js", "icon.svg")}
        self._version = sha256(b"".join(found.body for found in static.values())).hexdigest()[:12]
        self._template = (FILES / "status.html").read_text("utf-8")
        self._gets: dict[str, Callable[[Environ], Response]] = {
            "/": self._status,
            "/machines.json": self._machines,
            "/metrics": self._metrics,
            "/probe": Probe(fleet, ask),
            "/sd": self._listing,
            "/-/healthy": lambda environ: say("The collector is alive."),
            "/-/ready": self._is_ready,
            **{path: partial(_always, found) for path, found in static.items()},
        }
        self._posts: dict[str, Callable[[Environ], Response]] = {"/-/reload": self._do_reload}

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request (PEP 3333); the answer to HEAD is that to GET without its body."""
        response = pack_if_wanted(self._respond(environ), environ.get("HTTP_ACCEPT_ENCODING", ""))
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            ("X-Content-Type-Options", "nosniff"),
            ("Vary", response.vary),
            *response.headers,
        ]
        start_response(response.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _respond(self, environ: Environ) -> Response:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path in self._posts:
            return self._posts[path](environ) if method == "POST" else not_allowed("POST")
        if path in self._gets:
            return self._gets[path](environ) if method in ("GET", "HEAD") else not_allowed("GET, HEAD")
        return say("There is no such page.", "404 Not Found")

    # The pages

    def _metrics(self, environ: Environ) -> Response:
        openmetrics = wants_openmetrics(environ.get("HTTP_ACCEPT", ""))
        part = "own" if NO_MACHINES in parse_qsl(environ["QUERY_STRING"]) else "machines"
        kind = OPENMETRICS if openmetrics else TEXT
        return replace(self._shared(environ, part, openmetrics, kind), vary="Accept, Accept-Encoding")

    def _listing(self, environ: Environ) -> Response:
        return self._shared(environ, "listing", False, "application/json")

    def _shared(self, environ: Environ, part: str, openmetrics: bool, content_type: str) -> Response:
        is_packed = wants_gzip(environ.get("HTTP_ACCEPT_ENCODING", ""))
        body = self._pages[part, openmetrics, is_packed]()
        return Response(body, content_type, headers=(("Content-Encoding", "gzip"),) if is_packed else ())

    def _is_ready(self, environ: Environ) -> Response:
        if self._ready():
            return say("Every machine has been polled.")
        missing = sum(standing.snapshot is None for standing in self._fleet)
        return say(f"Not yet polled: {missing} of {len(self._fleet)} machines.", "503 Service Unavailable")

    def _do_reload(self, environ: Environ) -> Response:
        if self._reload is None:
            return say("Reloading by the web is off; [collector] web_reload = yes turns it on.", "403 Forbidden")
        if not same_origin(environ):
            return say("Another site's page may not reload the configuration.", "403 Forbidden")
        problems = undisturbed(self._reload)
        if problems:
            return say("\n".join([*problems, "The configuration before stays in force."]), "400 Bad Request")
        return say("The configuration is loaded.")

    def _status(self, environ: Environ) -> Response:
        query, now = Query.parse(environ["QUERY_STRING"]), self._clock()
        seen = view(self._overview, self._fleet, query, now)
        html = status.page(self._template, seen, query, now, self._version)
        headers = (("Content-Security-Policy", POLICY), ("Cache-Control", "no-store"))
        return Response(html.encode("utf-8", "replace"), "text/html; charset=utf-8", headers=headers)

    def _machines(self, environ: Environ) -> Response:
        seen = view(self._overview, self._fleet, Query.parse(environ["QUERY_STRING"]), self._clock())
        body = json.dumps(seen.as_json(), separators=(",", ":")).encode()
        return Response(body, "application/json", headers=(("Cache-Control", "no-store"),))


def pack_if_wanted(response: Response, accept_encoding: str) -> Response:
    """Compress what an answer says, where that is worth it and not done yet."""
    is_packed = any(name == "Content-Encoding" for name, _ in response.headers)
    if is_packed or len(response.body) < WORTH_GZIP or not wants_gzip(accept_encoding):
        return response
    body = b"".join(packed([response.body]))
    return replace(response, body=body, headers=(*response.headers, ("Content-Encoding", "gzip")))


def undisturbed(work: Callable[[], list[str]]) -> list[str]:
    """Do some work in a greenlet of its own: the deadline of an answer ends the waiting for it, not the work."""
    done: AsyncResult[list[str]] = AsyncResult()

    def do() -> None:
        try:
            done.set(work())
        except Exception as error:
            done.set_exception(error)

    gevent.spawn(do)
    return done.get()  # type: ignore[return-value]


def same_origin(environ: Environ) -> bool:
    """Say whether a request comes from a program, or from a page of ours: browsers name any other in Origin."""
    origin = environ.get("HTTP_ORIGIN")
    return origin is None or origin.lower().partition("://")[2] == environ.get("HTTP_HOST", "").lower()


def asset(name: str) -> Response:
    """Load a static file. The page asks for it by its content's hash, so it may be kept."""
    headers = (("Cache-Control", "max-age=86400"),)
    return Response((FILES / name).read_bytes(), STATIC[name.rpartition(".")[2]], headers=headers)


def _made(page: Callable[[], Iterable[bytes]], is_packed: bool) -> bytes:
    """Make the whole page before any of it is sent: its length is known, and if it fails the answer says so."""
    whole = BytesIO()
    # Piece by piece: to join 40 MB at the end would take 20 ms at one go.
    for piece in packed(page()) if is_packed else page():
        whole.write(piece)
    return whole.getvalue()


def _always(response: Response, environ: Environ) -> Response:
    return response

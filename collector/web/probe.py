"""GET /probe: one machine, without the labels that Prometheus gives it, from its last poll or by one now.

It is the exporter's side of the multi-target pattern, https://prometheus.io/docs/guides/multi-target-exporter/: a
machine that is down is a good answer, with `ssh_up 0`.
"""

import ipaddress
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from heapq import nlargest
from urllib.parse import parse_qsl

from collector import exposition
from collector.config.problems import quoted
from collector.polling import Asked
from collector.session import Trace
from collector.snapshot import Fleet
from collector.turns import in_turns
from collector.web import debug
from collector.web.negotiate import OPENMETRICS, TEXT, wants_openmetrics
from collector.web.response import Environ, Response, say

Ask = Callable[[str, float, Trace | None], Asked]
"""Have a machine polled, as Polling.ask does."""

TIMEOUT = "HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS"
MARGIN = 0.5
"""Seconds by which an answer is there before Prometheus gives up; half of a scrape timeout that is under a second."""
PATIENCE = 25.0
"""Seconds for which a poll is waited for at most; the server gives up an answer that takes 30."""
MOST_WAITING = 256
"""Who may wait for polls at once: half of all connections, so that nobody else is kept out by them."""

PARAMETERS = {"target": (), "poll": ("now",), "debug": ("true", "false")}
"""What one may ask for, and the values of it; a target may be anything."""
MOST_CANDIDATES, LONGEST_NAME = 50, 100
FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA")
"""What a proxy may say of itself: the request is not from where it seems to come from."""

NOT_YOURS = (
    "debug=true is for who asks from this machine itself, or shows the password or certificate that web_config wants."
)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: a machine, whether to poll it now, and whether to show how that went."""

    target: str
    poll: bool = False
    debug: bool = False

    @classmethod
    def parse(cls, text: str) -> "Query":
        """Read the query of an URL. Raises ValueError, which says what is wrong with it, in one line."""
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=20)
        except ValueError:
            raise ValueError("The query cannot be read: it is not UTF-8, or has more than 20 parts.") from None
        given: dict[str, str] = {}
        for name, value in pairs:
            if name not in PARAMETERS:
                raise ValueError(f"There is no parameter {quoted(name)}; there are {', '.join(PARAMETERS)}.")
            if name in given:
                raise ValueError(f"{name} is there twice.")
            if (values := PARAMETERS[name]) and value not in values:
                raise ValueError(f"{name} can be {' or '.join(values)}, and not {quoted(value)}.")
            given[name] = value
        if not given.get("target"):
            raise ValueError("Which machine? /probe?target=SECTION, with the name of its section.")
        return cls(given["target"], "poll" in given, given.get("debug") == "true")


class Probe:
    """The page, of a fleet whose machines `ask` has polled."""

    def __init__(self, fleet: Fleet, ask: Ask) -> None:
        self._fleet = fleet
        self._ask = ask
        self._waiting = 0

    def __call__(self, environ: Environ) -> Response:
        """Answer a request."""
        try:
            query, seconds = Query.parse(environ["QUERY_STRING"]), patience(environ.get(TIMEOUT))
        except ValueError as error:
            return say(str(error), "400 Bad Request")
        if query.debug and not may_debug(environ):
            return say(NOT_YOURS, "403 Forbidden")
        if query.target not in self._fleet:
            names = [standing.machine.name for standing in self._fleet]
            return say(no_such_machine(query.target, names), "404 Not Found")
        if not (query.poll or query.debug):
            return self._last(query.target, environ)
        return self._now(query, seconds, environ)

    def _last(self, name: str, environ: Environ) -> Response:
        """Answer with what is known."""
        openmetrics = wants_openmetrics(environ.get("HTTP_ACCEPT", ""))
        body = exposition.of_machine(self._fleet[name], openmetrics)
        return Response(body, OPENMETRICS if openmetrics else TEXT, vary="Accept, Accept-Encoding")

    def _now(self, query: Query, seconds: float, environ: Environ) -> Response:
        """Answer with what is known after a poll.

        What a machine said before is no answer when it has not been asked in time. That it was down is: it still is.
        """
        if self._waiting >= MOST_WAITING:
            return say("Too many wait for polls already.", "503 Service Unavailable")
        trace = Trace() if query.debug else None
        with self._waits():
            asked = self._ask(query.target, seconds, trace)
        if asked is Asked.GONE or query.target not in self._fleet:
            return say(f"{query.target} has just changed in the configuration; ask again.", "503 Service Unavailable")
        if asked is Asked.LATE and (trace or self._fleet[query.target].up):
            late = (
                f"{query.target} was not polled within {seconds:g} s; the poll goes on, ask again for what comes of it."
            )
            return say(late, "503 Service Unavailable")
        if trace is None:
            return self._last(query.target, environ)
        return say(debug.text(self._fleet[query.target], trace, asked is Asked.POLLED))

    @contextmanager
    def _waits(self) -> Iterator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


def patience(header: str | None) -> float:
    """Return for how many seconds to wait for a poll, by what Prometheus says of its own patience.

    Raises ValueError.
    """
    if header is None:
        return PATIENCE
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"X-Prometheus-Scrape-Timeout-Seconds is not a number of seconds: {quoted(header)}.")
    return min(PATIENCE, seconds - min(MARGIN, seconds / 2))


def may_debug(environ: Environ) -> bool:
    """Say whether somebody on this machine asks, or somebody who has shown a password or a certificate."""
    if "REMOTE_USER" in environ or environ["SSL_CLIENT_VERIFY"] == "SUCCESS":
        return True
    address = ipaddress.ip_address(environ["REMOTE_ADDR"])
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback and not any(name in environ for name in FORWARDED)


def no_such_machine(name: str, names: Iterable[str]) -> str:
    """Say that there is no such machine, and which one may be meant."""
    word = name[:LONGEST_NAME]
    # difflib would take half a second for 10,000 names.
    likely = nlargest(MOST_CANDIDATES, in_turns(names), key=lambda other: in_common(word, other))
    close = get_close_matches(word, likely, 1)
    hint = f"did you mean {close[0]}?" if close else "/sd has all that there are."
    return f"There is no machine {quoted(name)}; {hint}"


def in_common(one: str, other: str) -> int:
    """Return how many letters two words begin and end with alike."""
    return alike(one, other) + alike(one[::-1], other[::-1])


def alike(one: str, other: str) -> int:
    """Return how many letters two words begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((count for count, (mine, yours) in enumerate(pairs) if mine != yours), min(len(one), len(other)))

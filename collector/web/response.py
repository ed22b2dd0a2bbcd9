"""What a page answers, and what it is asked with."""

from dataclasses import dataclass
from typing import Any

PLAIN = "text/plain; charset=utf-8"

Environ = dict[str, Any]
"""A request, as PEP 3333 has it."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a page answers."""

    body: bytes
    content_type: str = PLAIN
    status: str = "200 OK"
    headers: tuple[tuple[str, str], ...] = ()
    vary: str = "Accept-Encoding"


def say(text: str, status: str = "200 OK", *headers: tuple[str, str]) -> Response:
    """Answer in plain words."""
    return Response(f"{text}\n".encode("utf-8", "replace"), PLAIN, status, (("Cache-Control", "no-store"), *headers))


def not_allowed(methods: str) -> Response:
    """Refuse a method."""
    return say(f"Only {methods} here.", "405 Method Not Allowed", ("Allow", methods))

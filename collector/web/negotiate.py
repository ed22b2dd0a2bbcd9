"""What a client takes, by its Accept and Accept-Encoding headers (RFC 9110, section 12.5); nothing is an error.

`prometheus_client.exposition.choose_encoder` raises on a malformed version and echoes the client's, so this is our own.
"""

import re
from collections.abc import Iterator

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
WILD = "*/*"


def ranges(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, parameters and quality of each element of a header; one whose quality is malformed is left out."""
    for element in header.lower().split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        parameters = {key.strip(): value.strip(' \t"') for key, _, value in (part.partition("=") for part in rest)}
        quality = parameters.pop("q", "1")
        if name and QUALITY.fullmatch(quality):
            yield name, parameters, float(quality)


def wants_openmetrics(accept: str) -> bool:
    """Say whether an Accept header names OpenMetrics 1.0.0 and prefers it to text 0.0.4, which everybody else gets."""
    openmetrics = 0.0
    text: dict[str, float] = {}
    for name, parameters, quality in ranges(accept):
        version = parameters.get("version")
        if name == "application/openmetrics-text" and version in (None, "1.0.0"):
            openmetrics = max(openmetrics, quality)
        elif name in ("text/plain", "text/*", WILD) and version in (None, "0.0.4"):
            text[name] = max(text.get(name, 0.0), quality)
    best_text = next((text[name] for name in ("text/plain", "text/*", WILD) if name in text), 0.0)
    return openmetrics > 0 and openmetrics >= best_text


def wants_gzip(accept_encoding: str) -> bool:
    """Say whether an Accept-Encoding header takes gzip at least as gladly as no encoding."""
    qualities = {name: quality for name, _, quality in ranges(accept_encoding)}
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)

"""Log lines for people and for machines: logfmt or JSON, one line an event, on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime

FORMATS = ("logfmt", "json")
LEVELS = ("debug", "info", "warning", "error")

FIELDS = ("machine", "jump", "gatherer", "reason", "text", "file", "seconds")
"""What an event may say besides its message, as `extra`, in the order in which it is written."""


def fields(record: logging.LogRecord) -> dict[str, str]:
    """Return what a record says: time, level, message, fields of FIELDS, traceback."""
    said = {
        "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "msg": record.getMessage(),
    }
    said.update({name: str(getattr(record, name)) for name in FIELDS if hasattr(record, name)})
    if record.exc_info:
        said["traceback"] = logging.Formatter().formatException(record.exc_info)
    return said


class Logfmt(logging.Formatter):
    """`ts=... level=info msg=up machine=ssh0`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record; what a machine said cannot end the line, or begin another field."""
        return " ".join(f"{name}={_quoted(value)}" for name, value in fields(record).items())


class Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        return json.dumps(fields(record))


def _quoted(value: str) -> str:
    plain = value.isascii() and value.isprintable() and not set(value) & set(' ="\\')
    return value if plain and value else json.dumps(value)


def set_up(level: str, form: str) -> None:
    """Log from this level on, in a form of FORMATS."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else Logfmt())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)

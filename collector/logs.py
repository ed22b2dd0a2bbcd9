"""Log lines for people and for machines: logfmt or JSON, one line an event, on standard error."""

import json
import logging
import os
import select
import sys
from collections import deque
from datetime import UTC, datetime
from time import monotonic

import gevent
from gevent.monkey import get_original

FORMATS = ("logfmt", "json")
LEVELS = ("debug", "info", "warning", "error")

STDERR = 2

MOST_WAITING = 2**20
"""Bytes of the log that wait until they can be written: some thousands of lines."""

LOOK_EVERY, PATIENCE = 0.1, 1.0
"""Seconds between two attempts to write what waits; and for all of it, when the process ends."""

PIPE_BUF = select.PIPE_BUF
"""Bytes that a pipe takes without blocking when it says that it takes more (pipe(7))."""

kernel_poll = get_original("select", "poll")

LOST = "%d lines of this log were lost"

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


class Lines(logging.Handler):
    """Writes log lines to a descriptor, and never waits for whoever reads them.

    What cannot be written now waits its turn; what comes beyond `MOST_WAITING` is lost, and so is what cannot be
    written at all (a full disk, a closed pipe). How much was lost is in `lost`, and in the log once that flows again.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._untold = 0
        self._writer: gevent.Greenlet[..., None] | None = None
        self.lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or let it wait."""
        if self._size > MOST_WAITING:
            self._lose(1)
            return
        self._append(self.format(record))
        self._write()
        if self._waiting and self._writer is None:
            self._writer = gevent.spawn(self._write_on)

    def flush(self) -> None:
        """Write what waits, if that takes no longer than `PATIENCE`."""
        end = monotonic() + PATIENCE
        while self._waiting and (left := end - monotonic()) > 0:
            self._write(left)

    def _append(self, line: str) -> None:
        # In pieces each of which a pipe takes whole, or not at all.
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        self._waiting += (data[begin : begin + PIPE_BUF] for begin in range(0, len(data), PIPE_BUF))
        self._size += len(data)

    def _write_on(self) -> None:
        while self._waiting:
            gevent.sleep(LOOK_EVERY)
            self._write()
        self._writer = None

    def _write(self, patience: float = 0.0) -> None:
        """Write while that does not block; wait so many seconds at most until it does not."""
        while self._waiting and self._takes_more(patience):
            piece = self._waiting.popleft()
            self._size -= len(piece)
            try:
                os.write(self._descriptor, piece)
            except OSError:
                self._lose(piece.endswith(b"\n"))
            else:
                self._tell_lost()

    def _takes_more(self, patience: float) -> bool:
        # gevent's own would let other greenlets run, and its `poll` creates watchers; this is one system call.
        poll = kernel_poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(patience * 1000))

    def _lose(self, lines: int) -> None:
        self.lost += lines
        self._untold += lines

    def _tell_lost(self) -> None:
        if self._untold and not self._waiting:
            said = logging.makeLogRecord(
                {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": LOST % self._untold}
            )
            self._untold = 0
            self._append(self.format(said))


def lost() -> int:
    """Return how many lines could not be written since the start."""
    return sum(handler.lost for handler in logging.getLogger().handlers if isinstance(handler, Lines))


def set_up(level: str, form: str) -> None:
    """Log from this level on, in a form of FORMATS."""
    if sys.stderr is None:  # The process was started without one, and its number may be anybody's by now.
        return
    handler = Lines(STDERR)
    handler.setFormatter(Json() if form == "json" else Logfmt())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)

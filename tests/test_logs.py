"""Log lines: one an event, whatever a machine has said."""

import json
import logging
import sys

from hypothesis import given
from hypothesis import strategies as st

from collector.logs import FIELDS, Json, Logfmt


def record(message: str, **extra: str) -> logging.LogRecord:
    """An event as a module logs it."""
    made = logging.LogRecord("collector.sweep", logging.WARNING, "sweep.py", 1, message, None, None)
    made.created = 1.5
    vars(made).update(extra)
    return made


def test_logfmt() -> None:
    """A line has the time in UTC, the level, the message and what is known, in quotes where need be."""
    line = Logfmt().format(record("down", machine="ssh0", reason="timeout", text='no "answer"\nwithin 10 s'))

    assert line == (
        "ts=1970-01-01T00:00:01.500Z level=warning msg=down machine=ssh0 reason=timeout "
        r'text="no \"answer\"\nwithin 10 s"'
    )


def test_json() -> None:
    """The same as one JSON object a line."""
    said = json.loads(Json().format(record("up", machine="ssh0")))

    assert said == {"ts": "1970-01-01T00:00:01.500Z", "level": "warning", "msg": "up", "machine": "ssh0"}


def test_traceback_is_in_the_line() -> None:
    """A bug's traceback is a field of its line."""
    try:
        raise ValueError("a mistake")
    except ValueError:
        made = record("bug")
        made.exc_info = sys.exc_info()

    assert "ValueError: a mistake" in json.loads(Json().format(made))["traceback"]
    assert "\n" not in Logfmt().format(made)


@given(st.text(), st.sampled_from(FIELDS))
def test_nothing_ends_a_line(text: str, field: str) -> None:
    """Whatever text a machine sends, an event is one line."""
    for form in (Logfmt(), Json()):
        assert len(form.format(record("down", **{field: text})).splitlines()) == 1

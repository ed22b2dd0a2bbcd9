"""Log lines: one an event, whatever a machine has said."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.daemon import COLLECTOR
from rig.keys import Key
from rig.wait import until

from collector import logs
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


# A log that nobody reads


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    """Both ends of a pipe; the one that is read does not block."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    with FileIO(read, "rb") as reader, FileIO(write, "wb") as writer:
        yield reader, writer


def lines(file: FileIO) -> logs.Lines:
    """A handler that writes there."""
    handler = logs.Lines(file.fileno())
    handler.setFormatter(Logfmt())
    return handler


def test_a_full_pipe_keeps_nobody_waiting(pipe: tuple[FileIO, FileIO]) -> None:
    """Lines that a pipe does not take wait, those beyond a bound are lost, and both come to light when it is read."""
    reader, writer = pipe
    handler = lines(writer)
    text, said = "x" * 1000, b""

    for number in range(2000):
        handler.emit(record("down", machine=f"ssh{number}", text=text))
    while b"lines of this log were lost" not in said:
        said += reader.read(2**20) or b""
        gevent.sleep(logs.LOOK_EVERY)

    kept = re.findall(rb"machine=ssh(\d+) ", said)
    assert [str(number).encode() for number in range(len(kept))] == kept
    assert handler.lost == 2000 - len(kept) > 0
    assert f'msg="{handler.lost} lines of this log were lost"' in said.decode()


def test_lines_come_in_order_when_the_pipe_is_slow(pipe: tuple[FileIO, FileIO]) -> None:
    """What waits is written as soon as there is room, longer lines than a pipe takes at once too."""
    reader, writer = pipe
    handler = lines(writer)
    sent = [f"{number}-{'y' * 20_000}" for number in range(20)]

    for text in sent:
        handler.emit(record("down", text=text))
    said = b""
    while said.count(b"\n") < len(sent):
        gevent.sleep(logs.LOOK_EVERY)
        said += reader.read(2**20) or b""

    assert sent == re.findall(r"text=(\S+)", said.decode())
    assert handler.lost == 0


def test_a_closed_pipe_and_a_full_disk(pipe: tuple[FileIO, FileIO]) -> None:
    """Where nothing can be written the lines are lost, counted, and nothing is raised."""
    pipe[0].close()
    with FileIO("/dev/full", "wb") as full:
        for file in (pipe[1], full):
            handler = lines(file)
            handler.emit(record("down"))

            assert handler.lost == 1, file


def test_a_daemon_whose_log_nobody_reads(key: Key, tmp_path: Path) -> None:
    """With standard error a full pipe the daemon serves, reloads and ends, and counts what the log has lost."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ini = tmp_path / "collector.ini"
    pinned = f"SHA256:{'A' * 43}"
    machine = f"[ssh0]\nhost = 127.0.0.1\nport = 1\nkey_file = {key.path}\nhost_key = {pinned}\n"
    good = f"[collector]\nlisten = 127.0.0.1:{port}\n{machine}"
    ini.write_text(good)

    def lost() -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
            (found,) = re.findall(rb"^collector_log_lines_lost_total (\S+)", page.read(), re.MULTILINE)
        return float(found)

    argv = [*COLLECTOR, "run", "--config", str(ini)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as daemon:
        try:
            assert daemon.stderr is not None
            assert b"serving" in daemon.stderr.readline()
            ini.write_text(good + "".join(f"option{number} = {'z' * 100}\n" for number in range(20_000)))
            daemon.send_signal(signal.SIGHUP)
            until(lost, "lines are lost")
            daemon.send_signal(signal.SIGTERM)

            assert daemon.wait(10) == 0
        finally:
            daemon.kill()

"""What a machine says, or what stands in for it: READY, answers, the clock, and all that is none of these."""

import math

from collector import targets
from collector.errors import ProtocolViolation, ShellFailed
from collector.gather import GATHERERS, parse
from collector.probe import (
    CLOCK,
    MOST_READY,
    NEWLINE,
    SEPARATOR,
    Answer,
    compose,
    find_ready,
    is_whole,
    program,
    read_clock,
    read_ready,
    split,
)

TOKEN = "0123456789abcdef"
NUMBER = 7
WANTED = (CLOCK, "/proc/loadavg", "/proc/meminfo")
BEGIN, END = f"{TOKEN} {NUMBER} ".encode(), SEPARATOR + f"{TOKEN} {NUMBER}\n".encode()

LONGEST = 700
"""Characters of a text for people, in which 200 of a machine's may be escaped."""


def answer(data: bytes) -> None:
    """A whole answer is an Answer with the texts of the files asked for, or a ProtocolViolation; no other is taken."""
    if is_whole(data, TOKEN, NUMBER):
        taken(data)
    framed = BEGIN + data + END
    assert is_whole(framed, TOKEN, NUMBER)
    for token, number in ((TOKEN, NUMBER + 10), (TOKEN, NUMBER * 11), (TOKEN[::-1], NUMBER)):
        assert not is_whole(framed, token, number)
    parts = data.split(SEPARATOR)
    found = taken(framed)
    if found is None:
        # The token in what a file says is the machine's own fault.
        clocks = parts[0].split(b"/", 1)
        is_read = all(clock[:1].isdigit() for clock in clocks if clock)
        assert len(parts) not in (len(WANTED), len(WANTED) + 1) or not parts[0][:1].isdigit() or not is_read
    elif len(parts) == len(WANTED) + 1:
        said = parts[-1].decode("utf-8", "replace").split("\n")
        for file in WANTED[1:]:
            lines = [line.removeprefix(f"{file}:") for line in said if line.startswith(f"{file}:")]
            assert not lines or found.texts[file] == "".join(f"{line}\n" for line in lines)
    else:
        texts = [part.decode("utf-8", "replace").replace(NEWLINE, "\n") for part in parts[1:]]
        assert list(found.texts.values())[1:] == texts


def taken(said: bytes) -> Answer | None:
    """Return the answer, if it is one, which is then good."""
    try:
        found = split(said, TOKEN, NUMBER, WANTED)
    except ProtocolViolation as error:
        check_text(str(error))
        return None
    assert tuple(found.texts) == WANTED
    assert SEPARATOR.decode() not in "".join(found.texts.values())
    assert math.isfinite(found.clock)
    assert found.clock_error in (0.0, 0.5)
    return found


def ready(data: bytes) -> None:
    """A line of its own with the token and READY or UNFIT is found; what it says is a Ready, or a short ShellFailed."""
    # A shell that echoes, or traces, is not ready by that.
    echo = compose(TOKEN, program())
    if not find_ready(data, TOKEN):
        assert find_ready(echo + data, TOKEN) is None or data.startswith(TOKEN.encode())
    for said in (data, f"{TOKEN} READY ".encode() + data + b"\n", f"motd\n{TOKEN} UNFIT ".encode() + data + b"\n"):
        line = find_ready(said, TOKEN)
        if line is None:
            continue
        assert line.startswith((b"READY", b"UNFIT"))
        assert f"{TOKEN} ".encode() + line + b"\n" in said
        try:
            one = read_ready(line, program())
        except ShellFailed as error:
            check_text(str(error))
            continue
        assert len(line) <= MOST_READY
        assert line.startswith(b"READY")
        assert one.mode == "forced" or one.sha256 == program().sha256
        for word in (one.shell, one.sha256, *one.files):
            assert word.isascii()
            assert word.isprintable()


def clock(data: bytes) -> None:
    """A reading is a plain number, which the gatherer takes, and is off by no more than it says; or a short error."""
    try:
        plain, seconds, error = read_clock(data.decode("utf-8", "replace"))
    except ProtocolViolation as violation:
        check_text(str(violation))
        return
    assert plain.isascii()
    assert error in (0.0, 0.5)
    assert abs(seconds - float(plain)) == error
    assert 0 <= seconds < 10**11
    (sample,) = parse(GATHERERS["time"], {CLOCK: plain})
    assert sample.value == float(plain)


def others(data: bytes) -> None:
    """Whatever does not start the probe is told in one printable line, which is no longer for saying more."""
    line = targets.plain(data)
    assert line.isascii()
    assert line == line.strip()
    assert not line or line.isprintable()
    assert len(line) <= len(data)
    for text in (targets.explain(data), targets.explain(bytearray(data)), targets.without_proc(line)):
        check_text(text)


def check_text(text: str) -> None:
    """Hold a text for people to one line of bounded length."""
    assert text
    assert text.isprintable()
    assert len(text) <= LONGEST


LOAD, MEMORY = b"0.20 0.18 0.12 1/80 11206\x1e", b"MemTotal: 16384 kB\x1eHugePages_Total: 0\x1e"
BODY = b"1700000000.123456" + SEPARATOR + LOAD + SEPARATOR + MEMORY

ANSWERS = (
    BODY,
    BEGIN + BODY + END,
    b"motd\n" + BEGIN + BODY + END,
    BEGIN + b"noon" + SEPARATOR + SEPARATOR + END,
    f"{TOKEN} 6 ".encode() + BODY + END,
    BEGIN + BODY.replace(SEPARATOR, b"") + END,
    b"1700000000.5"
    + SEPARATOR * 3
    + b"/proc/loadavg:0.2 0.1 0.1 1/80 1\n/proc/meminfo:MemTotal: 1 kB\n/proc/meminfo:A: 0",
)

READY = (
    b"1 sh",
    b"1 bash " + b"0" * 64 + b" /proc/loadavg /proc/meminfo",
    f"motd\n{TOKEN} READY 1 bash\n".encode(),
    f"{TOKEN} UNFIT FreeBSD\n".encode(),
    b"2 bash",
    f"{TOKEN} UNFIT-ish 1 sh\n".encode(),
    b"9" * 3000 + b" sh",
    b"1 bash " + b"f" * 65,
    b"1 sh" + b"x" * 5000,
    b"\x1b[31m1\x1b[0m \xff",
)

CLOCKS = (b"1700000000.123456", b"1700000000,25", b"1700000000.%N", b"1700000000.", b"1700000000", b"-1", b"noon")

OTHERS = (
    b"",
    b"'exec' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n",
    b"exec: The term 'exec' is not recognized as the name of a cmdlet",
    b"\x1b[31m% Invalid input detected at '^' marker.\x1b[0m\r\nrouter>",
    b"\x1b]0;title\x07bad command name exec (line 1 column 1)",
    b"\x1b]8;;http://h\x1b\\This account is currently not available.",
    b"sftp connections only",
    b"rbash: exec: restricted",
    b"sh: 1: /bin/sh: No such file or directory",
    b"FreeBSD",
    b"\\" * 9000,
)

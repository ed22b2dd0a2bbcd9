"""What is said to probe.sh and what it answers: compose the program, ask, split the answer.

The program goes in by the standard input of `exec /bin/sh`, which every login shell understands. Its READY line and
every answer carry a random token, and an answer also carries the number of its question: what the machine says besides
(a motd, the noise of a .bashrc, a late answer) can never be taken for data.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files

from collector.errors import ProtocolViolation

COMMAND = "exec /bin/sh"
"""What the channel runs."""

CLOCK = "clock"
"""The file that is none: what every answer begins with, the machine's clock."""

SEPARATOR = b"\x1d"
NEWLINE = "\x1e"


def _program() -> str:
    """Return probe.sh without its comments: it goes over the wire at every login."""
    text = package_files("collector").joinpath("probe.sh").read_text(encoding="ascii")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


PROGRAM = _program()

# The environment of the target is not ours: TMOUT would end a read of bash, BASH_ENV would run a file.
# bash is looked for only where sh has no clock of its own. It gets the program as an argument: what dash has read ahead
# of its standard input would be lost to it.
LAUNCH = """\
unset BASH_ENV ENV TMOUT
LC_ALL=C token={token} PATH=${{PATH:+$PATH:}}/usr/bin:/bin
export LC_ALL token PATH
probe={program}
if [ -z "$EPOCHREALTIME" ] && command -v bash >/dev/null; then exec bash -c "$probe" collector-probe; fi
eval "$probe"
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the probe.

    `clock` is the machine's clock in seconds since the epoch, `clock_error` how far off its reading can be (0.5 where
    the machine's `date` knows whole seconds only), `texts` the text of each file; an unreadable file's is empty.
    """

    clock: float
    clock_error: float
    texts: dict[str, str]


def new_token() -> str:
    """Return a token that no machine has seen."""
    return secrets.token_hex(8)


def compose(token: str) -> bytes:
    """Return what is written to `exec /bin/sh`: it starts the probe, which says READY with this token."""
    quoted = "'" + PROGRAM.replace("'", "'\\''") + "'"
    return LAUNCH.format(token=token, program=quoted).encode()


def find_ready(said: bytes, token: str) -> str | None:
    """Return the kind of shell that the READY line names, or None while there is no such line."""
    match = re.search(rb"^%s READY (\w+)$" % token.encode(), said, re.MULTILINE)
    return match[1].decode() if match else None


def ask(number: int, wanted: Sequence[str] = ()) -> bytes:
    """Return the line that asks for files; without any, for those of the question before."""
    names = [file for file in wanted if file != CLOCK]
    return " ".join([str(number), *names]).encode() + b"\n"


def is_whole(said: bytes | bytearray, token: str, number: int) -> bool:
    """Tell whether what the machine said ends as the answer to this question must."""
    return said.endswith(SEPARATOR + f"{token} {number}\n".encode())


def split(said: bytes | bytearray, token: str, number: int, wanted: Sequence[str]) -> Answer:
    """Take apart a whole answer.

    Raises:
        ProtocolViolation: it has no beginning, another number of files than asked for, or a clock that is none.
    """
    _, begin, body = bytes(said).partition(f"{token} {number} ".encode())
    clock, *parts = body.split(SEPARATOR)
    names = [file for file in wanted if file != CLOCK]
    if not begin or len(parts) != len(names) + 1:
        raise ProtocolViolation(f"not an answer to the question: {bytes(said[:100])!r}")
    text, seconds, error = read_clock(clock.decode("ascii", "replace"))
    texts = {CLOCK: text}
    for name, part in zip(names, parts, strict=False):
        texts[name] = part.decode("utf-8", "replace").replace(NEWLINE, "\n")
    return Answer(seconds, error, texts)


def read_clock(text: str) -> tuple[str, float, float]:
    """Return a clock's reading as a plain number, in seconds, and how far off it can be.

    `1700000000.123456` is as good as exact. Where `date` knows no fractions it leaves `1700000000.` or
    `1700000000.%N`, and the middle of that second is half a second off at most.

    Raises:
        ProtocolViolation: it does not begin with seconds since the epoch.
    """
    match = re.match(r"(\d{1,11})(?:[.,](\d*))?", text, re.ASCII)
    if match is None:
        raise ProtocolViolation(f"not a clock: {text[:100]!r}")
    if match[2]:
        plain = f"{match[1]}.{match[2]}"
        return plain, float(plain), 0.0
    return match[1], int(match[1]) + 0.5, 0.5

"""What is said to probe.sh and what it answers: compose the program, ask, split the answer.

The program goes in by the standard input of `exec /bin/sh`, which every login shell understands. Where the key's line
in authorized_keys forces the program (`collector authorize`), that runs instead, and of all that it is sent it obeys
only the greeting and the questions. READY and every answer carry a random token, and an answer also carries the number
of its question: what the machine says besides (a motd, the noise of a .bashrc, a late answer) is never taken for data.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files as package_files
from typing import NamedTuple

from collector import targets
from collector.errors import ProtocolViolation, ShellFailed

COMMAND = "exec /bin/sh"
"""What the channel runs."""

CLOCK = "clock"
"""The file that is none: what every answer begins with, the machine's clock."""

PROTOCOL = "1"
"""What READY must say: the version of what is asked and answered."""

SENT, FORCED = "sent", "forced"
"""How the probe came to run: sent by us at the login, or forced by the key's line in authorized_keys."""

MOST_READY = 16_384
"""Bytes of the line with which a probe is ready: a forced one names its files, which stand in a line no longer."""

SEPARATOR = b"\x1d"
NEWLINE = "\x1e"
MATCH = "\x1c"
STATUS = "\x1c"

OCTAL = re.compile(r"[^ #$%&()*,./0-9:;<>?@A-Z\[\]^_`a-z{|}~-]", re.ASCII)
"""What is written in octal of a command that the probe is to run: quotes, backslashes, !, = and +."""


PART = re.compile(r"^# part for (?P<files>\S+)\n(?P<text>.*?)^# end of part\n", re.MULTILINE | re.DOTALL)
"""A part of probe.sh that is there for files whose names have such a thing in them."""


class Program(NamedTuple):
    """A probe: its text, which is one line, and the digest of that."""

    text: str
    sha256: str


@lru_cache
def program(files: tuple[str, ...] = ()) -> Program:
    """Return the probe that can read these files, with nothing in it that only others want.

    It goes over the wire at every login, and into a line of authorized_keys, which may not be long.
    """
    text = package_files("collector").joinpath("probe.sh").read_text(encoding="ascii")
    text = PART.sub(lambda part: part["text"] if any(re.search(part["files"], file) for file in files) else "", text)
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    # A command ends with its line, a line that opens something does not.
    ends = [" " if re.search(r"(\b(then|do|else|in)|[{(&]|;;)$", line) else ";" for line in lines]
    made = "".join(map("".join, zip(lines, ends, strict=True))).rstrip(";")
    return Program(made, hashlib.sha256(made.encode()).hexdigest())


RUN = "set -f;IFS=;eval $1"
"""Runs the program that is the first argument: without splitting fields, or eval would lose blanks of it."""

READY = re.compile(rb"^(?P<token>\S+) (?P<line>(READY|UNFIT)( .*)?)\n", re.MULTILINE)
"""What a probe says of itself. A pattern with the token in it would be compiled, and cached, for each login."""


def forced_command(files: Iterable[str]) -> str:
    """Return the command for authorized_keys, which lets the key read these files and do nothing else."""
    names = [file for file in files if file != CLOCK]
    text, sha256 = program(tuple(names))
    return f"{COMMAND} -c '{RUN}' collector-probe '{text}' {FORCED} {sha256} '{' '.join(names)}'"


class Ready(NamedTuple):
    """What a probe says of itself when it is ready: the kind of `shell` it runs in, its `mode` and its digest.

    A forced probe's digest is a constant in its line of authorized_keys: what that line says of itself, and no proof.
    It reads no other files than `files`.
    """

    shell: str
    mode: str
    sha256: str
    files: tuple[str, ...]


class Answer(NamedTuple):
    """One answer of the probe.

    `clock` is the machine's clock in seconds since the epoch, `clock_error` how far off its reading can be (0.5 where
    the machine's `date` knows whole seconds only), `texts` the text of each file; an unreadable file's is empty. `took`
    is how long the machine worked on it after it read the clock, in seconds; 0 where it cannot tell.
    """

    clock: float
    clock_error: float
    texts: dict[str, str]
    took: float = 0.0


def new_token() -> str:
    """Return a token that no machine has seen."""
    return secrets.token_hex(8)


def compose(token: str, sent: Program) -> bytes:
    """Return what is written to `exec /bin/sh`: it starts a probe, which says READY with this token.

    To a shell the first line, the greeting, is nothing. To a forced probe the second one is.
    """
    return f": collector-probe {token}\nset -- '{sent.text}' {SENT} {token};{RUN}\n".encode()


def find_ready(said: bytes | bytearray, token: str) -> bytes | None:
    """Return the line with which the probe says whether it can work, without the token; None while there is none."""
    wanted = token.encode()
    return next((match["line"] for match in READY.finditer(said) if match["token"] == wanted), None)


def read_ready(line: bytes, sent: Program) -> Ready:
    """Return what a probe says of itself; it is the one that was `sent`, or one that was forced.

    Raises:
        ShellFailed: the machine has no /proc, or the probe speaks another version of the protocol.
    """
    if len(line) > MOST_READY:
        raise ShellFailed(f"the probe is ready with a line of {len(line)} bytes")
    word, *rest = targets.plain(line).split()
    if word == "UNFIT":
        raise ShellFailed(targets.without_proc(" ".join(rest)))
    protocol, shell, sha256, *files = rest + [""] * (3 - len(rest))
    if not re.fullmatch("([0-9a-f]{64})?", sha256):
        raise ShellFailed(f"the probe names a digest that is none: {sha256[:100]!r}")
    if protocol != PROTOCOL:
        raise ShellFailed(
            f"the probe in authorized_keys speaks version {protocol[:40]} of its protocol, and we speak {PROTOCOL}; "
            "put the line there that `collector authorize` prints"
        )
    return Ready(shell, FORCED if sha256 else SENT, sha256 or sent.sha256, tuple(files))


def ask(number: int, wanted: Sequence[str] = ()) -> bytes:
    """Return the line that asks for files; without any, for those of the question before."""
    names = [file for file in wanted if file != CLOCK]
    return " ".join([str(number), *names]).encode() + b"\n"


def is_whole(said: bytes | bytearray, token: str, number: int) -> bool:
    """Tell whether what the machine said ends as the answer to this question must."""
    return said.endswith(SEPARATOR + f"{token} {number}\n".encode())


def run(command: str, limit: int = 0) -> str:
    """Return the name of the file that is what a command writes: a shell's command, of one line or more.

    With a `limit` of seconds it may write 256 kB; its text ends with how it ended then, which `ran` takes off. Without,
    it must be one that ends soon by itself.
    """
    octal = "".join([f"={byte:03o}" if OCTAL.match(chr(byte)) else chr(byte) for byte in command.strip().encode()])
    return f"run:{limit}:{octal.replace(' ', '+')}"


def shown(file: str) -> str:
    """Return what a person is told of a file, which may be the output of a long command."""
    if not file.startswith("run:"):
        return file
    _, _, octal = file.split(":", 2)
    command = re.sub("=([0-7]{3})", lambda match: chr(int(match[1], 8)), octal.replace("+", " "))
    line = command.partition("\n")[0]
    return f"the output of {line if len(line) < MOST_SHOWN else line[: MOST_SHOWN - 1] + '…'!r}"


MOST_SHOWN = 60
"""Characters of a command's first line that people are shown."""


def ran(text: str) -> str:
    """Return what a command with a limit wrote, if it was well.

    Raises:
        ValueError: it failed, was killed when its time was over, or wrote too much.
    """
    written, mark, status = text.rpartition(STATUS)
    if not mark:
        raise ValueError("the command writes more than 256 kB")
    if (status := status.strip()) != "0":
        raise ValueError(f"the command {STATUSES.get(status, f'ends with status {status[:3]}')}")
    return written


STATUSES = {
    "126": "may not be run (status 126)",
    "127": "is not there (status 127)",
    **dict.fromkeys(("137", "265", "393"), "was killed, as is one whose time is over"),
}
"""What a shell says by the status of a command; ksh and yash have their own for a KILL."""


def split(said: bytes | bytearray, token: str, number: int, wanted: Sequence[str]) -> Answer:
    """Take apart a whole answer.

    Raises:
        ProtocolViolation: it has no beginning, another number of files than asked for, or a clock that is none.
    """
    _, begin, body = bytes(said).partition(f"{token} {number} ".encode())
    clock, *parts = body.split(SEPARATOR)
    names = [file for file in wanted if file != CLOCK]
    is_by_grep = len(parts) == len(names) + 2
    if not begin or len(parts) != len(names) + 1 + is_by_grep:
        raise ProtocolViolation(f"not an answer to the question: {bytes(said[:100])!r}")
    first, _, last = clock.decode("ascii", "replace").partition("/")
    text, seconds, error = read_clock(first)
    took = max(0.0, read_clock(last)[1] - seconds) if last else 0.0
    texts = {CLOCK: text}
    for name, part in zip(names, parts, strict=False):
        texts[name] = part.decode("utf-8", "replace").replace(NEWLINE, "\n")
    if is_by_grep:
        texts |= _by_file(parts[-2].decode("utf-8", "replace"), tuple(names))
    return Answer(seconds, error, texts, took)


def _by_file(lines: str, names: tuple[str, ...]) -> dict[str, str]:
    """Return the text of each name, out of a line `FILE:LINE` for each line of each file, file by file."""
    begins = _begins(names)
    texts: dict[str, list[str]] = {}
    before = ""
    found: list[list[str]] = []
    for line in lines.split("\n"):
        if not before or not line.startswith(before):
            match = begins.match(line)
            if match is None:
                continue
            before, found = match[0], []
            for name in _named(before[:-1], names):
                found.append(texts.setdefault(name, []))
                if is_pattern(name):
                    found[-1] += MATCH, before[:-1], "\n"
        for one in found:
            # Where a folder is has no end of a line.
            one.extend((line[len(before) :], "" if before.endswith("/.:") else "\n"))
    return {name: "".join(found) for name, found in texts.items()}


@lru_cache
def _begins(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return what the line of a file begins with that has one of these names."""
    return re.compile("|".join([f"{_begin(name)}:" for name in names if name.startswith("/")]))


@lru_cache(maxsize=1024)
def _begin(name: str) -> str:
    """Return the regular expression of the files that a name stands for."""
    return "".join([GLOB.get(part, part if part.startswith("[") else re.escape(part)) for part in PARTS.split(name)])


PARTS = re.compile(r"(\*|\?|\[[^]]*\])")
GLOB = {"*": "[^/]*?", "?": "[^/]"}


@lru_cache(maxsize=8192)
def _named(file: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names that a file has: patterns may have it in common."""
    return tuple([name for name in names if name.startswith("/") and re.fullmatch(_begin(name), file)])


def is_pattern(file: str) -> bool:
    """Tell whether a name stands for all files that match."""
    return "*" in file and file.startswith("/")


def matches(text: str) -> dict[str, str]:
    """Return the text of each file that matches a name with a `*`, by its name."""
    return {name: content for match in text.split(MATCH)[1:] for name, _, content in [match.partition("\n")]}


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

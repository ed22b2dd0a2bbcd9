"""The probe, run by real shells: what it is told, what it answers, and what is made of that."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import probe
from collector.errors import ProtocolViolation, ShellFailed

WHOLE = probe.program(("filesystems", "run:", "*", "/proc/sys/"))
NUMBERS = ("/proc/sys/kernel/threads-max", "/proc/sys/kernel/ostype", "/proc/sys/fs/file-max")
WANTED = (probe.CLOCK, "/proc/loadavg", "/proc/meminfo", *NUMBERS, "/proc/not/there", "/proc/sys/not/there")

SHELLS = {
    "bash": (["/bin/bash"], {}, "bash"),
    "sh that finds bash": (["/bin/sh"], {}, "bash"),
    "dash, without bash on the machine": (["/bin/dash"], {"PATH": "/nowhere"}, "sh"),
    "busybox": (["busybox", "ash"], {"PATH": "/nowhere"}, "sh"),
    "mksh": (["/bin/mksh"], {"PATH": "/nowhere"}, "sh"),
    "ksh93": (["/usr/bin/ksh93"], {"PATH": "/nowhere"}, "sh"),
    "yash": (["/usr/bin/yash"], {"PATH": "/nowhere"}, "sh"),
    "zsh, called sh": (["zsh", "--emulate", "sh"], {"PATH": "/nowhere"}, "sh"),
    "a hostile environment": (["/bin/sh"], {"TMOUT": "1", "LC_ALL": "de_DE.UTF-8", "BASH_ENV": "/etc/passwd"}, "bash"),
}


HARSH = {
    "read-only everything": "mount -o remount,bind,ro /",
    "no /dev/null": "mount -t tmpfs tmpfs /dev",
    "an unwritable /dev/null": "mount -t tmpfs tmpfs /dev; : >/dev/null; chmod 400 /dev/null",
    "no file may be written": "ulimit -f 0",
    "no file may be opened but a few": "ulimit -n 16",
}
"""What a machine may be like: name → what makes it so, as root, where only the shell sees it."""


class Shell:
    """A shell on two pipes, as sshd runs it."""

    def __init__(self, process: "subprocess.Popen[bytes]", token: str) -> None:
        self._process = process
        self.pid = process.pid
        self.token = token

    def say(self, data: bytes) -> None:
        """Write to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def hear(self) -> bytes:
        """Read what it has written."""
        assert self._process.stdout is not None
        data = self._process.stdout.read(65536)
        assert data
        return data

    def ask(self, number: int, wanted: tuple[str, ...], names: bool = True) -> probe.Answer:
        """Ask, and read the answer."""
        self.say(probe.ask(number, wanted if names else ()))
        said = b""
        while not probe.is_whole(said, self.token, number):
            said += self.hear()
        return probe.split(said, self.token, number, wanted)


@contextmanager
def shell(
    argv: list[str], environment: dict[str, str], without_bash: bool = False, surroundings: tuple[str, ...] = ()
) -> Iterator[tuple[Shell, str]]:
    """Start the probe in a shell, in its surroundings; also gives the kind of shell that its READY line names."""
    token = probe.new_token()
    program = probe.compose(token, WHOLE)
    argv = [str(shutil.which(argv[0])), *argv[1:]]
    if argv[0] != "/bin/sh":
        # What begins once more is what would be /bin/sh on a machine with this shell.
        program = program.replace(b"nice $sh", b"nice " + " ".join(argv).encode())
    if without_bash:
        # The probe adds /bin to the PATH, for date; bash is there too on this machine.
        program = program.replace(b"command -v bash", b"false")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*surroundings, *argv], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=os.environ | environment
    ) as process:
        one = Shell(process, token)
        one.say(program)
        said = b""
        while (line := probe.find_ready(said, token)) is None:
            said += one.hear()
        yield one, probe.read_ready(line, WHOLE).shell
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


@pytest.mark.needs("bash", "dash", "busybox")
@pytest.mark.parametrize("name", SHELLS)
def test_answers(name: str) -> None:
    """In every shell an answer has the clock and each file as the kernel gives it, whether or not it is named again."""
    argv, environment, kind = SHELLS[name]

    with shell(argv, environment, without_bash=kind == "sh") as (one, found):
        first, second = one.ask(1, WANTED), one.ask(2, WANTED, names=False)

    assert found == kind
    assert second.clock >= first.clock + first.took > 1.7e9
    for answer in (first, second):
        assert list(answer.texts) == list(WANTED)
        assert len(answer.texts["/proc/loadavg"].split()) == 5
        assert answer.texts["/proc/meminfo"].startswith("MemTotal:")
        assert answer.texts["/proc/meminfo"].count("\n") == Path("/proc/meminfo").read_text().count("\n")
        # The kernel gives it to the first read of a byte or more, and nothing to the second.
        assert [answer.texts[file] for file in NUMBERS] == [Path(file).read_text() for file in NUMBERS]
        assert answer.texts["/proc/not/there"] == answer.texts["/proc/sys/not/there"] == ""


HUNG = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)

def mount(device, place, kind, options):
    os.makedirs(place)
    if libc.mount(device, place.encode(), kind, 0, options):
        raise OSError(ctypes.get_errno(), place)

way, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
for number in range(count):
    fuse = os.open("/dev/fuse", os.O_RDWR)
    os.set_inheritable(fuse, True)
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % fuse
    mount(b"gone:/export", folder + f"/hung{number}", b"fuse.hung", options)
    if way == "taken" and not os.fork():
        while True:
            request = os.read(fuse, 1 << 20)
            _, kind, unique = struct.unpack("<IIQ", request[:16])
            if kind == 26:
                answer = struct.pack("<IIIIHHIIHH", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0) + bytes(28)
                os.write(fuse, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
    if way == "taken":
        os.close(fuse)
mount(b"behind", folder + "/a place behind", b"tmpfs", b"size=1m")
os.execvp(sys.argv[4], sys.argv[4:])
"""
"""File systems whose server never answers, and one behind them, in namespaces of their own; then runs a shell.

Who waits for an answer can be killed while nobody has taken the request (as with NFS), and cannot from then on.
"""


def hung(way: str, count: int, folder: Path) -> tuple[str, ...]:
    """What runs a shell where file systems hang. All that is left in there ends with it."""
    own = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
    return (*own, sys.executable, "-c", HUNG, way, str(count), str(folder))


@pytest.mark.needs("root", "unshare", "bash", "dash", "busybox", "fuse")
@pytest.mark.parametrize("name", SHELLS)
def test_a_hung_file_system(name: str, tmp_path: Path) -> None:
    """One that keeps stat waiting is found once, is told and not asked any more; the others are there all the time."""
    argv, environment, kind = SHELLS[name]
    asked, stat = tmp_path / "asked", tmp_path / "bin/stat"
    stat.parent.mkdir()
    stat.write_text(f'#!/bin/sh\necho "$*" >>{asked}\nexec {shutil.which("stat")} "$@"\n')
    stat.chmod(0o755)
    environment = environment | {"PATH": f"{stat.parent}:{os.environ['PATH']}"}

    with shell(argv, environment, kind == "sh", hung("pending", 1, tmp_path)) as (one, _):
        sizes = [one.ask(number, (probe.CLOCK, "filesystems")).texts["filesystems"] for number in (1, 2, 3)]

    for text in sizes:
        assert re.search("^stuck .*/hung0$", text, re.MULTILINE)
        assert re.search("^[0-9]+ [0-9]+ [0-9]+ 4096 [0-9]+ [0-9]+ /$", text, re.MULTILINE)
        # Only bash decodes the blank.
        if kind == "bash":
            assert re.search("^256 256 256 4096 [0-9]+ [0-9]+ .*/a place behind$", text, re.MULTILINE)
    # With all others, and by itself.
    assert len([line for line in asked.read_text().splitlines() if "/hung0" in line]) == 2


@pytest.mark.needs("root", "unshare", "bash", "fuse")
def test_file_systems_that_hang_for_good(tmp_path: Path) -> None:
    """A stat that cannot be killed is not waited for in bash, and of many that hang two are found at a time."""
    argv, environment, _ = SHELLS["bash"]

    with shell(argv, environment, surroundings=hung("taken", 3, tmp_path)) as (one, _):
        answers = [one.ask(number, (probe.CLOCK, "filesystems", "/proc/loadavg")) for number in (1, 2, 3)]

    assert [answer.texts["filesystems"].count("stuck ") for answer in answers] == [2, 3, 3]
    for answer in answers:
        assert len(answer.texts["/proc/loadavg"].split()) == 5
    assert re.search("^256 256 256 .*/a place behind$", answers[2].texts["filesystems"], re.MULTILINE)


@pytest.mark.needs("bash", "dash", "busybox")
@pytest.mark.parametrize("name", SHELLS)
def test_names_with_a_star(name: str, tmp_path: Path) -> None:
    """In every shell a name with a star stands for all files that match and are not empty, whatever they are called."""
    texts = {"a1": "one\n", "a 2": "two\nlines\n", "a*": "", "a;$(id)": "without an end", "b": "no\n"}
    for file, content in texts.items():
        tmp_path.joinpath(file).write_text(content)
    tmp_path.joinpath("a-folder").mkdir()
    tmp_path.joinpath("a-link").symlink_to("a-folder")
    argv, environment, kind = SHELLS[name]
    star, nothing, places = f"{tmp_path}/a*", f"{tmp_path}/*/*/c", f"{tmp_path}/a-*/."

    with shell(argv, environment, without_bash=kind == "sh") as (one, _):
        answers = [one.ask(1, (probe.CLOCK, star, nothing, places, "/proc/loadavg")), one.ask(2, (probe.CLOCK, star))]

    for answer in answers:
        found = {Path(path).name: content for path, content in probe.matches(answer.texts[star]).items()}
        assert {
            file: content.rstrip("\n") for file, content in found.items() if file not in ("a-folder", "a-link")
        } == {file: content.rstrip("\n") for file, content in texts.items() if file != "b" and content}
    assert answers[0].texts[nothing] == ""
    assert probe.matches(answers[0].texts[places]) == {
        f"{tmp_path}/a-folder/.": f"{tmp_path}/a-folder",
        f"{tmp_path}/a-link/.": f"{tmp_path}/a-folder",
    }
    assert len(answers[0].texts["/proc/loadavg"].split()) == 5


@pytest.mark.needs("root", "unshare", "setpriv", "bash", "dash", "busybox")
@pytest.mark.parametrize("without_bash", [False, True], ids=["bash", "sh"])
@pytest.mark.parametrize("name", HARSH)
def test_answers_in_harsh_surroundings(name: str, without_bash: bool) -> None:
    """A user with no right but to read gets the same answers where hardly anything can be written or opened."""
    user = "exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i $@"
    surroundings = ("unshare", "--mount", "sh", "-ec", f"{HARSH[name]}; {user}", "sh")

    with shell(["/bin/sh"], {}, without_bash, surroundings) as (one, _):
        answer = one.ask(1, WANTED)

    assert answer.clock > 1.7e9
    assert len(answer.texts["/proc/loadavg"].split()) == 5
    assert answer.texts["/proc/meminfo"].startswith("MemTotal:")


def test_noise_before_an_answer_is_dropped() -> None:
    """What a machine says besides the answer is not taken for data."""
    said = b"Message from root\n7 1\n" + b"tok 7 12.5\x1d0.1 0.2 0.3 1/2 3\x1e\x1dtok 7\n"

    answer = probe.split(said, "tok", 7, ("clock", "/proc/loadavg"))

    assert answer.clock == 12.5
    assert answer.texts == {"clock": "12.5", "/proc/loadavg": "0.1 0.2 0.3 1/2 3\n"}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"tok 6 12.5\x1dtext\x1dtok 6\n",
        b"other 7 12.5\x1dtext\x1dother 7\n",
        b"tok 7 12.5\x1dtok 7\n",
        b"tok 7 12.5\x1da\x1db\x1dc\x1dtok 7\n",
        b"tok 7 noon\x1dtext\x1dtok 7\n",
        b"tok 7 \x1dtext\x1dtok 7\n",
    ],
)
def test_what_is_no_answer(said: bytes) -> None:
    """An answer to another question, with another token, of another number of files or without a clock is refused."""
    with pytest.raises(ProtocolViolation):
        probe.split(said, "tok", 7, ("clock", "/proc/loadavg"))


@given(st.binary(max_size=300), st.integers(0, 20))
def test_split_is_total(body: bytes, number: int) -> None:
    """Whatever comes between the marks becomes an answer or a ProtocolViolation."""
    said = b"tok %d " % number + body + b"\x1dtok %d\n" % number
    try:
        answer = probe.split(said, "tok", number, ("clock", "a"))
    except ProtocolViolation:
        return

    assert set(answer.texts) == {"clock", "a"}
    "".join(answer.texts.values()).encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000.25", ("1700000000.25", 1700000000.25, 0.0)),
        ("1700000000,25", ("1700000000.25", 1700000000.25, 0.0)),
        ("1700000000.%N", ("1700000000", 1700000000.5, 0.5)),
        ("1700000000.", ("1700000000", 1700000000.5, 0.5)),
        ("1700000000", ("1700000000", 1700000000.5, 0.5)),
    ],
)
def test_clocks(text: str, expected: tuple[str, float, float]) -> None:
    """A clock of whole seconds is read as the middle of its second, half a second off at most."""
    assert probe.read_clock(text) == expected


@pytest.mark.needs("bash")
def test_a_text_that_is_too_long(tmp_path: Path) -> None:
    """Of 768 kB and more there is nothing, and the answer is whole."""
    for size in (786_431, 786_432, 1_000_000):
        (tmp_path / f"{size}").write_text("x" * size)
    files = [f"{tmp_path}/{size}" for size in (786_431, 786_432, 1_000_000)]

    with shell(*SHELLS["bash"][:2]) as (one, _):
        answer = one.ask(1, (probe.CLOCK, *files, "/proc/loadavg"))

    assert [len(answer.texts[file]) for file in files] == [786_431, 0, 0]
    assert len(answer.texts["/proc/loadavg"].split()) == 5


@pytest.mark.parametrize(
    ("clock", "took"),
    [("12.5", 0.0), ("12.5/13.75", 1.25), ("12.5/", 0.0), ("12.5/12.25", 0.0)],
    ids=["one", "both", "none at the end", "stepped back"],
)
def test_how_long_an_answer_took(clock: str, took: float) -> None:
    """Where the clock is there from before and after, so is the time between them; it is never below 0."""
    answer = probe.split(f"tok 7 {clock}\x1da\x1dtok 7\n".encode(), "tok", 7, ("clock", "/a"))

    assert (answer.clock, answer.texts["clock"], answer.took) == (12.5, "12.5", took)


def test_ready_is_a_line_of_its_own() -> None:
    """A shell that echoes the program, or traces it, is not ready."""
    token = "0123456789abcdef"

    assert probe.find_ready(probe.compose(token, WHOLE), token) is None
    assert probe.find_ready(f"+ printf {token} READY 1 bash\n".encode(), token) is None
    assert probe.find_ready(f"motd\n{token} READY 1 ba".encode(), token) is None
    assert probe.find_ready(f"{token} UNFIT-ish 1 sh\n".encode(), token) is None
    assert probe.find_ready(f"motd\n{token} READY 1 bash\n".encode(), token) == b"READY 1 bash"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"READY 1 sh", probe.Ready("sh", "sent", WHOLE.sha256, ())),
        (b"READY 1 bash " + b"0" * 64, probe.Ready("bash", "forced", "0" * 64, ())),
        (b"READY 1 bash " + b"0" * 64 + b" /a /b", probe.Ready("bash", "forced", "0" * 64, ("/a", "/b"))),
    ],
)
def test_what_a_probe_says_of_itself(line: bytes, expected: probe.Ready) -> None:
    """A probe that names a digest is one that authorized_keys forces; the files after it are what it reads."""
    assert probe.read_ready(line, WHOLE) == expected


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"READY 2 bash", "speaks version 2 of its protocol, and we speak 1; put the line there that `collector auth"),
        (b"READY " + b"9" * 3000, f"speaks version {'9' * 40} of its protocol"),
        (b"READY", "speaks version  of its protocol"),
        (b"READY 1 bash " + b"f" * 65 + b" /a", f"the probe names a digest that is none: '{'f' * 65}'"),
        (b"READY " + b"1" * 200_000, "the probe is ready with a line of 200006 bytes"),
        (b"UNFIT FreeBSD", "this is FreeBSD, which has no /proc as Linux has it"),
        (b"UNFIT Linux", "there is no /proc: mount it"),
        (b"UNFIT", "there is no /proc: mount it"),
    ],
)
def test_a_probe_that_cannot_work(line: bytes, text: str) -> None:
    """A machine without /proc, and a probe of another protocol, are `shell` with a text that says so."""
    with pytest.raises(ShellFailed) as caught:
        probe.read_ready(line, WHOLE)

    assert text in str(caught.value)


def test_the_program_writes_no_file() -> None:
    """The probe's only redirections are from files, to its standard error, and of that to nowhere."""
    program = probe.compose("t", WHOLE).decode()

    assert [word for word in program.split() if ">" in word] == [
        *[">/dev/null"] * 2,
        *[">&2;", "2>/dev/null;if"],
    ]


def test_the_program_has_only_what_is_wanted() -> None:
    """Parts for what nobody reads are left out: the default's is shorter by a third."""
    plain = probe.program(("/proc/meminfo", "/proc/loadavg"))

    assert plain == probe.program()
    assert "stat -f" not in plain.text
    assert "stat -f" in probe.program(("/proc/meminfo", "filesystems")).text
    assert len(plain.text) < 0.7 * len(WHOLE.text)


def test_the_program_is_one_word_to_every_shell() -> None:
    """Between single quotes, inside the double quotes of authorized_keys, nothing is special to any shell or server."""
    assert re.findall(r"""['"!\n\r]|[^ -~]""", WHOLE.text) == []
    # Eight of them can be halved twice.
    assert re.findall(r"\\+", WHOLE.text) == ["\\" * 8] * 7

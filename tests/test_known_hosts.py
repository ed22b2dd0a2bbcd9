"""The format of known_hosts: every form that ssh writes, and ssh-keygen as the oracle."""

import base64
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig.keys import make_key

from collector.ssh.known_hosts import AUTHORITY, QUICK, REVOKED, Entry, Hashed, Index, fingerprint, lines, name_of

FILE = Path("known_hosts")
PUBLIC = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()
BLOB = base64.b64decode(PUBLIC.split()[1])


def index(*lines: str) -> Index:
    """The index of a file of these lines."""
    return Index(FILE, "".join(f"{line}\n" for line in lines).encode())


def found(one: Index, name: str) -> list[int]:
    """The lines of a name, by all the ways to find them."""
    quickly = sorted(entry.line for entry in one.of_key(name, BLOB))
    slowly = sorted(entry.line for entry in one.of(name) if entry.blob == BLOB)
    assert quickly == slowly == sorted(entry.line for entry in one.of_key(name, BLOB))
    return slowly


@pytest.mark.parametrize(
    ("names", "host", "port"),
    [
        ("web1", "web1", 22),
        ("web1,192.0.2.1", "192.0.2.1", 22),
        ("WEB1.Example.org", "web1.example.ORG", 22),
        ("[web1]:2222", "web1", 2222),
        ("2001:db8::1", "2001:DB8::1", 22),
        ("*.example.org", "web1.example.org", 22),
        ("web?", "web1", 22),
        ("*,!db*", "web1", 22),
        ("web1,!web2", "web1", 22),
        ("[*]:2222", "web1", 2222),
        ("*b*1", "web1", 22),
        ("web1*", "web1", 22),
        ("w**1", "web1", 22),
    ],
)
def test_names(names: str, host: str, port: int) -> None:
    """A host is found by its name, one of several names, any case, its port, a wildcard."""
    assert [1] == found(index(f"{names} {PUBLIC} comment with = and #"), name_of(host, port))


@pytest.mark.parametrize(
    ("names", "host", "port"),
    [
        ("web1", "web2", 22),
        ("web1", "web1", 2222),
        ("[web1]:2222", "web1", 22),
        ("*,!web*", "web1", 22),
        ("!db1", "web1", 22),
        ("web?", "web10", 22),
        ("web1.example.org", "web1xexample.org", 22),
        ("*1*1", "web1", 22),
    ],
)
def test_other_names(names: str, host: str, port: int) -> None:
    """A host with another name or port is not found."""
    assert [] == found(index(f"{names} {PUBLIC}"), name_of(host, port))


def test_markers_and_kinds() -> None:
    """A host may have several keys, and each line says what its key is there for."""
    rsa = "ssh-rsa " + base64.b64encode(b"\0\0\0\x07ssh-rsa\0\0\0\1\3\0\0\0\1\5").decode()
    one = index(
        f"web1 {PUBLIC}", f"web1 {rsa}", "# a comment", "", f"@revoked\tweb1  {PUBLIC}", f"@cert-authority * {rsa}"
    )
    said = [(entry.line, entry.marker, entry.kind) for entry in one.of("web1")]

    assert [(1, "", "ssh-ed25519"), (2, "", "ssh-rsa"), (5, REVOKED, "ssh-ed25519"), (6, AUTHORITY, "ssh-rsa")] == said
    assert [] == one.problems
    assert 4 == len(one)


BAD = [
    ("web1", "fewer than three fields"),
    ("web1 ssh-ed25519", "fewer than three fields"),
    ("web1 ssh-ed25519 ====", "not base64"),
    ("web1 ssh-ed25519 ä", "not base64"),
    (f"web1 ssh-rsa {PUBLIC.split()[1]}", "not of type 'ssh-rsa'"),
    (f"web1 {PUBLIC[:-8]}", "cut off"),
    ("web1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "not of type"),
    (f"@new web1 {PUBLIC}", "unknown marker"),
    (f"|1|x web1 {PUBLIC}", "hashed"),
    (f"|2|{'A' * 27}=|{'A' * 27}= {PUBLIC}", "unknown way"),
    (f"|1|!|! {PUBLIC}", "not base64"),
    (f"|1|AAAA|AAAA {PUBLIC}", "wrong length"),
    ("web1 1024 35 1234567890", "not base64"),
    ("\0\1\2 \3 \4", "not base64"),
]


@pytest.mark.parametrize(("line", "expected"), BAD)
def test_a_bad_line_costs_only_itself(line: str, expected: str) -> None:
    """Every line that cannot be read is reported by its number, and the others hold."""
    one = index(f"web1 {PUBLIC}", line, f"web2 {PUBLIC}")

    assert ([1], [3]) == (found(one, "web1"), found(one, "web2"))
    (problem,) = one.problems
    assert problem.startswith("known_hosts:2: ")
    assert expected in problem


@pytest.mark.limit(20)
def test_a_key_of_many_fields_takes_no_longer_for_each() -> None:
    """A line of megabytes with a key of nothing but empty fields, which would take minutes, is a bad line at once."""
    key = base64.b64encode(bytes(8_000_000)).decode()

    assert ["known_hosts:1: a key that is not of type 'ssh-rsa'"] == index(f"web1 ssh-rsa {key}").problems


def test_a_cut_file_is_told_from_one_without_a_last_newline() -> None:
    """Only a last line that has no end and cannot be read makes a file half written."""
    texts = [f"web1 {PUBLIC}\nweb2 {PUBLIC}{end}" for end in ("\n", "", "\nweb3 ", "\nweb3 ssh-ed25519 AAAA", "\nx\n")]

    assert [False, False, True, True, False] == [Index(FILE, text.encode()).is_cut for text in texts]


def test_many_stars_take_no_longer() -> None:
    """A pattern of many stars and a long name that does not fit it are compared at once."""
    assert [] == found(index(f"{'*a' * 60}*b {PUBLIC}"), "a" * 250)


@given(st.binary(max_size=300))
def test_any_bytes_make_an_index(text: bytes) -> None:
    """Whatever a file holds, each line is a key, a problem, empty or a comment."""
    one = Index(FILE, text)

    assert len(one) + len(one.problems) <= 300
    one.of("web1")


NAMES = ("web1", "web10", "web1.example.org", "db", "192.0.2.1", "[web1]:2222", "[192.0.2.1]:2222")
PATTERNS = (*NAMES, "*", "web*", "web?", "*.example.org", "[*]:2222", "!web1", "!*.org", "WEB1", "w*1*", "?*?")


@pytest.mark.needs("ssh-keygen")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=4).map(",".join), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from(NAMES),
)
def test_agrees_with_ssh_keygen(names: list[str], hashed: bool, wanted: str) -> None:
    """For any names, plain, hashed or with wildcards, the lines found are those that ssh-keygen -F finds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "known_hosts"
        path.write_text("".join(f"{name} {PUBLIC}\n" for name in names))
        if hashed:
            subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
        argv = ["ssh-keygen", "-F", wanted, "-f", str(path)]
        said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        theirs = [int(number) for number in re.findall(r"^# Host .* found: line (\d+)", said, re.MULTILINE)]

        assert theirs == found(Index(path, path.read_bytes()), wanted)


@pytest.mark.needs("ssh-keygen")
def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    """A fingerprint reads as ssh-keygen -l prints it, so that people can compare."""
    key = make_key(tmp_path / "key")
    printed = subprocess.run(["ssh-keygen", "-l", "-f", key.path], check=True, capture_output=True, text=True).stdout

    assert printed.split()[1] == fingerprint(base64.b64decode(key.public.split()[1]))


def test_what_is_written_is_read() -> None:
    """The lines that `lines` makes are good ones."""
    one = Index(FILE, lines(["web1", "[web1]:2222"], "ssh-ed25519", BLOB).encode())

    assert ([], [1], [2]) == (one.problems, found(one, "web1"), found(one, "[web1]:2222"))


def test_a_name_is_found_without_trying_all() -> None:
    """Among many hashed lines a host's key is found by the key; what is not found so is not quick, and then is."""
    many = index(*(f"|1|{'A' * 27}=|{'A' * 27}= {PUBLIC}" for _ in range(QUICK + 1)))
    entry = many.of_key("web1", b"another key")

    assert [] == entry
    assert not many.is_quick("web1")
    assert many.is_quick_with("web1", b"another key")
    assert not many.is_quick_with("web1", BLOB)
    assert [] == many.of("web1")
    assert many.is_quick("web1")
    assert many.is_quick_with("web1", BLOB)


def test_an_entry_names_its_place() -> None:
    """A line reads as a key's type, its fingerprint and where it stands."""
    entry = Entry(Hashed(b"", b""), "", "ssh-ed25519", BLOB, FILE, 7)

    assert f"ssh-ed25519 {fingerprint(BLOB)} (known_hosts:7)" == str(entry)

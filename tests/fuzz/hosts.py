"""known_hosts: any file is an index."""

import base64
from pathlib import Path

from collector.ssh.known_hosts import MARKERS, Index, Plain, lines, name_of, parse

FILE = Path("known_hosts")
NAMES = ("web1.example.org", name_of("web1", 2222), "192.0.2.1", "2001:db8::1", "", "a" * 255)

LONGEST = 500
"""Characters of what is said of a line, in which 40 of its own may be escaped, to ten each."""


def known_hosts(data: bytes) -> None:
    """Each line is an entry, nothing, or a short problem; a name's lines are the same by every way to find them."""
    every = data.split(b"\n")
    index = Index(FILE, data)
    for problem in index.problems:
        assert problem.startswith(f"{FILE}:")
        assert problem.isprintable()
        assert len(problem) <= LONGEST
    entries = []
    for number, line in enumerate(every, 1):
        try:
            entries.append(parse(line, FILE, number))
        except ValueError:
            entries.append(None)
            assert any(problem.startswith(f"{FILE}:{number}: ") for problem in index.problems)
            continue
    found = [entry for entry in entries if entry]
    names = {name for entry in found if isinstance(entry.names, Plain) for name in entry.names.names}
    for entry in found:
        assert entry.marker in MARKERS
        if isinstance(entry.names, Plain):
            assert entry in index.of(entry.names.names[0])
            again = parse(lines([",".join(entry.names.names)], entry.kind, entry.blob).encode(), FILE, entry.line)
            assert again == entry._replace(marker="") or entry.names.names[0].startswith(("@", "#"))
    for name in (*NAMES, *sorted(names)[:5]):
        look_up(data, name)


def look_up(data: bytes, name: str) -> None:
    """Hold the quick ways to find a name's lines to the slow one."""
    index = Index(FILE, data)
    quickly = {blob: index.of_key(name, blob) for blob in {entry.blob for entry in index.of("web1")}}
    surely = index.surely_of(name)
    slowly = index.of(name)
    assert set(surely) <= set(slowly)
    for blob, entries in quickly.items():
        assert entries == [entry for entry in slowly if entry.blob == blob] == index.of_key(name, blob)


BLOB = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)
KEY = b"ssh-ed25519 " + base64.b64encode(BLOB)
RSA = b"ssh-rsa " + base64.b64encode(b"\0\0\0\x07ssh-rsa\0\0\0\1\3\0\0\0\1\5")
HASHED = b"|1|" + base64.b64encode(bytes(20)) + b"|" + base64.b64encode(bytes(20))

FILES = (
    b"web1 " + KEY + b" a comment\n# another\n\n",
    b"web1,192.0.2.1,[web1]:2222 " + KEY + b"\n@revoked web1 " + RSA,
    b"@cert-authority *.example.org,!bad.example.org " + RSA + b"\n",
    b"w?b*1*\\,*" + b"*" * 50 + b" " + KEY + b"\n",
    HASHED + b" " + KEY + b"\n",
    b"web1 ssh-rsa " + KEY.split()[1] + b"\nweb1 ssh-ed25519 AAAA\n@new web1 " + KEY + b"\n|2|x|y " + KEY,
    b"web1 1024 35 1234567890\n\0\1\2 \3 \4\nweb1 ssh-ed25519 " + b"A" * 4000 + b"\n",
)

r"""Accounts that exist only where a program sees our passwd instead of the host's.

User("bash", "/bin/bash", files={".bashrc": "echo noise\n"})
User("gone", "/usr/sbin/nologin")
User("locked", locked=True)
User("sesame", password=True)            # with PASSWORD, where sshd has PasswordAuthentication="yes"
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HOMES = Path("/run/home")
"""Where the private namespace shows the homes: below a /run of its own, which hides nothing that a session needs."""

FIRST_ID = 47001
"""Far from the numbers that distributions give."""


PASSWORD = "planted-pa55word-xyzzy"
"""The one password that a user can have."""

HASH = "$6$collector$BbAWjXU0GAgark7h23e40nvoPt54YpRIt1mxjIh/yYF3R7Epn4iRRt64UivI09bJzHN39AFaaPDZut8kjLChl1"
"""PASSWORD as crypt(3) has it, with SHA-512."""


@dataclass(frozen=True, slots=True)
class User:
    """An account: its login shell, and the files of its home (name → text); no start files unless they are named."""

    name: str
    shell: str = "/bin/sh"
    files: Mapping[str, str] = field(default_factory=dict)
    locked: bool = False
    expired: bool = False
    password: bool = False


SH = User("sh", "/bin/sh")
BASH = User("bash", "/bin/bash")


def write_accounts(directory: Path, users: Iterable[User]) -> dict[str, Path]:
    """Write copies of the host's account files with `users` added into `directory`; returns host's file → copy."""
    members = list(enumerate(users, FIRST_ID))
    added = {
        "/etc/passwd": [
            f"{user.name}:x:{number}:{number}::{HOMES / user.name}:{user.shell}" for number, user in members
        ],
        "/etc/group": [f"{user.name}:x:{number}:" for number, user in members],
        "/etc/shadow": [_shadow(user) for _, user in members],
    }
    added["/etc/passwd"] += _privilege_separation()
    return {original: _copy(Path(original), directory, lines) for original, lines in added.items()}


def make_homes(directory: Path, users: Iterable[User]) -> None:
    """Make `directory`/<user>, owned by the user, with its files."""
    directory.mkdir(mode=0o755, exist_ok=True)
    for number, user in enumerate(users, FIRST_ID):
        home = directory / user.name
        home.mkdir(mode=0o700)
        os.chown(home, number, number)
        for name, text in user.files.items():
            own_file(home / name, text)


def own_file(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file in a home, with the folders on the way, all of the home's owner; returns `path`."""
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        folder.mkdir(mode=0o700)
        _inherit_owner(folder)
    path.write_text(text)
    path.chmod(mode)
    _inherit_owner(path)
    return path


def _inherit_owner(path: Path) -> None:
    owner = path.parent.stat()
    os.chown(path, owner.st_uid, owner.st_gid)


def _shadow(user: User) -> str:
    password = HASH if user.password else "!" if user.locked else "*"
    expires = "1" if user.expired else ""
    return f"{user.name}:{password}:19000:0:99999:7::{expires}:"


def _privilege_separation() -> Iterator[str]:
    """The account that sshd drops its rights to, where a package did not make it."""
    if not any(line.startswith("sshd:") for line in Path("/etc/passwd").read_text().splitlines()):
        yield "sshd:x:47000:65534::/run/sshd:/usr/sbin/nologin"


def _copy(original: Path, directory: Path, lines: Iterable[str]) -> Path:
    copy = directory / original.name
    copy.touch(mode=0o600 if original.name == "shadow" else 0o644)
    copy.write_text(original.read_text().rstrip("\n") + "\n" + "".join(f"{line}\n" for line in lines))
    return copy

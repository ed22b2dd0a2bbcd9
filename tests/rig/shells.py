"""The login shells that are tested, by the names that they have in docs/targets.md, and where that is.

LOGIN_SHELLS can start /bin/sh, NO_SHELLS cannot: each is a user of a server of the rig, once the server is given
`give_ash`.
"""

import shutil
from pathlib import Path

from rig.others import Server
from rig.sshd import Sshd
from rig.users import HOMES, User

TABLES = Path(__file__).parents[2] / "docs" / "targets.md"

ASH = User("ash", f"{HOMES}/ash/ash")
"""BusyBox is the shell that it is called by; `give_ash` makes that name."""

LOGIN_SHELLS = {
    "dash": User("dash", "/bin/dash"),
    "bash": User("bash", "/bin/bash"),
    "zsh": User("zsh", "/usr/bin/zsh"),
    "ksh93": User("ksh93", "/usr/bin/ksh93"),
    "mksh": User("mksh", "/usr/bin/mksh"),
    "yash": User("yash", "/usr/bin/yash"),
    "fish": User("fish", "/usr/bin/fish"),
    "tcsh": User("tcsh", "/usr/bin/tcsh"),
    "BusyBox ash": ASH,
}
NO_SHELLS = {
    "rbash": User("rbash", "/bin/rbash"),
    "nologin": User("nologin", "/usr/sbin/nologin"),
    "false": User("false", "/bin/false"),
}
SHELLS = LOGIN_SHELLS | NO_SHELLS


def needed(name: str) -> str:
    """Return the program that a shell of `SHELLS` needs, for the mark `needs`."""
    return "busybox" if SHELLS[name] is ASH else SHELLS[name].shell


def give_ash(server: Server | Sshd) -> None:
    """Give the user `ASH` of a server their shell."""
    (server.home(ASH.name) / "ash").symlink_to(str(shutil.which("busybox")))

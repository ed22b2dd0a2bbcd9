"""The files that a configuration names: whether they are there, and can be used."""

import os
import stat
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from collector.config.machine import IdentityFiles
from collector.config.problems import Problems
from collector.config.setting import Setting

IDENTITY = IdentityFiles._fields
FILES = {
    "key_file": "make a key with ssh-keygen -t ed25519 -f FILE, or name another file",
    "known_hosts": "collector trust makes it: it shows each machine's key, which you compare with what the machine's "
    "own console says, and adds it",
    "certificate_file": "name the FILE-cert.pub that ssh-keygen -s made, or take the line away",
    "ssh_config": "name a file that is there, or write ssh_config = none",
    "passphrase_file": "write the passphrase into a file, for you alone to read, and the file's name here",
    "password_file": "write the password into a file, for you alone to read, and the file's name here",
}
"""The options that name a file which must be there, and what to do if it is not."""
SECRET = ("passphrase_file", "password_file")

IdentityProblem = Callable[[IdentityFiles], tuple[str, str] | None]
"""Read a key and what goes with it; what is wrong, if anything: the option, and a text."""


def check_files(named: set[tuple[str, Setting]], problems: Problems) -> None:
    """Note the files that are not there; each is looked at once."""
    fault_of = cache(file_fault)
    for option, setting in named:
        for path in setting.value or ():
            if fault := fault_of(path):
                problems.append((setting.place(option), f"{path}: {fault}; {FILES[option]}"))


def check_identities(
    identities: set[tuple[Setting, ...]], identity_problem: IdentityProblem | None, problems: Problems
) -> None:
    """Note the keys, certificates, passphrases and passwords that cannot be used; each is looked at once."""
    problem_of = cache(partial(_identity_problem, identity_problem=identity_problem))
    for settings in identities:
        files = IdentityFiles(*(setting.value for setting in settings))
        if files.key_file and (problem := problem_of(files)):
            option, text = problem
            problems.append((settings[IDENTITY.index(option)].place(option), text))


def _identity_problem(files: IdentityFiles, identity_problem: IdentityProblem | None) -> tuple[str, str] | None:
    for option in ("password_file",) if files.password_file else () if files.agent else IDENTITY[:3]:
        path = getattr(files, option)
        if path and (fault := file_fault(path)):
            # Where people have written the secret instead of its file's name, it is not repeated.
            return option, f"{fault}; {FILES[option]}" if option in SECRET else f"{path}: {fault}; {FILES[option]}"
    return identity_problem(files) if identity_problem else None


def file_fault(path: Path) -> str:
    """Return why a file cannot be read; empty if it can."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return str(error.strerror)
    if stat.S_ISDIR(mode):
        return "Is a directory"
    return "" if os.access(path, os.R_OK) else "Permission denied"

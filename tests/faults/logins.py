"""Rows: the machine is not the one that we know, or does not let us in, or not as far as a shell."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from socket import create_connection
from typing import Any

from rig.keys import host_name, make_key
from rig.scripted import exits, floods, says, sends_eof
from rig.users import User, own_file

from faults.fault import Befall, Patient, fault, scripted, sshd


@contextmanager
def another_host_key(patient: Patient) -> Iterator[None]:
    """The machine shows another key, until somebody has looked into it and written known_hosts anew."""
    other = make_key(patient.directory / "another")
    with patient.sshd(host_keys=[other]) as server, patient.replaced_by(server):
        yield
    patient.known_hosts.write_text(patient.known_hosts.read_text())


@contextmanager
def unreadable_known_hosts(patient: Patient) -> Iterator[None]:
    """known_hosts becomes a folder; what was read before stays in force."""
    path, aside = patient.known_hosts, patient.directory / "aside"
    path.rename(aside)
    path.mkdir()
    patient.proxy.hang_up()
    yield
    path.rmdir()
    aside.rename(path)


def known_hosts(text: Callable[[Patient], str]) -> Befall:
    """known_hosts says something else of the machine."""
    return lambda patient: patient.unknown_as(text(patient))


def another(patient: Patient) -> str:
    """Return a line of another host."""
    return f"192.0.2.1 {patient.well.publics[0]}\n"


def revoked(patient: Patient) -> str:
    """Return a line that revokes the machine's key."""
    return f"@revoked {host_name(*patient.proxy.address)} {patient.well.publics[0]}\n"


@contextmanager
def key_removed(patient: Patient) -> Iterator[None]:
    """Our key is taken out of authorized_keys."""
    with patient.sshd() as server:
        own_file(server.authorized_keys("sh"), "")
        with patient.replaced_by(server):
            yield


@contextmanager
def startups_exhausted(patient: Patient) -> Iterator[None]:
    """Somebody has the only login that sshd takes at a time."""
    with patient.sshd(MaxStartups="1:100:1") as server, create_connection(server.address) as holder:
        holder.recv(4)
        with patient.replaced_by(server):
            yield


@contextmanager
def nobody_can(patient: Patient) -> Iterator[None]:
    """The account has no login shell."""
    with patient.sshd(users=[User("sh", "/usr/sbin/nologin")]) as server, patient.replaced_by(server):
        yield


SCRIPTED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "it wants a password": ({"refuse": "auth", "methods": "password"}, "auth"),
    "it refuses the key": ({"refuse": "auth"}, "auth"),
    "silent before the login": ({"stall": "service"}, "auth"),
    "silent in the login": ({"stall": "auth"}, "auth"),
    "it refuses the channel": ({"refuse": "channel"}, "channel"),
    "silent about the channel": ({"stall": "channel"}, "channel"),
    "it refuses the program": ({"refuse": "exec"}, "channel"),
    "silent about the program": ({"stall": "exec"}, "channel"),
    "a program that says no and ends": ({"script": says(b"No.\n", then=exits(1))}, "shell"),
    "a program that says nothing": ({}, "shell"),
    "the end of what it says, and no end of the program": ({"script": sends_eof}, "shell"),
    "a program that never stops talking": ({"script": floods()}, "shell"),
    "a program that never stops saying /bin/sh": ({"script": floods(b"/bin/sh " * 2048)}, "shell"),
}
"""The options of an SshServer, and the reason that the poll fails for."""

FAULTS = {
    "another host key": fault(another_host_key, "host_key_changed"),
    "the host key is not in known_hosts": fault(known_hosts(another), "host_key_unknown"),
    "the host key is revoked": fault(known_hosts(revoked), "host_key_revoked"),
    "known_hosts cannot be read any more": fault(unreadable_known_hosts),
    "our key was removed": fault(key_removed, "auth"),
    "the account has expired": fault(sshd(users=[User("sh", expired=True)]), "auth"),
    "no such account": fault(sshd(users=[User("bash")]), "auth"),
    "it wants a password too": fault(
        sshd(PasswordAuthentication="yes", AuthenticationMethods="publickey,password"), "auth"
    ),
    "MaxStartups is reached": fault(startups_exhausted, "throttled"),
    "no channel is allowed": fault(sshd(MaxSessions="0"), "channel"),
    "the login shell is nologin": fault(nobody_can, "shell"),
    "a forced command that is another": fault(sshd(ForceCommand="/bin/true"), "shell"),
    **{name: fault(scripted(**options), reason) for name, (options, reason) in SCRIPTED.items()},
}

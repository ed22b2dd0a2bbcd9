"""The login: one attempt with what the machine's identity is. sshd counts every attempt, and guessing is not ours."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Event

from paramiko import Message
from paramiko.agent import AgentKey, AgentSSH
from paramiko.auth_handler import AuthHandler
from paramiko.ssh_exception import AuthenticationException, BadAuthenticationType, PartialAuthentication, SSHException

from collector.errors import AuthenticationFailed, LocalFailure
from collector.ssh.identities import AgentIdentity, Identity, KeyIdentity, PasswordIdentity
from collector.ssh.known_hosts import fingerprint
from collector.ssh.phase import AUTH, Deadline
from collector.ssh.transport import TunedTransport, check_count

Prompts = list[tuple[str, bool]]
"""What a server asks in keyboard-interactive: each a text, and whether the answer may be seen."""


def log_in(transport: TunedTransport, user: str, identity: Identity, deadline: Deadline) -> None:
    """Authenticate, with one attempt.

    Raises:
        PollError: of the phase AUTH.
    """
    try:
        with deadline.during(AUTH._replace(what=f"an answer to the login as {user}")):
            transport.check()
            match identity:
                case KeyIdentity():
                    attempt(transport, lambda handler, done: handler.auth_publickey(user, identity.key, done), identity)
                case AgentIdentity():
                    with agent_key(identity) as key:
                        attempt(transport, lambda handler, done: handler.auth_publickey(user, key, done), identity)
                case PasswordIdentity():
                    give_password(transport, user, identity.password)
    except AuthenticationFailed as error:
        if identity.certificate and identity.certificate.note:
            raise AuthenticationFailed(f"{error}; {identity.certificate.note}") from error
        raise


class TunedAuthHandler(AuthHandler):
    """Paramiko's AuthHandler, which would read as many questions as a server says that there are.

    Nor does it make an attempt, some milliseconds of work with a large RSA key, each time that a server asks for it.
    """

    _is_begun = False

    def _parse_service_accept(self, m: Message) -> None:
        if self._is_begun:
            raise SSHException("the server has let us begin twice")
        self._is_begun = True
        super()._parse_service_accept(m)  # type: ignore[misc]

    def _parse_userauth_info_request(self, m: Message) -> None:
        check_count(m, 3, 5)
        super()._parse_userauth_info_request(m)  # type: ignore[misc]  # the stubs have no private names


def attempt(
    transport: TunedTransport,
    begin: Callable[[AuthHandler, Event], None],
    shown: KeyIdentity | AgentIdentity | None = None,
) -> None:
    """Make one attempt, with a key or with a password, and wait for what the server says to it.

    Raises:
        AuthenticationException: it says no.
    """
    done = Event()
    # As Transport.auth_publickey does it; the other methods of Transport wait for themselves, in steps of 0.1 s.
    transport.auth_handler = TunedAuthHandler(transport)
    begin(transport.auth_handler, done)
    done.wait()
    transport.check()
    if transport.is_authenticated():
        return
    refusal = transport.get_exception()
    match refusal:
        case PartialAuthentication():
            more = ", ".join(refusal.allowed_types)
            raise AuthenticationException(f"the server wants more than one proof (then {more}), and we have but one")
        case BadAuthenticationType():
            raise refusal
    if shown is None:
        raise AuthenticationException("the server refused the password")
    # Whom a certificate lets in need not be in authorized_keys.
    hint = "" if shown.certificate else "; is it in authorized_keys there?"
    raise AuthenticationException(f"the server refused the key {fingerprint(shown.blob)}{hint}")


def give_password(transport: TunedTransport, user: str, password: bytes) -> None:
    """Give the password in the one way that the server takes; which that is, it says for nothing (RFC 4252, 5.2)."""
    try:
        attempt(transport, lambda handler, done: handler.auth_none(user, done))
    except BadAuthenticationType as refusal:
        offered = refusal.allowed_types
    else:
        return
    if "password" in offered:
        # The stubs want text; paramiko takes the bytes of the file as they are.
        attempt(transport, lambda handler, done: handler.auth_password(user, password, done))  # type: ignore[arg-type]
    elif "keyboard-interactive" in offered:
        answer = answer_once(password)
        attempt(transport, lambda handler, done: handler.auth_interactive(user, answer, done))  # type: ignore[arg-type]
    else:
        raise AuthenticationException(f"the server takes no password, only {', '.join(offered)}")


def answer_once(password: bytes) -> Callable[[str, str, Prompts], list[bytes]]:
    """Return what answers a server's question for a password: one, once, and unseen. All else it refuses."""
    left = [password]

    def answer(title: str, instructions: str, prompts: Prompts) -> list[bytes]:
        if not prompts:
            return []
        if len(prompts) > 1 or prompts[0][1] or not left:
            # What the server says once it has the password is not repeated: it could be the password.
            asked = f": {prompts[0][0][:100]!r}" if left else " after the password"
            raise AuthenticationException(f"the server asks for more than one password{asked}")
        return [left.pop()]

    return answer


@contextmanager
def agent_key(identity: AgentIdentity) -> Iterator[AgentKey]:
    """Ask the agent for the key; at the end its connection is closed, and whoever still waits for the agent fails.

    Raises:
        LocalFailure: there is no agent.
        AuthenticationException: it does not have the key.
    """
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        missing = "agent = yes, but SSH_AUTH_SOCK is not set, so there is no agent"
        raise LocalFailure(f"{missing}; start the collector where there is one, or write agent = no")
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        try:
            sock.connect(path)
        except OSError as error:
            raise LocalFailure(f"cannot reach the agent at {path}: {error.strerror}") from error
        agent = AgentSSH()
        agent._connect(sock)  # type: ignore[attr-defined]  # Agent() would choose the socket, and hide that it failed.
        for key in agent.get_keys():
            if key.blob == identity.blob:
                key.public_blob = identity.certificate_blob  # type: ignore[assignment]
                yield key
                return
        raise SSHException("the agent does not have the key of key_file; ssh-add -l says what it has")

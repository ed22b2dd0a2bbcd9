r"""An SSH server that goes as far as the test wants, then refuses, falls silent, or follows a script. Needs no root.

    with SshServer(stall="channel") as server:          # never answers CHANNEL_OPEN
        ...
        server.stalled.wait()                           # the client is now in that very state

    with SshServer(refuse="auth") as server: ...
    with SshServer(script) as server: ...               # server.connections, .logins, .commands

A script is a function of the paramiko channel on which the client ran its command; it begins when the client has been
told that the command runs, and the channel is closed when it returns:

    def quits(channel):
        channel.sendall(b"bye\n")
        channel.send_exit_status(3)

`shell(alter)` is a script that really runs the command by this machine's sh, so that whatever the client's protocol
is, its answers are right until `alter` makes them wrong. `alter` gets the output as it comes and yields what the client
sees:

    def half_an_answer(chunks):
        yield next(chunks)                              # READY
        yield next(chunks)[:20]                         # and then the channel closes

    with SshServer(shell(half_an_answer)) as server: ...
"""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import gevent
import gevent.os
import paramiko
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from paramiko import common
from paramiko.server import InteractiveQuery

from rig.servers import stop

Script = Callable[[paramiko.Channel], None]
Alter = Callable[[Iterator[bytes]], Iterable[bytes]]

CHUNK = 65536

STALLS = {
    "kex": common.MSG_KEXINIT,
    "kex reply": 31,
    "newkeys": common.MSG_NEWKEYS,
    "service": common.MSG_SERVICE_ACCEPT,
    "auth": common.MSG_USERAUTH_SUCCESS,
    "channel": common.MSG_CHANNEL_OPEN_SUCCESS,
    "exec": common.MSG_CHANNEL_SUCCESS,
}
"""Where the server can fall silent for ever: stage → the message that it does not send, nor anything after it.

31 is KEX_ECDH_REPLY, KEXDH_REPLY and KEX_DH_GEX_GROUP alike.
"""

REFUSALS = frozenset({"auth", "channel", "exec"})


class SshServer:
    """An SSH server on a free port of 127.0.0.1 that lets every key in, except for what it is told to do wrong.

    `stall`: one of `STALLS`; `refuse`: some of `REFUSALS`; `without`: paramiko's `disabled_algorithms`, as
    {"kex": [name, …]}; `methods`: what it says about how one may log in, when it refuses a login.

    `password` is the one that it takes. In keyboard-interactive it asks `questions`, one list of (prompt, echo) after
    the other, and takes `password` as the first answer to the first; `answers` are all that it got.

    `extra` are messages that nobody asked for: each is sent right after the first one of a number.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        stall: str | None = None,
        refuse: str | Collection[str] = (),
        without: dict[str, list[str]] | None = None,
        methods: str = "publickey",
        host_key: paramiko.PKey | None = None,
        password: str | None = None,
        questions: Sequence[Sequence[tuple[str, bool]]] = ((("Password: ", False),),),
        extra: Mapping[int, bytes] | None = None,
    ) -> None:
        self.refusals = frozenset({refuse} if isinstance(refuse, str) else refuse)
        if not self.refusals <= REFUSALS:
            raise ValueError(f"one can refuse {sorted(REFUSALS)}, not {sorted(self.refusals)}")
        self.script = script or says_nothing
        self.mute_before = STALLS[stall] if stall else None
        self.without = without
        self.methods = methods
        self.host_key = host_key or paramiko.ECDSAKey.generate()
        self.stalled = Event()
        self.connections = 0
        self.logins = 0
        self.commands: list[bytes] = []
        self.password = password
        self.questions = questions
        self.extra = dict(extra or {})
        self.answers: list[list[str]] = []
        self.greenlets = Pool()
        self._transports: list[_Transport] = []
        self._server = StreamServer(("127.0.0.1", 0), self._serve, spawn=Pool())

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self._server.server_port or 0

    @property
    def publics(self) -> tuple[str, ...]:
        """The public half of its host key."""
        return (f"{self.host_key.get_name()} {self.host_key.get_base64()}",)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.hang_up()
        stop(self._server)
        self.greenlets.kill()

    def hang_up(self) -> None:
        """End every connection; new ones are still taken."""
        for transport in self._transports:
            transport.close()
            # paramiko's timer for the handshake would outlive the server by 15 s.
            transport.packetizer.complete_handshake()
        gevent.joinall([gevent.spawn(transport.join) for transport in self._transports])
        self._transports.clear()

    def _serve(self, connection: socket.socket, _: tuple[str, int]) -> None:
        self.connections += 1
        transport = _Transport(connection, self)
        self._transports.append(transport)
        transport.add_server_key(self.host_key)
        transport.start_server(event=threading.Event(), server=_Rules(self))
        transport.join()


class _Transport(paramiko.Transport):
    """A transport that falls silent before a given message, and runs the script after the answer to `exec`."""

    def __init__(self, connection: socket.socket, server: SshServer) -> None:
        super().__init__(connection, disabled_algorithms=server.without)
        self.server = server
        self.command = b""
        self.accepted: paramiko.Channel | None = None
        self._is_mute = False

    def _send_message(self, data: paramiko.Message) -> None:
        number = data.asbytes()[0]
        if number == self.server.mute_before:
            self._is_mute = True
            self.server.stalled.set()
        if not self._is_mute:
            super()._send_message(data)  # type: ignore[misc]  # the stubs have no private names
            if extra := self.server.extra.pop(number, None):
                super()._send_message(paramiko.Message(extra))  # type: ignore[misc]
            if number == common.MSG_CHANNEL_SUCCESS and self.accepted:
                self.server.greenlets.spawn(self._run, self.accepted)
                self.accepted = None

    def _run(self, channel: paramiko.Channel) -> None:
        with suppress(OSError, EOFError):  # The client went away, as it should.
            try:
                self.server.script(channel)
            finally:
                channel.close()


class _Rules(paramiko.ServerInterface):
    """What paramiko asks the server about."""

    def __init__(self, server: SshServer) -> None:
        self._server = server

    def get_allowed_auths(self, username: str) -> str:
        return self._server.methods

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        if "auth" in self._server.refusals:
            return common.AUTH_FAILED
        self._server.logins += 1
        return common.AUTH_SUCCESSFUL

    def check_auth_password(self, username: str, password: str) -> int:
        self._server.answers.append([password])
        return self._judged(password == self._server.password)

    def check_auth_interactive(self, username: str, submethods: str) -> InteractiveQuery:
        return self._question(0)

    def check_auth_interactive_response(self, responses: list[str]) -> int | InteractiveQuery:
        answers = self._server.answers
        answers.append(responses)
        if len(answers) < len(self._server.questions):
            return self._question(len(answers))
        return self._judged(answers[0] == [self._server.password])

    def _question(self, number: int) -> InteractiveQuery:
        return InteractiveQuery("", "", *self._server.questions[number])

    def _judged(self, good: bool) -> int:
        self._server.logins += good
        return common.AUTH_SUCCESSFUL if good else common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if "channel" in self._server.refusals:
            return common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if "exec" in self._server.refusals:
            return False
        self._server.commands.append(command)
        transport: Any = channel.get_transport()
        transport.command, transport.accepted = command, channel
        return True


def says_nothing(channel: paramiko.Channel) -> None:
    """Take what comes and never answer."""
    while channel.recv(CHUNK):
        pass


def says(*chunks: bytes, then: Script = says_nothing) -> Script:
    """Send this, then go on as `then`."""

    def script(channel: paramiko.Channel) -> None:
        for chunk in chunks:
            channel.sendall(chunk)
        then(channel)

    return script


def exits(status: int) -> Script:
    """End with this exit status."""
    return lambda channel: channel.send_exit_status(status)


def sends_eof(channel: paramiko.Channel) -> None:
    """Say that there is no more output, and never close the channel."""
    channel.shutdown_write()
    says_nothing(channel)


def floods(chunk: bytes = b"y\n" * 8192) -> Script:
    """Send the same without end, as fast as the client takes it."""

    def script(channel: paramiko.Channel) -> None:
        while True:
            channel.sendall(chunk)

    return script


def drips(text: Iterable[int], every: float = 1.0) -> Script:
    """Send a byte every so many seconds."""

    def script(channel: paramiko.Channel) -> None:
        for byte in text:
            channel.sendall(bytes([byte]))
            gevent.sleep(every)

    return script


def shell(alter: Alter = iter) -> Script:
    """Run the client's command by this machine's sh, as who we are, and send of its output what `alter` makes of it."""

    def script(channel: paramiko.Channel) -> None:
        transport: Any = channel.get_transport()
        argv = ["/bin/sh", "-c", transport.command]
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, bufsize=0, stdin=pipe, stdout=pipe, start_new_session=True) as process:
            feeder = gevent.spawn(_feed, channel, process)
            try:
                for chunk in alter(_output(process)):
                    channel.sendall(chunk)
                if process.returncode is not None:
                    channel.send_exit_status(process.returncode)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # The shell, and what it runs.
                feeder.kill()

    return script


def _feed(channel: paramiko.Channel, process: "subprocess.Popen[bytes]") -> None:
    """Give the client's input to the process, and its end too."""
    assert process.stdin is not None
    with suppress(OSError, EOFError):  # One of them went away; the output ends then.
        while chunk := channel.recv(CHUNK):
            process.stdin.write(chunk)
        process.stdin.close()


def _output(process: "subprocess.Popen[bytes]") -> Iterator[bytes]:
    """What the process prints, as it comes; ends when it does, and then its exit status is known."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    while chunk := gevent.os.nb_read(descriptor, CHUNK):
        yield chunk
    process.wait()

"""From a machine's address to a shell on it: socket, key exchange, host key, login, channel.

Paramiko's Transport is tuned here, and only here are its private names used; tests/test_paramiko_contract.py fails by
name when one of them changes.
"""

import logging
import re
import socket
from collections.abc import Callable, Sequence
from threading import Event
from time import monotonic
from typing import Any

import gevent.event
from gevent.monkey import get_original
from paramiko import Channel, Message, PKey, Transport
from paramiko.packet import Packetizer
from paramiko.ssh_exception import AuthenticationException, SSHException

from collector.config import Machine
from collector.errors import BadBanner, Throttled
from collector.ssh.hostkeys import KnownHosts
from collector.ssh.phase import AUTH, BANNER, CHANNEL, CONNECT, KEX, RESOLVE, Deadline, Disconnected

# What goes wrong on a connection becomes an error of ours, said once; paramiko would log each as a traceback.
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)

MOST_PACKET = 256 * 1024
"""Bytes of a packet, as in OpenSSH; paramiko would wait for the 4 GiB that a header can claim."""

MOST_BANNER_LINES, MOST_BANNER_LINE = 1024, 8192
"""Lines before the banner and bytes of each, as in OpenSSH."""

WINDOW = 256 * 1024
"""Bytes a machine may send unasked. An adjustment goes out for each tenth of it: one in about 16 answers."""

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
DIGESTS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")

# In a group exchange the server chooses a modulus of up to 8192 bits, and group16 is not much cheaper:
# 2 x 1.7 s and 2 x 61 ms of Python's pow() with everything else standing still.
DISABLED = {"kex": ["diffie-hellman-group-exchange-sha256", "diffie-hellman-group16-sha512"]}

THROTTLED = re.compile(r"Exceeded MaxStartups|Not allowed at this time")
"""What sshd says instead of a banner when it takes no more logins for now (since 8.x, since 9.8)."""

numeric_getaddrinfo: Callable[..., Sequence[Any]] = get_original("socket", "getaddrinfo")

UNSENT_FOR = 20_000
"""Milliseconds (TCP_USER_TIMEOUT) until what nobody acknowledges ends a connection; the kernel takes 15 minutes."""


class TunedPacketizer(Packetizer):
    """Paramiko's Packetizer with bounded reads, as few of them as can be, and no timers.

    Every wait is cut from outside, by closing the socket: gevent then wakes whoever waits on it.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._sock = sock
        self._read = bytearray()

    def start_handshake(self, timeout: float) -> None:
        """Start no timer: the deadline of the login covers the handshake."""

    def complete_handshake(self) -> None:
        """Stop no timer; paramiko calls this after every packet."""

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Return the next n bytes.

        Raises:
            EOFError: the connection is closed.
            SSHException: n is more than a packet may have.
        """
        if n > MOST_PACKET:
            raise SSHException(f"a packet of {n} bytes")
        while len(self._read) < n:
            self._receive()
        return self._take(n)

    def readline(self, timeout: float) -> str:
        """Return the next line of the banner, without its end.

        Raises:
            EOFError: the connection is closed.
            SSHException: the line is too long, or not ASCII.
        """
        while (end := self._read.find(b"\n")) < 0:
            if len(self._read) > MOST_BANNER_LINE:
                raise SSHException(f"a banner line of over {MOST_BANNER_LINE} bytes")
            self._receive()
        return self._take(end + 1).decode("ascii", "replace").rstrip("\r\n")

    def _receive(self) -> None:
        try:
            data = self._sock.recv(65536)
        except OSError:
            if self.closed:
                raise EOFError from None
            raise
        if not data:
            raise EOFError
        self._read += data

    def _take(self, n: int) -> bytes:
        taken = bytes(self._read[:n])
        del self._read[:n]
        return taken


class TunedTransport(Transport):
    """Paramiko's Transport without its ten wake-ups a second, and with what the server says when it wants us gone."""

    _active_check_timeout = None

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(
            sock, default_window_size=WINDOW, disabled_algorithms=DISABLED, packetizer_class=TunedPacketizer
        )
        options = self.get_security_options()
        options.ciphers = CIPHERS
        options.digests = DIGESTS
        self.has_banner = Event()
        self.greeting = ""
        self.goodbye: str | None = None

    def _check_banner(self) -> None:
        """Read up to the server's banner, bounded in lines and bytes; keep the first line of anything before it."""
        try:
            for _ in range(MOST_BANNER_LINES):
                line = self.packetizer.readline(0)
                if line.startswith("SSH-"):
                    break
                self.greeting = self.greeting or line[:200]
            else:
                raise SSHException(f"no SSH banner in {MOST_BANNER_LINES} lines")
            if not line.startswith(("SSH-2.0-", "SSH-1.99-")) or not line.isascii():
                raise SSHException(f"not SSH 2: {line[:100]!r}")
            self.remote_version = line
        finally:
            self.has_banner.set()

    def _parse_disconnect(self, m: Message) -> None:
        m.get_int()
        self.goodbye = m.get_string().decode("utf-8", "replace")[:200]

    def check(self) -> None:
        """Raise why the transport has died, if it has.

        Raises:
            Disconnected, EOFError, OSError, SSHException
        """
        if self.is_active():
            return
        error = self.get_exception()
        if self.goodbye is not None:
            raise Disconnected(f"the server said: {self.goodbye}")
        if error is None:
            raise EOFError
        if isinstance(error, (SSHException, OSError, EOFError)):
            raise error
        # Raised in the transport by what came from the wire: a packet that does not decrypt, a field that is none.
        raise SSHException(f"{type(error).__name__}: {error}") from error

    def prefer_host_keys(self, known: list[str]) -> None:
        """Ask first for a host key of a known type, so that a server with several shows one that can be checked."""
        algorithms = {
            name for kind in known for name in ([kind] if kind != "ssh-rsa" else ["rsa-sha2-512", "rsa-sha2-256"])
        }
        options = self.get_security_options()
        options.key_types = tuple(sorted(options.key_types, key=lambda kind: kind not in algorithms))


class Connection:
    """A login on a machine with one channel, on which a program runs."""

    def __init__(self, transport: TunedTransport, channel: Channel, login_seconds: float) -> None:
        self._transport = transport
        self._channel = channel
        self._has_data = gevent.event.Event()
        channel.in_buffer.set_event(self._has_data)  # type: ignore[arg-type]
        self.login_seconds = login_seconds

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it yet, as far as is known here."""
        return self._transport.is_active() and not (self._channel.closed or self._channel.eof_received)

    def send(self, data: bytes) -> None:
        """Write to the program's standard input. Raises what `Deadline.during` translates."""
        try:
            self._channel.sendall(data)
        except OSError:
            self._transport.check()
            raise EOFError from None

    def receive(self) -> bytes:
        """Return what the program has written, a byte at least. Raises what `Deadline.during` translates."""
        # Not in recv: whoever is cut off or killed while it waits there can leave its lock broken.
        self._has_data.wait()
        data: bytes = self._channel.recv(65536)
        if not data:
            self._transport.check()
            raise EOFError
        return data

    def close(self) -> None:
        """Hang up, without waiting for anything."""
        hang_up(self._transport)


def hang_up(transport: TunedTransport) -> None:
    """Close a transport's socket: its greenlet wakes whoever waits, and ends. Transport.close() may wait for locks."""
    transport.packetizer.close()


def connect(machine: Machine, key: PKey, known_hosts: KnownHosts, deadline: Deadline, command: str) -> Connection:
    """Log in and start a program.

    Raises:
        PollError: of whatever phase failed; nothing is left open then.
    """
    started = monotonic()
    sock = dial(machine.host, machine.port, deadline)
    transport = TunedTransport(sock)
    try:
        transport.prefer_host_keys(known_hosts.kinds(machine.host, machine.port))
        shake_hands(transport, deadline)
        host_key = transport.get_remote_server_key()
        known_hosts.check(machine.host, machine.port, host_key.get_name(), host_key.asbytes())
        log_in(transport, machine.user, key, deadline)
        login_seconds = monotonic() - started
        channel = open_channel(transport, command, deadline)
    except BaseException:
        hang_up(transport)
        raise
    return Connection(transport, channel, login_seconds)


def dial(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first of the host's addresses that answers, in the order of the resolver.

    Raises:
        PollError: none did; it is of the last address.
    """
    with deadline.during(RESOLVE):
        addresses = resolve(host, port)
    with deadline.during(CONNECT):
        for left, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            sock = socket.socket(family, kind, protocol)
            # An address that does not answer leaves time for those after it: a name can have a broken IPv6 and a good
            # IPv4.
            sock.settimeout(max(1.0, deadline.remaining / left))
            try:
                sock.connect(address)
                break
            except OSError:
                sock.close()
                if left == 1:
                    raise
            except BaseException:
                sock.close()
                raise
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNSENT_FOR)
    return sock


def resolve(host: str, port: int) -> Sequence[Any]:
    """Return the host's addresses, as getaddrinfo does; what is an address already does not wait for a resolver."""
    try:
        return numeric_getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def shake_hands(transport: TunedTransport, deadline: Deadline) -> None:
    """Exchange banners, then keys."""
    done = Event()
    with deadline.during(BANNER):
        transport.start_client(event=done)
        transport.has_banner.wait()
        if not transport.remote_version:
            # The transport's greenlet has set why before it sets `done`.
            done.wait()
            _explain_missing_banner(transport)
    with deadline.during(KEX):
        done.wait()
        transport.check()


def _explain_missing_banner(transport: TunedTransport) -> None:
    if THROTTLED.search(transport.greeting):
        raise Throttled(f"the server said: {transport.greeting}")
    if transport.greeting:
        raise BadBanner(f"no SSH server, it said: {transport.greeting!r}")
    transport.check()


def log_in(transport: TunedTransport, user: str, key: PKey, deadline: Deadline) -> None:
    """Authenticate with one key: no agent, no guessing. sshd counts every attempt."""
    done = Event()
    with deadline.during(AUTH):
        transport.auth_publickey(user, key, done)
        done.wait()
        transport.check()
        if not transport.is_authenticated():
            raise transport.get_exception() or AuthenticationException("the server refused the key")


def open_channel(transport: TunedTransport, command: str, deadline: Deadline) -> Any:
    """Open the session's one channel and run a program on it; its standard error joins its standard output."""
    with deadline.during(CHANNEL):
        channel = transport.open_session(window_size=WINDOW)
        channel.set_combine_stderr(True)
        channel.exec_command(command)
        transport.check()
    return channel

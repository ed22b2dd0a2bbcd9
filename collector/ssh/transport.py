"""The tuned Transport: what it offers, and the handshake.

Paramiko's private names are used only here, in `wire`, `resting`, `connection`, `trunk` and `auth`;
tests/test_paramiko_contract.py fails by name when one of them changes.
"""

import logging
import re
import socket
from collections.abc import Callable, Collection, Iterable
from threading import Event
from typing import Any, ClassVar, NamedTuple

import paramiko
from paramiko import Message, Transport
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA
from paramiko.ssh_exception import IncompatiblePeer, SSHException

from collector.config.algorithms import ALGORITHMS
from collector.errors import BadBanner, Throttled, drop_frames
from collector.ssh.known_hosts import HostKey
from collector.ssh.phase import BANNER, KEX, Deadline, Disconnected, shown
from collector.ssh.wire import TunedPacketizer

# What goes wrong on a connection becomes an error of ours, said once; paramiko would log each as a traceback.
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)


class Unlisted(list[Transport]):
    """The list of all transports that paramiko keeps, to close them when the process ends; we close ours ourselves.

    Each of 10,000 that ended would be looked for in it, in half a millisecond.
    """

    def append(self, transport: Transport) -> None:
        """Do nothing."""

    def remove(self, transport: Transport) -> None:
        """Do nothing."""


paramiko.transport._active_threads = Unlisted()  # type: ignore[attr-defined]  # the stubs have no private names

MOST_BANNER_LINES = 1024
"""Lines before the banner, as in OpenSSH."""

WINDOW = 256 * 1024
"""Bytes a machine may send unasked. An adjustment goes out for each tenth of it: one in about 16 answers."""

THEIRS: dict[str, type] = vars(Transport)["_kex_info"]
EXCHANGES = {**THEIRS, "curve25519-sha256": THEIRS["curve25519-sha256@libssh.org"]}
"""Paramiko's key exchanges, one under its newer name (RFC 8731) too; without ML-KEM if cryptography has none."""

Feed = Callable[[Any, Message], None]
"""What paramiko does with a message to a channel."""

USUAL = {option: algorithms.usual for option, algorithms in ALGORITHMS.items()}

THROTTLED = re.compile(r"Exceeded MaxStartups|Not allowed at this time")
"""What sshd says instead of a banner when it takes no more logins for now (since 8.x, since 9.8)."""


class Agreement(NamedTuple):
    """What a handshake has agreed on: algorithms, as their RFCs call them, and what the `server` calls itself."""

    kex: str
    cipher: str
    host_key_type: str
    server: str


def _within_the_window(feed: Feed) -> Feed:
    """Return what feeds a channel, and fails when that has more than its window allows; paramiko does not enforce it.

    Between two polls nobody takes anything: a machine that does not stop sending would have all of our memory.
    """

    def feed_within(channel: Any, m: Message) -> None:
        feed(channel, m)
        if len(channel.in_buffer) + len(channel.in_stderr_buffer) > channel.in_window_size:
            raise SSHException("more data than the window allows")

    return feed_within


HANDLERS: dict[int, Feed] = vars(Transport)["_channel_handler_table"]
BOUNDED = {number: _within_the_window(HANDLERS[number]) for number in (MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA)}


class TunedTransport(Transport):
    """Paramiko's Transport without its ten wake-ups a second, and with what the server says when it wants us gone."""

    packetizer_class: ClassVar[type[TunedPacketizer]] = TunedPacketizer
    _active_check_timeout = None
    _kex_info = EXCHANGES
    _channel_handler_table: ClassVar = {**HANDLERS, **BOUNDED}

    def __init__(
        self,
        sock: socket.socket,
        kex_algorithms: tuple[str, ...] = (),
        ciphers: tuple[str, ...] = (),
        macs: tuple[str, ...] = (),
        host_key_algorithms: tuple[str, ...] = (),
    ) -> None:
        """Offer these algorithms, best first, or where none is named the usual ones."""
        super().__init__(sock, default_window_size=WINDOW, packetizer_class=self.packetizer_class)
        options = self.get_security_options()
        options.kex = tuple(name for name in kex_algorithms or USUAL["kex_algorithms"] if name in EXCHANGES)
        options.ciphers = ciphers or USUAL["ciphers"]
        options.digests = macs or USUAL["macs"]
        options.key_types = host_key_algorithms or USUAL["host_key_algorithms"]
        self.has_banner = Event()
        self.greeting = ""
        self.goodbye: str | None = None
        self._host_key_algorithms = tuple(options.key_types)
        self._kex = ""
        self._is_ending = False

    def expect_packets(self, most: float) -> None:
        """Let so many packets come from now on."""
        packetizer: TunedPacketizer = self.packetizer  # type: ignore[assignment]  # the stubs know only paramiko's own
        packetizer.packets_left = most

    def progress(self) -> object:
        """Return what changes with each word of the other side: the banner, and each packet."""
        packetizer: TunedPacketizer = self.packetizer  # type: ignore[assignment]
        return self.has_banner.is_set(), packetizer.packets_left

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The algorithms of host keys that are offered, the best first; paramiko would add certificates to any."""
        return self._host_key_algorithms

    def run(self) -> None:
        """Read what comes until the connection ends, as Transport does; then let go of what refers to itself.

        Whoever waits for the banner is told of the end even where nothing could be read at all.
        """
        try:
            super().run()
        finally:
            self.has_banner.set()
        drop_frames(self.saved_exception)
        self._handler_table: dict[int, object] = {}
        self.kex_engine = None

    def _check_banner(self) -> None:
        """Read up to the server's banner, bounded in lines and bytes; keep the first line of anything before it."""
        try:
            for _ in range(MOST_BANNER_LINES):
                line = self.packetizer.readline(0)
                if line.startswith("SSH-"):
                    break
                self.greeting = self.greeting or shown(line, 200)
            else:
                raise SSHException(f"no SSH banner in {MOST_BANNER_LINES} lines")
            if not line.startswith(("SSH-2.0-", "SSH-1.99-")) or not line.isascii():
                raise SSHException(f"not SSH 2: {line[:100]!r}")
            self.remote_version = line
        finally:
            self.has_banner.set()

    def _parse_disconnect(self, m: Message) -> None:
        m.get_int()
        self.goodbye = shown(m.get_string().decode("utf-8", "replace"), 200)

    def _parse_ext_info(self, m: Message) -> None:
        check_count(m, 0, 8)
        super()._parse_ext_info(m)  # type: ignore[misc]

    def _parse_kex_init(self, m: Message) -> None:
        try:
            super()._parse_kex_init(m)  # type: ignore[misc]  # the stubs have no private names
        except IncompatiblePeer as error:
            m.rewind()
            raise IncompatiblePeer(self._nothing_in_common(m) or str(error)) from None
        # Paramiko forgets it once the keys are there.
        self._kex = next(name for name in self.preferred_kex if EXCHANGES[name] is type(self.kex_engine))

    def _nothing_in_common(self, m: Message) -> str:
        """Say of which kinds of algorithm the server has none that we have too, and what each of us has."""
        offered = self._really_parse_kex_init(m)  # type: ignore[attr-defined]
        kinds = {
            "key exchange": ("kex_algo_list", self.preferred_kex),
            "host key": ("server_key_algo_list", self.preferred_keys),
            "cipher": ("server_encrypt_algo_list", self.preferred_ciphers),
            "MAC": ("server_mac_algo_list", self.preferred_macs),
        }
        return "; ".join(
            f"no common {kind}: the server has only {_names(offered[field])}, and we have {_names(ours)}"
            for kind, (field, ours) in kinds.items()
            if not set(ours) & set(offered[field])
        )

    def hang_up(self) -> None:
        """Close the socket: who reads then wakes whoever waits, and ends. Transport.close() may wait for locks."""
        self.packetizer.close()

    def is_active(self) -> bool:
        """Whether it has neither ended nor begun to: whoever waits for a channel is woken before `active` says so."""
        if self.saved_exception is not None and self.is_authenticated():  # Before, it may be but a refusal.
            self._is_ending = True
        return super().is_active() and not self._is_ending

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
        raise EOFError if error is None else error

    def get_exception(self) -> Exception | None:
        """Return what went wrong, once; of what the server has brought about nothing looks like a bug of ours."""
        self.is_active()  # It is not what has been taken that tells of the end.
        error: Exception | None = super().get_exception()
        if error is None or isinstance(error, (SSHException, OSError, EOFError)):
            return error
        # Raised in the transport by what came from the wire: a packet that does not decrypt, a field that is none.
        wrapped = SSHException(f"{type(error).__name__}: {error}")
        wrapped.__cause__ = error
        return wrapped

    def prefer_host_keys(self, known: Collection[str], certificates: bool = False) -> None:
        """Ask first for a host key of a known type, so that a server with several shows one that can be checked.

        With `certificates` a certificate is asked for before any plain key.
        """
        wanted = _algorithms(known)
        plain = sorted(self.get_security_options().key_types, key=lambda name: name not in wanted)
        certified = [f"{name}-cert-v01@openssh.com" for name in plain] if certificates else []
        self._host_key_algorithms = (*certified, *plain)

    def accept_host_keys(self, kinds: Collection[str]) -> None:
        """Take host keys of these types, and no others."""
        wanted = _algorithms(kinds)
        self._host_key_algorithms = tuple(name for name in self._host_key_algorithms if name in wanted)

    @property
    def agreement(self) -> Agreement:
        """What the handshake has agreed on; ours to send with, when the two ciphers differ."""
        server = re.sub(r"[^ -~]", "?", self.remote_version.partition("-")[2].partition("-")[2])[:100]
        return Agreement(self._kex, self.local_cipher, str(self.host_key_type), server)

    @property
    def shown_host_key(self) -> HostKey:
        """The host key with which the server has signed the key exchange, whether or not it is still there."""
        key: Any = self.host_key
        return HostKey(key.get_name(), key.asbytes(), key.public_blob.key_blob if key.public_blob else b"")


def check_count(m: Message, strings: int, least: int) -> None:
    """Do nothing if a message has as many items as it says, after some strings; each takes so many bytes at least.

    Paramiko reads as many as it is told, up to 2^32, and takes what is not there for zeros.

    Raises:
        SSHException: it has not.
    """
    for _ in range(strings):
        m.get_binary()
    count = m.get_int()
    if count * least > len(m.get_remainder()):
        raise SSHException(f"a message that says it has {count} items, and has not")
    m.rewind()


def _algorithms(kinds: Collection[str]) -> set[str]:
    """Return the signature algorithms of types of keys; those of RSA are called otherwise."""
    return {name for kind in kinds for name in ([kind] if kind != "ssh-rsa" else ["rsa-sha2-512", "rsa-sha2-256"])}


def _names(algorithms: Iterable[str]) -> str:
    """Render a list of algorithms, which may be a server's: without what is none, in printable characters, cut."""
    names = ", ".join(name for name in algorithms if not name.startswith(("ext-info-", "kex-strict-")))
    return re.sub(r"[^ -~]", "?", names)[:300]


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
        if not transport.initial_kex_done:
            # What has ended since then is not the key exchange.
            transport.check()


def _explain_missing_banner(transport: TunedTransport) -> None:
    if THROTTLED.search(transport.greeting):
        raise Throttled(f"the server said: {transport.greeting}")
    if transport.greeting:
        raise BadBanner(f"no SSH server, it said: {transport.greeting!r}")
    transport.check()

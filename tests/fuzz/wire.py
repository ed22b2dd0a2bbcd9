"""SSH packets, cut anyhow: in the clear as in a handshake, encrypted, and as the hub reads them for who rests."""

import socket
from typing import Any, cast

from paramiko import Channel, Message
from paramiko.common import MSG_CHANNEL_DATA
from paramiko.ssh_exception import SSHException

from collector.ssh.connection import HEAD
from collector.ssh.resting import RestingPacketizer, RestingTransport
from collector.ssh.transport import MOST_BANNER_LINES
from collector.ssh.wire import MOST_BANNER_LINE, MOST_PACKET, TunedPacketizer
from fuzz.script import script, unlock, written

HELD = 2 * MOST_PACKET
"""Bytes that a reader may hold when it asks for more."""


MOST_PIECES = 300
"""Pieces in which a stream comes: a long one byte by byte would show no more, and take its time."""


class Pieces:
    """A socket from which some bytes can be read, so many at once, and then the end."""

    def __init__(self, stream: bytes, step: int) -> None:
        self.left = stream
        self.reader: TunedPacketizer | None = None
        self._step = max(step, len(stream) // MOST_PIECES)

    def recv(self, size: int) -> bytes:
        """Return the next piece."""
        assert self.reader is None or len(self.reader._read) <= HELD
        piece, self.left = self.left[: min(size, self._step)], self.left[min(size, self._step) :]
        return piece

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def reading(kind: type[TunedPacketizer], stream: bytes, step: int) -> TunedPacketizer:
    """Return what reads these pieces."""
    pieces = Pieces(stream, step)
    pieces.reader = kind(cast(socket.socket, pieces))
    return pieces.reader


def messages(packetizer: TunedPacketizer) -> tuple[list[bytes], Exception]:
    """Return every message, and with which of the documented errors they end."""
    found: list[bytes] = []
    try:
        while True:
            number, message = packetizer.read_message()
            found.append(bytes([number]) + message.asbytes())
    except (SSHException, EOFError) as error:
        assert str(error).isprintable()
        return found, error


def handshake(data: bytes) -> None:
    """Lines to the banner, then packets, the same however the bytes are cut; last an SSHException or EOFError."""
    step, stream = (data[0] + 1, data[1:]) if data else (1, b"")
    whole = transcript(TunedPacketizer, stream, 65536)
    assert whole == transcript(TunedPacketizer, stream, step)
    assert whole == transcript(RestingPacketizer, stream, step)
    lines, found, _ = whole
    assert all(len(line) <= MOST_BANNER_LINE for line in lines)
    if found:
        begin = sum(len(line) + 1 for line in stream.split(b"\n")[: len(lines)])
        expected = in_the_clear(stream[begin:])
        assert expected == found[: len(expected)]


Transcript = tuple[list[str], list[bytes], tuple[type[Exception], str]]


def transcript(kind: type[TunedPacketizer], stream: bytes, step: int) -> Transcript:
    """Read a handshake: return the lines, the messages, and the error that ends it."""
    packetizer = reading(kind, stream, step)
    lines: list[str] = []
    try:
        while len(lines) < MOST_BANNER_LINES and not (lines and lines[-1].startswith("SSH-")):
            lines.append(packetizer.readline(0))
    except (SSHException, EOFError) as error:
        return lines, [], (type(error), str(error))
    found, last = messages(packetizer)
    return lines, found, (type(last), str(last))


def in_the_clear(stream: bytes) -> list[bytes]:
    """Return the payloads of the packets, up to the first that is none by RFC 4253, 6."""
    payloads: list[bytes] = []
    while True:
        size, padding = int.from_bytes(stream[:4], "big"), sum(stream[4:5])
        payload = stream[5 : 4 + size - padding]
        if len(stream) < 4 + size or size > MOST_PACKET or (4 + size) % 8 or size < padding + 2:
            return payloads
        payloads.append(payload)
        stream = stream[4 + size :]


def sealed(data: bytes) -> None:
    """Encrypted packets in pieces come out whole; what is corrupted ends them with an error, and becomes nothing."""
    said = script(data)
    for kind in (TunedPacketizer, RestingPacketizer):
        packetizer = reading(kind, said.stream, said.step)
        unlock(packetizer, said.etm)
        found, error = messages(packetizer)
        expected = list(before_nothing(said.payloads[: said.intact]))
        assert expected == found
        if said.flipped is None and len(expected) == len(said.payloads):
            assert isinstance(error, EOFError)


def before_nothing(payloads: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the payloads up to the first that is empty, which is no message."""
    return payloads[: payloads.index(b"")] if b"" in payloads else payloads


class HubPacketizer(RestingPacketizer):
    """A RestingPacketizer that the hub would have called now."""

    def watch(self, on_readable: object = None) -> None:
        """Be watched, without a hub."""
        self._watcher = Watcher()

    def fill(self) -> None:
        """Read the next piece. Raises EOFError."""
        piece = self._sock.recv(65536)
        if not piece:
            raise EOFError
        self._read += piece


class Watcher:
    """What the hub would have."""

    def stop(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Resting(RestingTransport):
    """A transport that rests, and notes when it wakes, and why."""

    packetizer_class = HubPacketizer

    def begin(self, channel: Channel) -> None:
        """Begin to rest."""
        self.woken = False
        self._channel = channel
        self.packetizer.watch(self._take)

    def _wake(self, following: tuple[int, Message] | Exception | None) -> None:
        self.woken = True
        self.packetizer.unwatch()
        self.packetizer.put_back(following)


class Fed(list[bytes]):
    """A channel's buffer that keeps apart what has come, and counts none of it."""

    feed = list[bytes].append

    def __len__(self) -> int:
        return 0


def resting(data: bytes) -> None:
    """What the hub reads is the channel's data; with what is left for paramiko's loop that is all, in order."""
    said = script(data)
    said = said._replace(payloads=tuple(map(as_data, said.payloads)))
    pieces = Pieces(said.stream, said.step)
    transport = Resting(cast(socket.socket, pieces))
    unlock(transport.packetizer, said.etm)
    pieces.reader = transport.packetizer
    channel: Any = Channel(0)
    channel.in_buffer = fed = Fed()
    channel.in_window_size = 1
    transport.begin(channel)
    while not transport.woken:
        transport._take()
    found, _ = messages(transport.packetizer)
    taken = [HEAD.pack(MSG_CHANNEL_DATA, 0, len(text)) + text for text in fed]
    assert list(before_nothing(said.payloads[: said.intact])) == taken + found


def as_data(payload: bytes) -> bytes:
    """Return every other payload, and each that says it is data, as an honest message with data for channel 0."""
    if payload[:1] == bytes([MSG_CHANNEL_DATA]) or sum(payload[:1]) % 2:
        return HEAD.pack(MSG_CHANNEL_DATA, 0, len(payload)) + payload
    return payload


def clear(*payloads: bytes) -> bytes:
    """Return packets in the clear."""
    packets = []
    for payload in payloads:
        padding = 4 + -(len(payload) + 9) % 8
        packets.append((len(payload) + padding + 1).to_bytes(4, "big") + bytes([padding]) + payload + bytes(padding))
    return b"".join(packets)


BANNER = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
HANDSHAKES = (
    b"\xff" + BANNER + clear(b"\x14" + bytes(16) + b"\0\0\0\x04none" * 8, b"\x02\0\0\0\1x", b"\x15"),
    b"\0welcome\r\n\xff\n" + BANNER + clear(b"\1\0\0\0\2\0\0\0\3bye\0\0\0\0"),
    b"\x07" + BANNER + b"\xff\xff\xff\xf4" + bytes(20),
    b"\x07" + BANNER + b"\0\0\0\x04\0\0\0\0",
    b"\x07" + BANNER + b"\0\0\0\x0c\xff" + bytes(20),
    b"\x07" + BANNER + b"\0\0\0\x0d\4" + bytes(20),
    b"\x3f" + b"x" * 9000 + b"\n" + BANNER,
    b"\x03HTTP/1.1 400 Bad Request\r\n\r\n",
)

SEALED = (
    written(b"\x5e\0\0\0\0\0\0\0\1x", b"\x14cookie", bytes(200), step=6),
    written(b"\x63", b"\x01\2\3", b"\x05" * 100, step=0, options=1),
    written(b"ab", b"cd" * 20, step=15, options=2, place=50),
    written(b"ab", b"cd" * 20, step=63, options=3, place=2),
    written(b"ab", b"cd" * 20, step=63, options=0xE3, place=3),
    written(b"ab", b"", b"c"),
    written(*[b"%d" % number for number in range(40)]),
)

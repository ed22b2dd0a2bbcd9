"""One simulated machine: the server's half of SSH 2 for one kept login, and the probe's half of the conversation.

It does what OpenSSH does, byte for byte where the client pays for it: the same messages at a login (banner, ext-info,
hostkeys-00, a window that opens with `exec`), one packet an answer. It knows one key exchange (curve25519-sha256),
one host key (Ed25519) and AES-GCM, lets in whoever shows a key, and does not exchange keys a second time. A login
costs it 1 ms, an answer 0.05 ms: asyncssh's 9 ms a login would measure the simulator instead of the collector.
"""

import re
import secrets
import struct
from collections.abc import Callable, Iterator
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from collector import probe

BANNER = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7"

DISCONNECT, SERVICE_REQUEST, SERVICE_ACCEPT, EXT_INFO, KEXINIT, NEWKEYS = 1, 5, 6, 7, 20, 21
KEX_ECDH_INIT, KEX_ECDH_REPLY = 30, 31
AUTH_REQUEST, AUTH_FAILURE, AUTH_SUCCESS, AUTH_PK_OK = 50, 51, 52, 60
GLOBAL_REQUEST, REQUEST_FAILURE = 80, 82
CHANNEL_OPEN, CHANNEL_OPEN_CONFIRMATION, WINDOW_ADJUST, CHANNEL_DATA = 90, 91, 93, 94
CHANNEL_EOF, CHANNEL_CLOSE, CHANNEL_REQUEST, CHANNEL_SUCCESS = 96, 97, 98, 99

KEY_SIZES = {b"aes128-gcm@openssh.com": 16, b"aes256-gcm@openssh.com": 32}
MACS = b"umac-64-etm@openssh.com,umac-128-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com"
OFFER = (
    b"curve25519-sha256,curve25519-sha256@libssh.org,kex-strict-s-v00@openssh.com",
    b"ssh-ed25519",
    *[b",".join(KEY_SIZES)] * 2,
    *[MACS] * 2,
    *[b"none,zlib@openssh.com"] * 2,
    *[b""] * 2,
)
SIGNATURES = b"ssh-ed25519,sk-ssh-ed25519@openssh.com,ecdsa-sha2-nistp256,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256"

WINDOW = 2 * 1024 * 1024
MOST_PACKET = 256 * 1024

TOKEN = re.compile(rb": collector-probe ([0-9a-f]{16})\n")
"""The greeting with which the text begins that starts the probe."""

QUESTION = re.compile(rb"^(\d+)((?: [^\n]*)?)\n", re.MULTILINE)


class HangUp(Exception):
    """The connection is over."""


class Connection:
    """One client's connection, fed with what came from its socket; `feed` returns what goes back.

    `answer` gets the names of the files that are asked for (none: as before) and makes the clock and the texts.
    """

    def __init__(self, host_key: Ed25519PrivateKey, answer: Callable[[], tuple[bytes, dict[bytes, bytes]]]) -> None:
        self._host_key = host_key
        self._answer = answer
        self._read = b""
        self._out: list[bytes] = []
        self._ours = bytes([KEXINIT]) + secrets.token_bytes(16) + b"".join(map(string, OFFER)) + bytes(5)
        self._theirs = self._banner = self._session = b""
        self._shared = b""
        self._open: Gcm | None = None
        self._seal: Gcm | None = None
        self._channel = 0
        self._taken = 0
        self._token = b""
        self._said = b""
        self._files: list[bytes] = []
        self.is_logged_in = False
        self.answers = 0

    def greet(self) -> bytes:
        """What the server says first."""
        return BANNER + b"\r\n" + plain_packet(self._ours)

    def feed(self, data: bytes) -> bytes:
        """Take what came. Raises HangUp."""
        self._read = self._read + data if self._read else data
        if not self._banner:
            line, end, rest = self._read.partition(b"\n")
            if not end:
                return b""
            self._banner, self._read = line.rstrip(b"\r"), rest
        for payload in self._payloads():
            HANDLERS.get(payload[0], ignore)(self, payload)
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _payloads(self) -> Iterator[bytes]:
        """Yield whole packets, opened."""
        while len(self._read) >= 4:
            size = int.from_bytes(self._read[:4], "big")
            if size > MOST_PACKET:
                raise HangUp
            end = 4 + size + (16 if self._open else 0)
            if len(self._read) < end:
                return
            packet, self._read = self._read[:end], self._read[end:]
            body = self._open.open(packet) if self._open else packet[4:]
            yield body[1 : len(body) - body[0]]

    def _send(self, payload: bytes) -> None:
        self._out.append(self._seal.seal(payload) if self._seal else plain_packet(payload))

    def kexinit(self, payload: bytes) -> None:
        """Note the client's offer."""
        if self._theirs:
            raise HangUp("keys are exchanged once here")
        self._theirs = payload

    def exchange(self, payload: bytes) -> None:
        """Answer the client's half of the key exchange (RFC 8731), and seal from here on."""
        public, _ = read_string(payload, 1)
        mine = X25519PrivateKey.generate()
        blob = string(b"ssh-ed25519") + string(self._host_key.public_key().public_bytes_raw())
        ours = mine.public_key().public_bytes_raw()
        self._shared = positive(mine.exchange(X25519PublicKey.from_public_bytes(public)))
        said = (self._banner, BANNER, self._theirs, self._ours, blob, public, ours)
        self._session = sha256(b"".join(map(string, said)) + self._shared).digest()
        signature = string(b"ssh-ed25519") + string(self._host_key.sign(self._session))
        self._send(bytes([KEX_ECDH_REPLY]) + string(blob) + string(ours) + string(signature))
        self._send(bytes([NEWKEYS]))
        self._seal = self._cipher(b"BD", 3)
        self._send(bytes([EXT_INFO]) + uint32(1) + string(b"server-sig-algs") + string(SIGNATURES))

    def newkeys(self, _: bytes) -> None:
        """From here on the client seals."""
        self._open = self._cipher(b"AC", 2)

    def _cipher(self, letters: bytes, place: int) -> "Gcm":
        """The cipher of one direction: the client's first that we know (RFC 4253, 7.1 and 7.2)."""
        lists, at = [], 17
        for _ in range(10):
            text, at = read_string(self._theirs, at)
            lists.append(text.split(b","))
        name = next((name for name in lists[place] if name in KEY_SIZES), None)
        if name is None:
            raise HangUp
        nonce, key = (sha256(self._shared + self._session + bytes([x]) + self._session).digest() for x in letters)
        return Gcm(key[: KEY_SIZES[name]], nonce[:12])

    def accept_service(self, payload: bytes) -> None:
        """The client wants to log in."""
        self._send(bytes([SERVICE_ACCEPT]) + payload[1:])

    def authenticate(self, payload: bytes) -> None:
        """Let in whoever signs with a key."""
        _, at = read_string(payload, 1)
        _, at = read_string(payload, at)
        method, at = read_string(payload, at)
        if method != b"publickey":
            self._send(bytes([AUTH_FAILURE]) + string(b"publickey") + b"\0")
        elif not payload[at]:
            self._send(bytes([AUTH_PK_OK]) + payload[at + 1 :])
        else:
            self._send(bytes([AUTH_SUCCESS]))
            self.is_logged_in = True
            blob = string(b"ssh-ed25519") + string(self._host_key.public_key().public_bytes_raw())
            self._send(bytes([GLOBAL_REQUEST]) + string(b"hostkeys-00@openssh.com") + b"\0" + string(blob))

    def refuse(self, payload: bytes) -> None:
        """Global requests, such as keepalives: answered as OpenSSH answers what it does not know."""
        _, at = read_string(payload, 1)
        if payload[at]:
            self._send(bytes([REQUEST_FAILURE]))

    def open_channel(self, payload: bytes) -> None:
        """One channel, whose window opens with its program."""
        _, at = read_string(payload, 1)
        self._channel = int.from_bytes(payload[at : at + 4], "big")
        self._send(bytes([CHANNEL_OPEN_CONFIRMATION]) + uint32(self._channel) + uint32(0) + uint32(0) + uint32(32768))

    def request(self, payload: bytes) -> None:
        """Whatever is to run, it is the probe's shell."""
        kind, at = read_string(payload, 5)
        if kind == b"exec":
            self._send(bytes([WINDOW_ADJUST]) + uint32(self._channel) + uint32(WINDOW))
        if payload[at]:
            self._send(bytes([CHANNEL_SUCCESS]) + uint32(self._channel))

    def hear(self, payload: bytes) -> None:
        """Read what comes by standard input: the text that starts the probe, then questions."""
        data = payload[9:]
        self._taken += len(data)
        if self._taken > WINDOW // 2:
            self._send(bytes([WINDOW_ADJUST]) + uint32(self._channel) + uint32(self._taken))
            self._taken = 0
        self._said += data
        if not self._said.endswith(b"\n"):
            return
        said, self._said = self._said, b""
        if self._token:
            for question in QUESTION.finditer(said):
                self._reply(question[1], question[2])
        elif token := TOKEN.search(said):
            self._token = token[1]
            self._say(b"\n%s READY %s bash\n" % (self._token, probe.PROTOCOL.encode()))

    def _reply(self, number: bytes, files: bytes) -> None:
        self._files = files.split() or self._files
        clock, texts = self._answer()
        parts = [b"%s %s %s" % (self._token, number, clock), *(texts.get(file, b"") for file in self._files)]
        self._say(b"\x1d".join(parts) + b"\x1d%s %s\n" % (self._token, number))
        self.answers += 1

    def _say(self, text: bytes) -> None:
        self._send(struct.pack(">BII", CHANNEL_DATA, self._channel, len(text)) + text)

    def end(self, _: bytes) -> None:
        """The client goes."""
        raise HangUp


class Gcm:
    """AES-GCM of one direction as OpenSSH has it (RFC 5647; the length is not encrypted)."""

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._cipher = AESGCM(key)
        self._fixed, self._counter = nonce[:4], int.from_bytes(nonce[4:], "big")

    def _nonce(self) -> bytes:
        nonce = self._fixed + self._counter.to_bytes(8, "big")
        self._counter = (self._counter + 1) % 2**64
        return nonce

    def open(self, packet: bytes) -> bytes:
        """Return a packet's padding length, payload and padding."""
        return self._cipher.decrypt(self._nonce(), packet[4:], packet[:4])

    def seal(self, payload: bytes) -> bytes:
        """Return the packet of a payload."""
        body = padded(payload, 16, 0)
        length = uint32(len(body))
        return length + self._cipher.encrypt(self._nonce(), body, length)


def ignore(_: Connection, payload: bytes) -> None:
    """Take a message that needs no answer."""


HANDLERS: dict[int, Callable[[Connection, bytes], None]] = {
    DISCONNECT: Connection.end,
    KEXINIT: Connection.kexinit,
    KEX_ECDH_INIT: Connection.exchange,
    NEWKEYS: Connection.newkeys,
    SERVICE_REQUEST: Connection.accept_service,
    AUTH_REQUEST: Connection.authenticate,
    GLOBAL_REQUEST: Connection.refuse,
    CHANNEL_OPEN: Connection.open_channel,
    CHANNEL_REQUEST: Connection.request,
    CHANNEL_DATA: Connection.hear,
    CHANNEL_EOF: Connection.end,
    CHANNEL_CLOSE: Connection.end,
}


def uint32(number: int) -> bytes:
    """Four bytes, as in RFC 4251."""
    return number.to_bytes(4, "big")


def string(data: bytes) -> bytes:
    """Return a string of RFC 4251."""
    return uint32(len(data)) + data


def positive(data: bytes) -> bytes:
    """Return an mpint of RFC 4251 that is not negative."""
    data = data.lstrip(b"\0")
    return string(b"\0" + data if data and data[0] & 0x80 else data)


def read_string(payload: bytes, at: int) -> tuple[bytes, int]:
    """Return the string at a place, and where it ends."""
    end = at + 4 + int.from_bytes(payload[at : at + 4], "big")
    return payload[at + 4 : end], end


def padded(payload: bytes, block: int, uncounted: int) -> bytes:
    """Return the padding's length, the payload and the padding (RFC 4253, 6)."""
    padding = block - (1 + len(payload) + uncounted) % block
    padding += block if padding < 4 else 0
    return bytes([padding]) + payload + bytes(padding)


def plain_packet(payload: bytes) -> bytes:
    """Return a packet of the time before keys."""
    return string(padded(payload, 8, 4))

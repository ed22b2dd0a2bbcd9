"""Bytes -> a stream of encrypted packets, as they come in pieces, and what must come of it.

The packets are made here, by RFC 4253, 5647 and OpenSSH's PROTOCOL, and not by who reads them.
"""

import hmac
from hashlib import sha256
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from paramiko.packet import Packetizer

KEY, MAC_KEY, IV = bytes(range(16)), bytes(range(32)), bytes(16)
BLOCK, TAG = 16, 16
MOST_PACKETS = 100


class Script(NamedTuple):
    """The payload of each packet, how many bytes come at once, whether AES-CTR with a MAC stands in for AES-GCM.

    `flipped` is the bit of the stream that is wrong, if one is.
    """

    payloads: tuple[bytes, ...]
    step: int
    etm: bool
    flipped: int | None

    @property
    def packets(self) -> list[bytes]:
        """The packets, encrypted."""
        return (seal_etm if self.etm else seal_gcm)(self.payloads)

    @property
    def stream(self) -> bytes:
        """What comes."""
        stream = bytearray(b"".join(self.packets))
        if self.flipped is not None and stream:
            stream[self.flipped // 8 % len(stream)] ^= 1 << self.flipped % 8
        return bytes(stream)

    @property
    def intact(self) -> int:
        """How many packets come before the wrong bit; all if there is none."""
        packets = self.packets
        if self.flipped is None or not packets:
            return len(packets)
        left, count = self.flipped // 8 % len(b"".join(packets)), 0
        while left >= len(packets[count]):
            left -= len(packets[count])
            count += 1
        return count


def script(data: bytes) -> Script:
    """Read a script: four bytes of options, then payloads, each after a byte that has its length."""
    step, options, *place = data[:4].ljust(4, b"\0")
    payloads: list[bytes] = []
    rest = data[4:]
    while rest and len(payloads) < MOST_PACKETS:
        payloads.append(rest[1 : 1 + rest[0]])
        rest = rest[1 + rest[0] :]
    flipped = int.from_bytes(place, "big") * 8 + (options >> 5)
    return Script(tuple(payloads), step + 1, bool(options & 1), flipped if options & 2 else None)


def written(*payloads: bytes, step: int = 255, options: int = 0, place: int = 0) -> bytes:
    """Write a script, the other way round."""
    return bytes([step, options, *place.to_bytes(2, "big")]) + b"".join([bytes([len(one)]) + one for one in payloads])


def seal_gcm(payloads: tuple[bytes, ...]) -> list[bytes]:
    """Encrypt by AES-GCM: a length in the clear, which is authenticated too, and a counter in the nonce."""
    packets, cipher = [], AESGCM(KEY)
    for number, payload in enumerate(payloads):
        body = _padded(payload)
        size = len(body).to_bytes(4, "big")
        packets.append(size + cipher.encrypt(IV[:4] + number.to_bytes(8, "big"), body, size))
    return packets


def seal_etm(payloads: tuple[bytes, ...]) -> list[bytes]:
    """Encrypt by AES-CTR, with a MAC of the packet's number, its length and what is encrypted."""
    packets, cipher = [], Cipher(AES(KEY), CTR(IV)).encryptor()
    for number, payload in enumerate(payloads):
        body = _padded(payload)
        packet = len(body).to_bytes(4, "big") + cipher.update(body)
        packets.append(packet + hmac.digest(MAC_KEY, number.to_bytes(4, "big") + packet, "sha256"))
    return packets


def _padded(payload: bytes) -> bytes:
    padding = 4 + -(len(payload) + 5) % BLOCK
    return bytes([padding]) + payload + bytes(padding)


def unlock(packetizer: Packetizer, etm: bool) -> None:
    """Give a packetizer the keys of these packets."""
    set_keys = packetizer.set_inbound_cipher
    if etm:
        set_keys(Cipher(AES(KEY), CTR(IV)).decryptor(), BLOCK, sha256, 32, MAC_KEY, etm=True)  # type: ignore[arg-type]
    else:
        set_keys(AESGCM(KEY), BLOCK, None, TAG, None, aead=True, iv_in=IV[:12])  # type: ignore[arg-type]

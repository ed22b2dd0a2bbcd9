"""Rows: what answers is no SSH server, or one that never gets through the key exchange."""

from collections.abc import Mapping
from typing import Any

from rig.servers import (
    BANNER,
    Behaviour,
    closes,
    drips,
    exceeded,
    header,
    http,
    kexinit,
    packet,
    preamble,
    resets,
    says,
    says_nothing,
    throttles,
)

from faults.fault import fault, raw, scripted, sshd

STRICT = kexinit(kex="curve25519-sha256,curve25519-sha256@libssh.org,kex-strict-s-v00@openssh.com")

SERVERS: Mapping[str, tuple[Behaviour, str]] = {
    "no banner": (says_nothing, "banner"),
    "closes at once": (closes, "banner"),
    "resets at once": (resets, "banner"),
    "a banner that drips, without an end of line": (drips(), "banner"),
    "a line of 10 MB": (says(b"SSH-2.0-" + b"x" * 10_000_000), "banner"),
    "lines without end before the banner": (preamble(), "banner"),
    "a banner that is binary": (says(bytes(range(256)) + b"\xff\xfe\x00\r\n"), "banner"),
    "SSH 1": (says(b"SSH-1.5-old\r\n"), "banner"),
    "a web server": (http, "banner"),
    "OpenSSH 9.8 with penalties": (throttles, "throttled"),
    "OpenSSH with MaxStartups": (exceeded, "throttled"),
    "a banner and nothing more": (says(BANNER), "kex"),
    "a banner and the end": (says(BANNER, then=closes), "kex"),
    "a packet of 4 GiB": (says(BANNER, header(0xFFFFFFFF) + bytes(64)), "kex"),
    "a packet of no bytes": (says(BANNER, header(0)), "kex"),
    "garbage packets": (says(BANNER, b"\0\0\0\x0c\x04\xff" + bytes(64)), "kex"),
    "algorithms, then nothing more": (says(BANNER, kexinit()), "kex"),
    "another message in a strict key exchange": (says(BANNER, STRICT, packet(b"\x02\0\0\0\0")), "protocol"),
}
"""What never gets as far as SSH, and the reason that the poll fails for."""

SCRIPTED: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "silent in the key exchange": ({"stall": "kex"}, "kex"),
    "silent after our key": ({"stall": "kex reply"}, "kex"),
    "silent before new keys": ({"stall": "newkeys"}, "kex"),
}
"""The options of an SshServer, and the reason."""

FAULTS = {
    **{name: fault(raw(behaviour), reason) for name, (behaviour, reason) in SERVERS.items()},
    **{name: fault(scripted(**options), reason) for name, (options, reason) in SCRIPTED.items()},
    "no key exchange in common": fault(sshd(KexAlgorithms="diffie-hellman-group18-sha512"), "incompatible"),
    "no cipher in common": fault(sshd(Ciphers="chacha20-poly1305@openssh.com"), "incompatible"),
    "no MAC in common": fault(sshd(Ciphers="aes128-ctr", MACs="umac-64@openssh.com"), "incompatible"),
}

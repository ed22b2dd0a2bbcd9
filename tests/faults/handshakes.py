"""Rows: what answers is no SSH server, or one that never gets through the key exchange."""

from rig.servers import (
    BANNER,
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

FAULTS = {
    "no banner": fault(raw(says_nothing), "banner"),
    "closes at once": fault(raw(closes), "banner"),
    "resets at once": fault(raw(resets), "banner"),
    "a banner that drips, without an end of line": fault(raw(drips()), "banner"),
    "a line of 10 MB": fault(raw(says(b"SSH-2.0-" + b"x" * 10_000_000)), "banner"),
    "lines without end before the banner": fault(raw(preamble()), "banner"),
    "a banner that is binary": fault(raw(says(bytes(range(256)) + b"\xff\xfe\x00\r\n")), "banner"),
    "SSH 1": fault(raw(says(b"SSH-1.5-old\r\n")), "banner"),
    "a web server": fault(raw(http), "banner"),
    "OpenSSH 9.8 with penalties": fault(raw(throttles), "throttled"),
    "OpenSSH with MaxStartups": fault(raw(exceeded), "throttled"),
    "a banner and nothing more": fault(raw(says(BANNER)), "kex"),
    "a banner and the end": fault(raw(says(BANNER, then=closes)), "kex"),
    "a packet of 4 GiB": fault(raw(says(BANNER, header(0xFFFFFFFF) + bytes(64))), "kex"),
    "a packet of no bytes": fault(raw(says(BANNER, header(0))), "kex"),
    "garbage packets": fault(raw(says(BANNER, b"\0\0\0\x0c\x04\xff" + bytes(64))), "kex"),
    "algorithms, then nothing more": fault(raw(says(BANNER, kexinit())), "kex"),
    "another message in a strict key exchange": fault(raw(says(BANNER, STRICT, packet(b"\x02\0\0\0\0"))), "protocol"),
    "silent in the key exchange": fault(scripted(stall="kex"), "kex"),
    "silent after our key": fault(scripted(stall="kex reply"), "kex"),
    "silent before new keys": fault(scripted(stall="newkeys"), "kex"),
    "no key exchange in common": fault(sshd(KexAlgorithms="diffie-hellman-group18-sha512"), "incompatible"),
    "no cipher in common": fault(sshd(Ciphers="chacha20-poly1305@openssh.com"), "incompatible"),
    "no MAC in common": fault(sshd(Ciphers="aes128-ctr", MACs="umac-64@openssh.com"), "incompatible"),
}

"""The algorithms that a login may use, and how ssh's lists of them are read (ssh_config(5), Ciphers).

Never here: CBC, SHA-1, MD5, group exchange (the server chooses how long we compute). `curve25519-sha256` and its old
name with @libssh.org are one algorithm.
"""

import fnmatch
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from collector.config.problems import quoted


class Algorithms(NamedTuple):
    """What is offered unless a login names its own, best first, and what else may be named."""

    usual: tuple[str, ...]
    others: tuple[str, ...] = ()


ALGORITHMS: Mapping[str, Algorithms] = {
    # group16 and group14 are 2 x 61 ms and 2 x 17 ms of Python's pow() with everything else standing still.
    "kex_algorithms": Algorithms(
        (
            "mlkem768x25519-sha256",
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            "ecdh-sha2-nistp256",
            "ecdh-sha2-nistp384",
            "ecdh-sha2-nistp521",
            "diffie-hellman-group14-sha256",
        ),
        ("diffie-hellman-group16-sha512",),
    ),
    "ciphers": Algorithms(
        ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr"), ("aes192-ctr",)
    ),
    "macs": Algorithms(
        ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")
    ),
    "host_key_algorithms": Algorithms(
        (
            "ssh-ed25519",
            "ecdsa-sha2-nistp256",
            "ecdsa-sha2-nistp384",
            "ecdsa-sha2-nistp521",
            "rsa-sha2-512",
            "rsa-sha2-256",
        )
    ),
}


def chosen(words: Sequence[str], known: Algorithms) -> tuple[str, ...]:
    """Return which of the known algorithms are named, best first.

    A list that begins with + adds to the usual ones, ^ puts first, - takes away (patterns with * and ? too). A name
    that is not known is passed over, because other programs have more of them.

    Raises:
        ValueError: none is left.
    """
    sign, names = words[0][:1], (words[0].lstrip("+-^"), *words[1:])
    every = (*known.usual, *known.others)
    named = tuple(name for name in dict.fromkeys(names) if name in every)
    match sign:
        case "+":
            left = tuple(dict.fromkeys((*known.usual, *named)))
        case "^":
            left = tuple(dict.fromkeys((*named, *known.usual)))
        case "-":
            left = tuple(name for name in known.usual if not any(fnmatch.fnmatchcase(name, one) for one in names))
        case _:
            left = named
    if not left:
        raise ValueError(f"nothing is left of {quoted(', '.join(words))}; there are: {', '.join(every)}")
    return left
